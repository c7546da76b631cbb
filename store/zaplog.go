package store

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapTo gives etcd a zap logger that writes to log. Etcd's info and warn are about how it runs and
// are logged as debug; its errors stay errors.
//
// Etcd ends the process by logging at fatal level, for example when an fsync failed: that must stay
// so, since nothing it acknowledges afterwards would be durable. While *starting is true it panics
// instead, for startMember to catch.
func zapTo(log *slog.Logger, starting *atomic.Bool) *zap.Logger {
	return zap.New(&zapCore{log: log.With("component", "etcd")}, zap.WithFatalHook(fatalHook{starting}))
}

type fatalHook struct{ starting *atomic.Bool }

func (h fatalHook) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	if h.starting != nil && h.starting.Load() {
		text := e.Message
		for _, f := range fields {
			if err, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
				text += ": " + err.Error()
			}
		}
		panic(text)
	}
	os.Exit(1)
}

// noStorageVersion is what a new etcd member says once, at error level, before its first entry
// is applied (server/etcdserver/version/monitor.go of v3.7).
const noStorageVersion = "failed to update storage version"

type zapCore struct {
	log    *slog.Logger
	fields []zapcore.Field
}

func slogLevel(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l >= zapcore.InfoLevel:
		return slog.LevelDebug
	}
	return slog.LevelDebug - 4
}

func (c *zapCore) Enabled(l zapcore.Level) bool {
	return c.log.Enabled(context.Background(), slogLevel(l))
}

func (c *zapCore) With(fields []zapcore.Field) zapcore.Core {
	return &zapCore{c.log, append(slices.Clone(c.fields), fields...)}
}

func (c *zapCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Message == noStorageVersion { // an empty store, which gets its version a moment later
		e.Level = zapcore.DebugLevel
		if !c.Enabled(e.Level) {
			return nil
		}
	}
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range append(slices.Clone(c.fields), fields...) {
		f.AddTo(enc)
	}
	names := make([]string, 0, len(enc.Fields))
	for k := range enc.Fields {
		names = append(names, k)
	}
	slices.Sort(names)
	attrs := make([]slog.Attr, 0, len(names))
	for _, k := range names {
		attrs = append(attrs, slog.Any(k, enc.Fields[k]))
	}
	c.log.LogAttrs(context.Background(), slogLevel(e.Level), e.Message, attrs...)
	return nil
}

func (c *zapCore) Sync() error { return nil }
