package history

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"homeostat/internal/signal"
)

// metaKept bounds the metrics that metadata is kept of.
const metaKept = 50_000

// metaStore keeps what is known of metrics, newest said last. It is in memory only: sources tell it again.
type metaStore struct {
	mu     sync.RWMutex
	byName map[string]signal.Meta
}

func (m *metaStore) add(list []signal.Meta) {
	if len(list) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byName == nil {
		m.byName = map[string]signal.Meta{}
	}
	for _, meta := range list {
		if _, ok := m.byName[meta.Name]; ok || len(m.byName) < metaKept {
			m.byName[meta.Name] = meta
		}
	}
}

// metaAnswer is one metric's metadata as the Prometheus API has it.
type metaAnswer struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// serveMetadata answers GET /metadata, which Prometheus fills from its scrape targets and we from what sources told.
func (h *History) serveMetadata(w http.ResponseWriter, r *http.Request) {
	limit := -1
	if s := r.FormValue("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{
				"status": "error", "errorType": "bad_data", "error": "limit must be a number",
			})
			return
		}
		limit = n
	}
	metric := r.FormValue("metric")
	data := map[string][]metaAnswer{}
	h.meta.mu.RLock()
	for _, name := range slices.Sorted(maps.Keys(h.meta.byName)) {
		if metric != "" && name != metric {
			continue
		}
		if limit >= 0 && len(data) >= limit {
			break
		}
		m := h.meta.byName[name]
		data[name] = []metaAnswer{{Type: m.Type, Help: m.Help, Unit: m.Unit}}
	}
	h.meta.mu.RUnlock()
	writeJSON(w, http.StatusOK, map[string]any{"status": "success", "data": data})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone away
}
