package source

import (
	"sync"
	"time"

	"homeostat/internal/signal"
)

// What is remembered of metadata: told again after metaAgain, since the history may have lost it, and at most maxMeta.
const (
	metaAgain = time.Hour
	maxMeta   = 100_000
)

// MetaCache is the metadata that the stream has already: remote write 2.0 and OTLP send it with every sample. Safe for concurrent
// use; the zero value works.
type MetaCache struct {
	mu    sync.RWMutex
	metas map[string]signal.Meta
	since time.Time
}

// News reports whether the stream has not been told this.
func (k *MetaCache) News(m signal.Meta) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	old, ok := k.metas[m.Name]
	return !ok || old != m || time.Since(k.since) > metaAgain
}

// Told remembers what the stream has been told.
func (k *MetaCache) Told(ms []signal.Meta) {
	if len(ms) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.metas == nil || len(k.metas) > maxMeta || time.Since(k.since) > metaAgain {
		k.metas, k.since = map[string]signal.Meta{}, time.Now()
	}
	for _, m := range ms {
		k.metas[m.Name] = m
	}
}
