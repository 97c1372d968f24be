package history

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/index"

	"homeostat/internal/signal"
)

// restoreSeries bounds how many series are read at start to learn the entities; others are learned as their samples come.
const restoreSeries = 200_000

// entityLabels are the labels that tell of an entity itself, whatever is measured.
var entityLabels = []string{
	"host_id", "host_name", "host_arch", "os_type", "os_name", "service_name", "service_namespace", "service_instance_id",
	"instance", "job", "cloud_region", "cloud_account_id", "deployment_environment_name",
}

// entities are those that series have been seen of.
type entities struct {
	mu   sync.Mutex
	byID map[signal.EntityID]*entity
}

// entity is one of them. Its fields are guarded by entities.mu.
type entity struct {
	id       signal.EntityID
	labels   map[string]string
	series   int    // that the writer knows: with samples in the last hours
	lastSeen int64  // Unix ms, of the data
	batch    string // id of the last batch with samples of it
}

// of returns the entity of one more series, making it known.
func (es *entities) of(id signal.EntityID, ls signal.Labels) *entity {
	es.mu.Lock()
	defer es.mu.Unlock()
	e, ok := es.byID[id]
	if !ok {
		if es.byID == nil {
			es.byID = map[signal.EntityID]*entity{}
		}
		e = &entity{id: id, labels: map[string]string{}}
		es.byID[id] = e
	}
	for _, n := range entityLabels {
		if v := ls.Value(n); v != "" {
			e.labels[n] = v
		}
	}
	e.series++
	return e
}

// saw notes that the series of a batch's dictionary have had samples in the batch with this id, "" for none of the stream.
func (es *entities) saw(dict []*entry, batch string) {
	es.mu.Lock()
	defer es.mu.Unlock()
	var last *entity
	for _, e := range dict {
		if e.entity == nil || e.entity == last {
			continue
		}
		last = e.entity
		last.lastSeen = max(last.lastSeen, e.time)
		if batch != "" {
			last.batch = batch
		}
	}
}

// forgot notes that the writer has forgotten a series.
func (es *entities) forgot(e *entity) {
	if e == nil {
		return
	}
	es.mu.Lock()
	defer es.mu.Unlock()
	e.series--
}

// lastBatch returns the id of the last batch with samples of an entity, or "".
func (es *entities) lastBatch(id signal.EntityID) string {
	es.mu.Lock()
	defer es.mu.Unlock()
	if e, ok := es.byID[id]; ok {
		return e.batch
	}
	return ""
}

// Entities returns all entities that have series, by id.
func (h *History) Entities() []signal.Entity {
	es := &h.entities
	es.mu.Lock()
	defer es.mu.Unlock()
	list := make([]signal.Entity, 0, len(es.byID))
	for _, e := range es.byID {
		list = append(list, signal.Entity{
			ID: e.id, Labels: maps.Clone(e.labels), Series: e.series, LastSeen: time.UnixMilli(e.lastSeen).UTC(),
		})
	}
	slices.SortFunc(list, func(a, b signal.Entity) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return list
}

// restoreEntities learns the series, and by them the entities, that the head holds; where it has none, the entities of the
// newest block.
func (h *History) restoreEntities(ctx context.Context) error {
	head := h.db.Head()
	if head.NumSeries() > 0 {
		ir, err := head.Index()
		if err != nil {
			return err
		}
		defer ir.Close()
		return h.learn(ctx, ir, head.MaxTime(), true)
	}
	blocks := h.db.Blocks()
	if len(blocks) == 0 {
		return nil
	}
	b := blocks[len(blocks)-1]
	ir, err := b.Index()
	if err != nil {
		return err
	}
	defer ir.Close()
	return h.learn(ctx, ir, b.MaxTime(), false)
}

// learn reads the series of an index. The references of the head's own are the writer's too.
func (h *History) learn(ctx context.Context, ir tsdb.IndexReader, newest int64, head bool) error {
	name, value := index.AllPostingsKey()
	p, err := ir.Postings(ctx, name, value)
	if err != nil {
		return err
	}
	var b labels.ScratchBuilder
	now := time.Now()
	for n := 0; p.Next() && n < restoreSeries; n++ {
		if err := ir.Series(p.At(), &b, nil); err != nil {
			continue // it went away meanwhile
		}
		ls := signalLabels(b.Labels())
		id := ls.Entity()
		if internalMetric(ls.Value(signal.MetricName)) {
			continue
		}
		e := h.entities.of(id, ls)
		e.lastSeen = newest
		if head {
			h.writer.series[ls.ID()] = &entry{labels: ls, ref: p.At(), entity: e, used: now}
		} else {
			e.series--
		}
	}
	return p.Err()
}

// internalMetric reports whether a metric is written by the history itself, of no entity's own.
func internalMetric(name string) bool {
	return name == positionMetric || name == "ALERTS" || name == "ALERTS_FOR_STATE"
}
