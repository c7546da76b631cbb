package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockDir takes the directory for this process. The lock is the kernel's (flock(2)): it ends with
// the file's last descriptor, so a killed process leaves none behind.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // #nosec G304 -- in the data directory that the command line names
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		owner, _ := os.ReadFile(path) // #nosec G304 -- in the data directory that the command line names
		if pid := strings.TrimSpace(string(owner)); pid != "" {
			return nil, fmt.Errorf("in use by process %s: stop it or choose another data directory", pid)
		}
		return nil, errors.New("in use by another process: stop it or choose another data directory")
	}
	// The pid is for the other process's error message only.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	return f, nil
}
