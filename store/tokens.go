package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/access"
)

// TokensUnder reads the tokens whose ids begin with a prefix, as they are now (linearizable), sorted by id. A token
// that was deleted is never among them again, whichever process deleted it; but with AllowStale, while etcd does
// not answer, they are KnownTokens.
func (s *Store) TokensUnder(ctx context.Context, prefix string) ([]*Token, error) {
	return staleRead(ctx, s, func(ctx context.Context) ([]*Token, error) { return s.tokensUnder(ctx, prefix) },
		func() ([]*Token, error) { return s.KnownTokens(prefix), nil })
}

func (s *Store) tokensUnder(ctx context.Context, prefix string) ([]*Token, error) {
	r, err := s.read(ctx, clientv3.OpGet(objectKey(CollectionTokens, prefix), clientv3.WithPrefix()))
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	var all []*Token
	for _, kv := range r.Responses[0].GetResponseRange().Kvs {
		t, err := decodeObject[access.Token, access.TokenStatus](strings.TrimPrefix(string(kv.Key), objectKey(CollectionTokens, "")), kv)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// KnownTokens is TokensUnder as this process last saw them, without asking etcd.
func (s *Store) KnownTokens(prefix string) (all []*Token) {
	m := s.mirror
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, t := range m.tokens.objects {
		if strings.HasPrefix(id, prefix) {
			all = append(all, t)
		}
	}
	return all
}

// HadFirstToken reports whether CreateFirstToken was ever done.
func (s *Store) HadFirstToken(ctx context.Context) (bool, error) {
	r, err := s.read(ctx, clientv3.OpGet(firstTokenKey, clientv3.WithKeysOnly()))
	return err == nil && first(r, 0) != nil, err
}

// CreateFirstToken creates a token of a provider, once in the life of a store: of all processes that try, one does.
func (s *Store) CreateFirstToken(ctx context.Context, id string, t access.Token) (created bool, err error) {
	num, err := s.numbers.take(ctx, CollectionTokens)
	if err != nil {
		return false, err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	value, err := encodeObject(Meta{ID: id, Num: num, CreatedAt: now, UpdatedAt: now}, t)
	if err != nil {
		return false, err
	}
	key := objectKey(CollectionTokens, id)
	r, err := s.commit(ctx,
		[]clientv3.Cmp{clientv3.Compare(clientv3.Version(firstTokenKey), "=", 0), clientv3.Compare(clientv3.Version(key), "=", 0)},
		[]clientv3.Op{clientv3.OpPut(firstTokenKey, ""), clientv3.OpPut(key, value)},
		[]clientv3.Op{clientv3.OpGet(key, clientv3.WithKeysOnly())})
	if err != nil {
		return false, fmt.Errorf("create the first token: %w", err)
	}
	return r.Succeeded || first(r, 0) != nil, nil
}
