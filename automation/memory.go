package automation

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// MemoryJournal is a Journal that lives as long as the process: for tests, for rehearsals, and for tools that only show a
// plan. The zero value is empty and ready. Safe for concurrent use.
type MemoryJournal struct {
	mu      sync.Mutex
	order   []string
	entries map[string]Entry
}

// Step implements Journal.
func (j *MemoryJournal) Step(_ context.Context, path string) (Entry, bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e, ok := j.entries[path]
	return e, ok, nil
}

// Intend implements Journal.
func (j *MemoryJournal) Intend(_ context.Context, e Entry) error { return j.put(e) }

// Outcome implements Journal.
func (j *MemoryJournal) Outcome(_ context.Context, e Entry) error { return j.put(e) }

func (j *MemoryJournal) put(e Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	old, ok := j.entries[e.Path]
	if ok && !old.Open() {
		return fmt.Errorf("step %s has ended: %s", e.Path, old.State)
	}
	if j.entries == nil {
		j.entries = map[string]Entry{}
	}
	if !ok {
		j.order = append(j.order, e.Path)
	}
	e.Answers = old.Answers
	j.entries[e.Path] = e
	return nil
}

// Answer gives a waiting step an answer. Run must then be called.
func (j *MemoryJournal) Answer(path string, a Answer) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	e, ok := j.entries[path]
	if !ok || e.State != Waiting {
		return fmt.Errorf("step %s waits for nobody", path)
	}
	e.Answers = append(slices.Clip(e.Answers), a)
	j.entries[path] = e
	return nil
}

// Entries returns all entries in the order in which their steps began.
func (j *MemoryJournal) Entries() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make([]Entry, 0, len(j.order))
	for _, p := range j.order {
		all = append(all, j.entries[p])
	}
	return all
}
