package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// valueVersion is the version of every JSON value. A reader refuses newer ones.
const valueVersion = 1

// storedObject is the value of an object key.
type storedObject[S any] struct {
	V         int       `json:"v"`
	Num       uint32    `json:"num"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Spec      S         `json:"spec"`
}

// storedStatus is the value of a status key.
type storedStatus[T any] struct {
	V      int `json:"v"`
	Status T   `json:"status"`
}

func encodeObject[S any](m Meta, spec S) (string, error) {
	b, err := json.Marshal(storedObject[S]{valueVersion, m.Num, m.CreatedAt, m.UpdatedAt, spec})
	return string(b), err
}

func decodeObject[S, T any](id string, kv *mvccpb.KeyValue) (*Object[S, T], error) {
	var v storedObject[S]
	if err := json.Unmarshal(kv.Value, &v); err != nil {
		return nil, fmt.Errorf("stored value of %s: %w", kv.Key, err)
	}
	if v.V != valueVersion {
		return nil, fmt.Errorf("stored value of %s has version %d, this program knows %d", kv.Key, v.V, valueVersion)
	}
	return &Object[S, T]{
		Meta: Meta{ID: id, Revision: kv.ModRevision, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt, Num: v.Num},
		Spec: v.Spec,
	}, nil
}

func encodeStatus[T any](status T) (string, error) {
	b, err := json.Marshal(storedStatus[T]{valueVersion, status})
	return string(b), err
}

func decodeStatus[T any](kv *mvccpb.KeyValue) (status T, err error) {
	var v storedStatus[T]
	if err := json.Unmarshal(kv.Value, &v); err != nil {
		return status, fmt.Errorf("stored value of %s: %w", kv.Key, err)
	}
	if v.V != valueVersion {
		return status, fmt.Errorf("stored value of %s has version %d, this program knows %d", kv.Key, v.V, valueVersion)
	}
	return v.Status, nil
}

// same reports whether two values are stored alike.
func same[V any](a, b V) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
