package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A meter reads how busy a node is from the proc file system, see proc(5).
type meter struct {
	proc      string
	namespace int // of which process; 0 is all of the machine
	cpus      float64

	at          time.Time
	busy, total float64            // of the machine, in ticks
	used        map[string]float64 // by process, in seconds, where namespace is set
}

// read gives what was used since the last call; the first says nothing of CPU.
func (m *meter) read(now time.Time) (r nodeReport, err error) {
	if r.Memory, err = m.memory(); err != nil {
		return r, err
	}
	busy, total, processors, err := m.stat()
	if err != nil {
		return r, err
	}
	if m.namespace != 0 {
		cpus := m.cpus
		if cpus == 0 {
			cpus = processors
		}
		used, err := m.processes()
		if err != nil {
			return r, err
		}
		sum := 0.0
		for id, v := range used {
			sum += max(0, v-m.used[id]) // all of a process that is new
		}
		if dt := now.Sub(m.at).Seconds(); m.used != nil && dt > 0 {
			r.CPU = min(1, sum/dt/cpus)
		}
		m.used = used
	} else if total > m.total && m.total > 0 {
		r.CPU = min(1, max(0, (busy-m.busy)/(total-m.total)))
	}
	m.at, m.busy, m.total = now, busy, total
	return r, nil
}

// memory is the part that is not available to a new process.
func (m *meter) memory() (float64, error) {
	b, err := os.ReadFile(filepath.Join(m.proc, "meminfo"))
	if err != nil {
		return 0, err
	}
	kB := map[string]float64{}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) >= 2 {
			kB[f[0]], _ = strconv.ParseFloat(f[1], 64) // what is no number is not looked for
		}
	}
	if kB["MemTotal:"] <= 0 {
		return 0, fmt.Errorf("%s/meminfo has no MemTotal", m.proc)
	}
	return min(1, max(0, 1-kB["MemAvailable:"]/kB["MemTotal:"])), nil
}

// stat gives the ticks that all processors worked, all their ticks, and how many processors there are. What another machine had
// of a virtual processor counts as work.
func (m *meter) stat() (busy, total, processors float64, err error) {
	b, err := os.ReadFile(filepath.Join(m.proc, "stat"))
	if err != nil {
		return 0, 0, 0, err
	}
	const idle, iowait, guest = 3, 4, 8 // guests are in user already
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) > 5 && f[0] == "cpu":
			for i, text := range f[1:min(len(f), 1+guest)] {
				v, err := strconv.ParseFloat(text, 64)
				if err != nil {
					return 0, 0, 0, fmt.Errorf("%s/stat: %w", m.proc, err)
				}
				if total += v; i != idle && i != iowait {
					busy += v
				}
			}
		case len(f) > 5 && strings.HasPrefix(f[0], "cpu"):
			processors++
		}
	}
	if total == 0 {
		return 0, 0, 0, fmt.Errorf("%s/stat has no line of all processors", m.proc)
	}
	return busy, total, max(1, processors), nil
}

// processes gives the seconds that each thread of the network namespace ran or waited for a processor. Waiting counts: on a
// machine that several nodes share, a node that gets less than it asks for is not the less busy.
func (m *meter) processes() (map[string]float64, error) {
	own, err := os.Readlink(filepath.Join(m.proc, strconv.Itoa(m.namespace), "ns/net"))
	if err != nil {
		return nil, err
	}
	dirs, err := filepath.Glob(filepath.Join(m.proc, "[0-9]*"))
	if err != nil {
		return nil, err
	}
	used := map[string]float64{}
	for _, dir := range dirs {
		if ns, err := os.Readlink(filepath.Join(dir, "ns/net")); err != nil || ns != own {
			continue // another's, or gone
		}
		threads, err := filepath.Glob(filepath.Join(dir, "task/[0-9]*/schedstat"))
		if err != nil {
			return nil, err
		}
		for _, file := range threads {
			b, err := os.ReadFile(file) // #nosec G304 -- found above
			if err != nil {
				continue // gone
			}
			f := strings.Fields(string(b))
			if len(f) < 2 {
				continue
			}
			ran, err1 := strconv.ParseFloat(f[0], 64)
			waited, err2 := strconv.ParseFloat(f[1], 64)
			if errors.Join(err1, err2) == nil {
				used[file] = (ran + waited) / 1e9
			}
		}
	}
	return used, nil
}
