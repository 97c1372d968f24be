// Package runbook carries executions of runbooks: guard, act, verify.
//
// The bus starts an execution within the transaction that publishes its event ([Runbooks.Start]); from then on a job of
// River carries it, step after step, until it ends or must wait for a timer, an approval or a person. What the document says
// is done by package automation; this package gives it a journal in our database, guards, and hands.
//
// # What holds
//
// An execution's id is made from event, route and runbook, so that an event seen twice starts it once. Everything that
// happens to it (state, journal, audit entry, link of the causal chain, event, next job) is committed in one transaction. An
// execution keeps the documents' texts that it began with. A job may be lost, come twice or die in the middle: an execution is
// carried by one goroutine at a time, its journal says what has ended, and [Runbooks.Recover] gives each open one a job again.
//
// Before each changing step the guards are asked, in one transaction with the mark that the execution acts; a guard that can't
// be evaluated refuses. In mode observe no changing step reaches the hands: guards and steps say what they would do. In mode
// approve a person is asked before the first changing step. After an execution that acted, the condition that fired is looked
// at again until it is gone for a settle time: only then has the execution succeeded.
package runbook

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"homeostat/automation"
	"homeostat/internal/signal"
)

// Config says how far executions may go and what holds them back. The zero value is the careful default.
type Config struct {
	Mode           signal.Mode     // the highest mode that any execution may use; observe when empty
	Host           signal.EntityID // this host: what a person's execution is about who names no entity, where the document asks for one
	Guards         signal.Guards   // what holds everywhere; see [DefaultGuards] for what holds when a field is zero
	ApprovalExpiry time.Duration   // how long a person may take to approve; 1 h when 0
	VerifyTimeout  time.Duration   // how long the condition may take to go; 5 m when 0
	VerifyEvery    time.Duration   // how often it is looked at; 3 s when 0
	VerifySettle   time.Duration   // how long it must stay away; 15 s when 0

	LinksTo map[string]string // by notify target, the token's name of the one person that it reaches, who may approve

	Routes map[string][]string                 // the routes that start each document, by its name, for lists to show
	Route  map[string]map[string]signal.Guards // by route and runbook, what a route says otherwise
}

func (c Config) withDefaults() Config {
	c.Mode = signal.Least(c.Mode, signal.Auto)
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.ApprovalExpiry, time.Hour)
	def(&c.VerifyTimeout, 5*time.Minute)
	def(&c.VerifyEvery, 3*time.Second)
	def(&c.VerifySettle, 15*time.Second)
	c.Guards = override(DefaultGuards(), c.Guards)
	return c
}

// Bus publishes events within the caller's transaction.
type Bus interface {
	PublishTx(ctx context.Context, tx *sql.Tx, evs ...signal.Event) error
}

// Jobs inserts jobs of River within the caller's transaction.
type Jobs interface {
	InsertTx(ctx context.Context, tx *sql.Tx, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
}

// Audit appends to the audit log within the caller's transaction.
type Audit interface {
	Append(ctx context.Context, tx *sql.Tx, e signal.AuditEntry) error
}

// Chain adds links to the causal chain within the caller's transaction. A link that is there already stays as it is, or is
// replaced: either will do.
type Chain interface {
	Add(ctx context.Context, tx *sql.Tx, links ...signal.Link) error
}

// Conditions says whether what an event told of still holds, and why in a few words: of an alert whether its rule still
// fires, of an anomaly whether it goes on. An error counts as "still holds".
type Conditions interface {
	Holds(ctx context.Context, ev signal.Event) (bool, string, error)
}

// Needs are what executions stand on. Conditions may be nil: nothing is verified then, and executions say so.
type Needs struct {
	DB         *sql.DB // the one writer
	Read       *sql.DB
	Catalog    *Catalog
	Hands      automation.Hands
	Reaches    func(entity string) error // whether the hands can act on it; nil: on any
	Bus        Bus
	Jobs       Jobs
	Audit      Audit
	Chain      Chain
	Conditions Conditions
	Calendars  func(ctx context.Context, arn string, at time.Time) (closed string, err error) // why a Change Calendar of Systems Manager is closed, "" while it is open; nil: none can be asked
	Entities   func(ctx context.Context) ([]signal.Entity, error)                             // what is watched, for the blast radius; nil: nothing is known of it
}

// Runbooks carries executions. Safe for concurrent use.
type Runbooks struct {
	cfg    Config
	need   Needs
	log    *slog.Logger
	metric metrics

	mu     sync.Mutex
	active map[string]context.CancelCauseFunc // executions that a goroutine carries just now
	live   map[string][]automation.Entry      // of these: reading steps under way that their journals have not written yet
	parsed map[string]*automation.Document    // by name and version, as executions that began with older texts need them

	linkKey []byte // signs the links of questions
	commits committer
	rules   map[string]*rules // guards by route and runbook, "" for all others
}

// New returns the stage and keeps the catalog's texts in the database. A nil log discards, a nil reg keeps metrics to itself.
func New(ctx context.Context, c Config, n Needs, log *slog.Logger, reg prometheus.Registerer) (*Runbooks, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	r := &Runbooks{
		cfg: c.withDefaults(), need: n, log: log, metric: newMetrics(reg),
		active: map[string]context.CancelCauseFunc{},
		live:   map[string][]automation.Entry{},
		parsed: map[string]*automation.Document{},
	}
	r.commits.db = n.DB
	if err := r.makeRules(); err != nil {
		return nil, err
	}
	err := r.inTx(ctx, func(tx *sql.Tx) error {
		return errors.Join(r.openLinks(ctx, tx), keepDocuments(ctx, tx, n.Catalog))
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// setLive adds to what a journal keeps in memory; with no entry it forgets all of an execution's.
func (r *Runbooks) setLive(id string, es ...automation.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(es) == 0 {
		delete(r.live, id)
		return
	}
	r.live[id] = append(r.live[id], es...)
}

// inTx runs fn in a transaction of the writer.
func (r *Runbooks) inTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := r.need.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// metrics of the stage. Labels come from closed sets: runbooks are files.
type metrics struct {
	executions *prometheus.CounterVec
	steps      *prometheus.CounterVec
	refusals   *prometheus.CounterVec
	stepTook   prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		executions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeostat_runbook_executions_total", Help: "Executions that have ended, by runbook, mode and state.",
		}, []string{"runbook", "mode", "outcome"}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeostat_runbook_steps_total", Help: "Steps that have ended, by effect and state.",
		}, []string{"effect", "outcome"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeostat_runbook_refusals_total", Help: "Executions and steps that were refused, by guard.",
		}, []string{"guard"}),
		stepTook: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "homeostat_runbook_step_seconds", Help: "How long steps took.",
			Buckets: []float64{0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800},
		}),
	}
	reg.MustRegister(m.executions, m.steps, m.refusals, m.stepTook)
	return m
}
