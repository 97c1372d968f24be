package history

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/grafana/regexp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/features"
	"github.com/prometheus/prometheus/util/notifications"
	v1 "github.com/prometheus/prometheus/web/api/v1"
)

// apiPrefix is where Handler's routes lie.
const apiPrefix = "/api/v1"

// The bounds of remote read.
const (
	readSamples    = 50_000_000
	readConcurrent = 4
	readFrameBytes = 1 << 20
)

// Handler returns Prometheus' own HTTP API under /api/v1, and /-/healthy and /-/ready, which Grafana and promtool ask for.
// Whoever mounts it under a prefix strips that. Nothing in it writes or deletes.
func (h *History) Handler() http.Handler {
	started := time.Now()
	reg := prometheus.NewRegistry() // remote read's own
	ready := func(next http.HandlerFunc) http.HandlerFunc { return next }
	api := v1.NewAPI(
		h.engine, h.db, nil, nil, nothing{},
		func(context.Context) v1.ScrapePoolsRetriever { return nothing{} },
		func(context.Context) v1.TargetRetriever { return nothing{} },
		func(context.Context) v1.AlertmanagerRetriever { return nothing{} },
		func() config.Config { return config.Config{} },
		map[string]string{},
		v1.GlobalURLOptions{},
		ready,
		adminless{h.db}, h.cfg.Dir,
		false, false, 0, // no admin, no search
		h.log,
		func(context.Context) v1.RulesRetriever { return h },
		readSamples, readConcurrent, readFrameBytes,
		false,
		regexp.MustCompile(`^\x00$`), // no other origin may read
		func() (v1.RuntimeInfo, error) { return h.runtimeInfo(started), nil },
		&v1.PrometheusVersion{Version: "3.15.0", Revision: "homeostat " + h.cfg.Version, GoVersion: runtime.Version()},
		func() []notifications.Notification { return nil },
		func() (<-chan notifications.Notification, func(), bool) { return nil, nil, false },
		h.gather, reg,
		nil, false, nil, // no statistics renderer, no remote write
		false, false, false, false, // nor OTLP: the sources take those
		h.cfg.Lookback, false, false,
		nil, features.NewRegistry(),
		v1.OpenAPIOptions{},
		parser.NewParser(parser.Options{}),
	)
	router := route.New()
	api.Register(router.WithPrefix(apiPrefix))

	mux := http.NewServeMux()
	mux.HandleFunc("GET "+apiPrefix+"/metadata", h.serveMetadata)
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if !h.Ready() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.Handle("/", router)
	return mux
}

func (h *History) runtimeInfo(started time.Time) v1.RuntimeInfo {
	host, _ := os.Hostname() // shown only
	return v1.RuntimeInfo{
		StartTime: started.UTC(), ServerTime: time.Now().UTC(), CWD: h.cfg.Dir, Hostname: host,
		ReloadConfigSuccess: true, LastConfigTime: started.UTC(),
		GoroutineCount: runtime.NumGoroutine(), GOMAXPROCS: runtime.GOMAXPROCS(0), GOMEMLIMIT: debug.SetMemoryLimit(-1),
		GOGC: os.Getenv("GOGC"), GODEBUG: os.Getenv("GODEBUG"), StorageRetention: h.cfg.Keep.String(),
	}
}

// RuleGroups returns the rule groups for /rules; none until there are Rules.
func (h *History) RuleGroups() []*rules.Group {
	if m := h.rules.Load(); m != nil {
		return m.RuleGroups()
	}
	return nil
}

// AlertingRules returns the alerting rules for /alerts.
func (h *History) AlertingRules() []*rules.AlertingRule {
	if m := h.rules.Load(); m != nil {
		return m.AlertingRules()
	}
	return nil
}

// adminless is the part of the TSDB that the API may show. The rest can't be reached with the admin API off, and isn't there.
type adminless struct{ db *tsdb.DB }

// CleanTombstones is refused.
func (adminless) CleanTombstones() error { return tsdb.ErrNotReady }

// Delete is refused.
func (adminless) Delete(context.Context, int64, int64, ...*labels.Matcher) error {
	return tsdb.ErrNotReady
}

// Snapshot is refused.
func (adminless) Snapshot(string, bool) error { return tsdb.ErrNotReady }

// Stats tells what the head holds.
func (a adminless) Stats(byLabel string, limit int) (*tsdb.Stats, error) {
	return a.db.Head().Stats(byLabel, limit), nil
}

// WALReplayStatus says that the log is replayed: Open returns only then.
func (adminless) WALReplayStatus() (tsdb.WALReplayStatus, error) { return tsdb.WALReplayStatus{}, nil }

// BlockMetas tells what blocks there are.
func (a adminless) BlockMetas() ([]tsdb.BlockMeta, error) { return a.db.BlockMetas(), nil }

// nothing stands for what Prometheus has and Homeostat hasn't: scraping, Alertmanagers, exemplars. The API wants somebody to
// ask; nil panics.
type nothing struct{}

func (nothing) ScrapePools() []string                       { return []string{} }
func (nothing) TargetsActive() map[string][]*scrape.Target  { return map[string][]*scrape.Target{} }
func (nothing) TargetsDropped() map[string][]*scrape.Target { return map[string][]*scrape.Target{} }
func (nothing) TargetsDroppedCounts() map[string]int        { return map[string]int{} }
func (nothing) Alertmanagers() []*url.URL                   { return []*url.URL{} }
func (nothing) DroppedAlertmanagers() []*url.URL            { return []*url.URL{} }

func (nothing) ScrapePoolConfig(string) (*config.ScrapeConfig, error) {
	return nil, errors.New("nothing is scraped here")
}

func (nothing) ExemplarQuerier(context.Context) (storage.ExemplarQuerier, error) {
	return nothing{}, nil
}

func (nothing) Select(int64, int64, ...[]*labels.Matcher) ([]exemplar.QueryResult, error) {
	return []exemplar.QueryResult{}, nil
}
