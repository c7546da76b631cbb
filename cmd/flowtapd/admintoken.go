package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/flowtap/flowtap/northbound"
	"github.com/flowtap/flowtap/store"
)

// adminToken is the file in the data directory that the first token of a provider is written to.
const adminToken = "admin-token"

// firstToken makes the first token of a provider, unless the store ever had one, and writes it to a file that
// nobody else can read. The file is written first: a process that dies in between finds it, and goes on with what is in
// it. Of several replicas that start at once one makes the token; the others take their files away again.
func firstToken(ctx context.Context, st *store.Store, dir string, log *slog.Logger) error {
	path := filepath.Join(dir, adminToken)
	ours := false
	kept, err := northbound.FirstToken(ctx, st, func(secret string) (string, error) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
		err := writeNew(path, secret+"\n")
		if ours = err == nil; ours || !errors.Is(err, fs.ErrExist) {
			return secret, err
		}
		old, err := os.ReadFile(path) // #nosec G304 -- in the data directory that the command line names
		return string(old), err
	})
	switch {
	case err != nil && !errors.Is(err, store.ErrOutcomeUnknown):
		return fmt.Errorf("make the first token in %s: %w", path, err)
	case err != nil:
		return fmt.Errorf("make the first token in %s: %w: start again", path, err)
	case kept:
		log.Info("the first token of a provider is in a file", "path", path)
	case ours:
		return os.Remove(path)
	}
	return nil
}

// writeNew writes a file that must not be there, for the owner alone, and returns when it is on the disk.
func writeNew(path, text string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- in the data directory that the command line names
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	return f.Sync()
}
