package store

import (
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// table is the mirror's copy of one collection. The mirror's mutex guards it.
type table[S, T any] struct {
	objects map[string]*Object[S, T]
	// unreadable are the ids whose object or status could not be decoded.
	unreadable map[string]bool
	// changed, if there is one, is told of every object that was put, replaced or removed.
	changed func(was, is *Object[S, T])
}

// anyTable is a table of whatever type.
type anyTable interface {
	clear()
	putObject(id string, kv *mvccpb.KeyValue) error
	putStatus(id string, kv *mvccpb.KeyValue) error
	removeObject(id string)
	removeStatus(id string)
	get(id string) (object any, ok bool)
	each(func(id string, object any))
}

func newTable[S, T any]() *table[S, T] {
	t := &table[S, T]{}
	t.clear()
	return t
}

func (t *table[S, T]) clear() {
	t.objects, t.unreadable = map[string]*Object[S, T]{}, map[string]bool{}
}

// put replaces the whole object: readers may hold the one before.
func (t *table[S, T]) put(id string, is *Object[S, T]) {
	was := t.objects[id]
	if is == nil {
		delete(t.objects, id)
	} else {
		t.objects[id] = is
	}
	if t.changed != nil && (was != nil || is != nil) {
		t.changed(was, is)
	}
}

// putObject takes a value that cannot be read for an object that is not there: one that is half
// understood must not be acted on.
func (t *table[S, T]) putObject(id string, kv *mvccpb.KeyValue) error {
	is, err := decodeObject[S, T](id, kv)
	if err != nil {
		t.put(id, nil)
		t.unreadable[id] = true
		return err
	}
	delete(t.unreadable, id)
	if was := t.objects[id]; was != nil {
		is.Status = was.Status
	}
	t.put(id, is)
	return nil
}

func (t *table[S, T]) putStatus(id string, kv *mvccpb.KeyValue) error {
	was := t.objects[id]
	if was == nil {
		return nil
	}
	status, err := decodeStatus[T](kv)
	is := *was
	is.Status = status
	t.objects[id] = &is
	if err != nil {
		t.unreadable[id] = true
	} else {
		delete(t.unreadable, id)
	}
	return err
}

func (t *table[S, T]) removeObject(id string) {
	t.put(id, nil)
	delete(t.unreadable, id)
}

func (t *table[S, T]) removeStatus(id string) {
	was := t.objects[id]
	if was == nil {
		return
	}
	var none T
	is := *was
	is.Status = none
	t.objects[id] = &is
	delete(t.unreadable, id)
}

func (t *table[S, T]) get(id string) (any, bool) {
	o, ok := t.objects[id]
	return o, ok
}

func (t *table[S, T]) each(f func(string, any)) {
	for id, o := range t.objects {
		f(id, o)
	}
}
