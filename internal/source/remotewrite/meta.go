package remotewrite

import (
	"maps"
	"strings"
	"sync"
	"time"

	"homeostat/internal/signal"
)

// What is remembered of metadata: told again after metaAgain, since the history may have lost it, and at most maxMeta.
const (
	metaAgain = time.Hour
	maxMeta   = 100_000
)

// known is the metadata that the stream has already: 2.0 sends it with every sample. Safe for concurrent use.
type known struct {
	mu    sync.RWMutex
	metas map[string]signal.Meta
	since time.Time
}

// news reports whether the stream has not been told this.
func (k *known) news(m signal.Meta) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	old, ok := k.metas[m.Name]
	return !ok || old != m || time.Since(k.since) > metaAgain
}

// told remembers what the stream has been told.
func (k *known) told(ms []signal.Meta) {
	if len(ms) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.metas == nil || len(k.metas) > maxMeta || time.Since(k.since) > metaAgain {
		k.metas, k.since = map[string]signal.Meta{}, time.Now()
	}
	maps.Insert(k.metas, func(yield func(string, signal.Meta) bool) {
		for _, m := range ms {
			if !yield(m.Name, m) {
				return
			}
		}
	})
}

// metricTypes are the metric types of both versions, by their number.
var metricTypes = [...]string{"unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"}

// family is the name that metadata goes by: that of the metric without what its type adds to the name of its series.
func family(name, kind string) string {
	switch kind {
	case "histogram", "gaugehistogram", "summary":
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if f, ok := strings.CutSuffix(name, suffix); ok {
				return f
			}
		}
	}
	return name
}
