// Package incident groups what is wrong, or is foreseen to be: the anomalies, alerts and breaches of one entity, from the first one until all is well again,
// with what was done about them.
//
// The bus shows it each event before the routes see it ([Incidents.See]). While anything on an entity is wrong there is one
// open incident for it; new trouble joins it, also in the quiet time after all else has ended, so that what flaps opens one
// incident and not twenty. It resolves when all in it have ended, no execution runs or waits, the last verify did not fail, and
// the quiet time has gone by. A verify that failed keeps it open until a later one passes or a person resolves it, and it says so.
//
// When something began or ended is the data's own time. Only the quiet time is measured against the clock ([Incidents.Run]).
package incident

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeostat/internal/signal"
)

// Config says when an incident is over. The zero value is the default.
type Config struct {
	// Quiet is for how long nothing may be wrong before an incident resolves; 5 m when 0.
	Quiet time.Duration `yaml:"quiet"`
	// Look is how often that is looked at; 5 s when 0.
	Look time.Duration `yaml:"look"`
}

// The states of an incident.
const (
	open     = "open"
	resolved = "resolved"
)

// Audit appends to the audit log within the caller's transaction.
type Audit interface {
	Append(ctx context.Context, tx *sql.Tx, e signal.AuditEntry) error
}

// Chain adds links to the causal chain within the caller's transaction. One that is there keeps its sentence where the new one
// has none, and gains the new causes.
type Chain interface {
	Add(ctx context.Context, tx *sql.Tx, links ...signal.Link) error
}

// Needs are what incidents stand on.
type Needs struct {
	DB    *sql.DB // the one writer
	Read  *sql.DB
	Audit Audit
	Chain Chain
	// Publish tells of an incident within the caller's transaction. It is a function, as the bus needs incidents first.
	Publish func(ctx context.Context, tx *sql.Tx, evs ...signal.Event) error
}

// Incidents keeps incidents. What it knows is in the database. Safe for concurrent use.
type Incidents struct {
	cfg    Config
	need   Needs
	log    *slog.Logger
	metric metrics
	failed atomic.Pointer[string] // what was wrong with the last look; nil when nothing was
}

type metrics struct {
	opened   prometheus.Counter
	resolved *prometheus.CounterVec
	open     prometheus.Gauge
	failed   prometheus.Counter
}

// New returns the stage. A nil log discards, a nil reg keeps the metrics to itself.
func New(c Config, need Needs, log *slog.Logger, reg prometheus.Registerer) *Incidents {
	c.Quiet = cmp.Or(c.Quiet, 5*time.Minute)
	c.Look = cmp.Or(c.Look, 5*time.Second)
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	m := metrics{
		opened: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeostat_incident_opened_total", Help: "Incidents opened.",
		}),
		resolved: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeostat_incident_resolved_total", Help: "Incidents resolved, by whom: the clock or a person.",
		}, []string{"by"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "homeostat_incident_open_incidents", Help: "Incidents that are open.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeostat_incident_look_failed_total", Help: "Looks for incidents to resolve that failed.",
		}),
	}
	reg.MustRegister(m.opened, m.resolved, m.open, m.failed)
	return &Incidents{cfg: c, need: need, log: log, metric: m}
}

// See takes one event into account, within the transaction that publishes it. It writes detail.incident into anomalies, alerts and
// breaches, and returns what is to be told of the incident. Only homeostat's own events count.
func (in *Incidents) See(ctx context.Context, tx *sql.Tx, ev *signal.Event) ([]signal.Event, error) {
	if !strings.HasPrefix(ev.Source, "homeostat.") {
		return nil, nil
	}
	var (
		more []signal.Event
		err  error
	)
	switch ev.DetailType {
	case signal.AnomalyDetected, signal.AlertFiring:
		more, err = in.began(ctx, tx, ev)
	case signal.AnomalyEnded, signal.AlertResolved:
		more, err = in.ended(ctx, tx, ev)
	case signal.UnusualAccess, signal.ForecastBreach:
		more, err = in.retold(ctx, tx, ev)
	case signal.ExecutionStarted, signal.ExecutionWaitingForApproval, signal.ExecutionSucceeded, signal.ExecutionFailed, signal.ExecutionRefused:
		more, err = in.executed(ctx, tx, ev)
	}
	if err != nil {
		return nil, fmt.Errorf("incident of %s: %w", ev.ID, err)
	}
	return more, nil
}

// kindAccess is the kind of a member that is a finding of unusual access.
const kindAccess = "access"

// retold takes in what is told again under one name, at last with its end: a finding of unusual access, which grows meanwhile,
// and a breach that is foreseen.
func (in *Incidents) retold(ctx context.Context, tx *sql.Tx, ev *signal.Event) ([]signal.Event, error) {
	var f struct {
		Ended time.Time `json:"ended"`
	}
	if err := json.Unmarshal(ev.Detail, &f); err != nil {
		return nil, fmt.Errorf("detail: %w", err)
	}
	if f.Ended.IsZero() {
		return in.began(ctx, tx, ev)
	}
	return in.ended(ctx, tx, ev)
}

// joined returns the open incident that m belongs to though it is of another entity: what touched a machine and what is wrong
// with the machine are one story, whichever comes first.
func joined(ctx context.Context, tx *sql.Tx, m member) (record, error) {
	for _, e := range m.touched {
		if r, err := openIncident(ctx, tx, e); err != nil || r.ID != "" {
			return r, err
		}
	}
	return openTouching(ctx, tx, m.entity)
}

// newMember reads an anomaly or alert out of its event.
func newMember(ev *signal.Event) (member, error) {
	m := member{seen: ev.Time}
	switch ev.DetailType {
	case signal.AnomalyDetected, signal.AnomalyEnded:
		var a signal.Anomaly
		if err := json.Unmarshal(ev.Detail, &a); err != nil {
			return m, fmt.Errorf("detail: %w", err)
		}
		m.entity = a.Entity
		m.Member = signal.Member{
			ID: a.ID, Kind: "anomaly", Severity: a.Severity, Began: a.Began, Ended: a.Ended, Detail: ev.Detail,
			Title: cmp.Or(a.Reason, "something unusual, says "+a.Detector),
		}
	case signal.UnusualAccess:
		var f signal.Finding
		if err := json.Unmarshal(ev.Detail, &f); err != nil {
			return m, fmt.Errorf("detail: %w", err)
		}
		m.entity, m.touched = f.Entity, f.Entities
		m.Member = signal.Member{
			ID: f.ID, Kind: kindAccess, Severity: f.Severity, Began: f.Began, Ended: f.Ended, Detail: ev.Detail,
			Title: "Unusual access: " + cmp.Or(f.Reason, f.User+" from "+f.Address),
		}
	case signal.ForecastBreach:
		var b signal.Breach
		if err := json.Unmarshal(ev.Detail, &b); err != nil {
			return m, fmt.Errorf("detail: %w", err)
		}
		m.entity = b.Entity
		m.Member = signal.Member{
			ID: b.ID, Kind: "breach", Severity: b.Severity, Began: b.Made, Ended: b.Ended, Detail: ev.Detail,
			Title: cmp.Or(b.Reason, b.Series+" is going to cross a limit"),
		}
	default:
		var a signal.Alert
		if err := json.Unmarshal(ev.Detail, &a); err != nil {
			return m, fmt.Errorf("detail: %w", err)
		}
		m.entity = a.Entity
		m.Member = signal.Member{
			ID: a.ID, Kind: "alert", Severity: a.Severity, Began: a.Began, Ended: a.Ended, Detail: ev.Detail,
			Title: cmp.Or(a.Reason, a.Rule),
		}
	}
	if m.ID == "" {
		return m, fmt.Errorf("detail: it has no id: %w", signal.ErrInvalid)
	}
	if m.Began.IsZero() {
		m.Began = ev.Time
	}
	return m, nil
}

// began puts an anomaly or alert into the entity's open incident, or opens one.
func (in *Incidents) began(ctx context.Context, tx *sql.Tx, ev *signal.Event) ([]signal.Event, error) {
	m, err := newMember(ev)
	if err != nil {
		return nil, err
	}
	m.Ended = time.Time{}
	if old, err := findMember(ctx, tx, m.ID, m.Began); err != nil {
		return nil, err
	} else if old.incident != "" { // told again, with more to say
		return in.again(ctx, tx, ev, m, old)
	}
	r, err := openIncident(ctx, tx, m.entity)
	if err == nil && r.ID == "" {
		r, err = joined(ctx, tx, m)
	}
	if err != nil {
		return nil, err
	}
	fresh := r.ID == ""
	if fresh {
		r = record{Incident: signal.Incident{
			Head:   signal.Head{ID: signal.MakeID(signal.KindIncident, string(m.entity), m.ID, m.Began.UTC().Format(time.RFC3339Nano)), Entity: m.entity, Severity: signal.Info},
			State:  open,
			Opened: ev.Time,
		}}
		if err := r.insert(ctx, tx); err != nil {
			return nil, err
		}
		in.metric.opened.Inc()
	}
	stamp(ev, r.ID)
	m.incident, m.Detail = r.ID, ev.Detail
	if err := m.insert(ctx, tx); err != nil {
		return nil, err
	}
	told, err := in.changed(ctx, tx, r.ID, ev)
	if err != nil || !fresh {
		return told, err
	}
	return told, in.audit(ctx, tx, ev.Time, "homeostat", "incident.open", r.ID, m.Title)
}

// again takes in what is told a second time of something that is known: how bad it is may have changed.
func (in *Incidents) again(ctx context.Context, tx *sql.Tx, ev *signal.Event, m, old member) ([]signal.Event, error) {
	stamp(ev, old.incident)
	m.incident, m.Detail, m.Ended = old.incident, withProcesses(ev.Detail, old.Detail), old.Ended
	if m.Severity.Rank() < old.Severity.Rank() {
		m.Severity = old.Severity
	}
	if err := m.update(ctx, tx); err != nil {
		return nil, err
	}
	return in.changed(ctx, tx, old.incident, ev)
}

// ended notes the end of an anomaly or alert. One that no incident knows of has nothing to end.
func (in *Incidents) ended(ctx context.Context, tx *sql.Tx, ev *signal.Event) ([]signal.Event, error) {
	m, err := newMember(ev)
	if err != nil {
		return nil, err
	}
	old, err := findMember(ctx, tx, m.ID, m.Began)
	if err == nil && old.incident == "" {
		old, err = openMember(ctx, tx, m.ID) // its begin was told otherwise
	}
	if err != nil || old.incident == "" {
		return nil, err
	}
	stamp(ev, old.incident)
	m.Began, m.incident, m.Detail = old.Began, old.incident, withProcesses(ev.Detail, old.Detail)
	if m.Ended.IsZero() {
		m.Ended = ev.Time
	}
	if m.Severity.Rank() < old.Severity.Rank() {
		m.Severity = old.Severity
	}
	m.Title = old.Title // what went wrong, rather than that it is over
	if err := m.update(ctx, tx); err != nil {
		return nil, err
	}
	return in.changed(ctx, tx, old.incident, ev)
}

// executed notes what is being done, or was done, about an incident.
func (in *Incidents) executed(ctx context.Context, tx *sql.Tx, ev *signal.Event) ([]signal.Event, error) {
	var x signal.Execution
	if err := json.Unmarshal(ev.Detail, &x); err != nil {
		return nil, fmt.Errorf("detail: %w", err)
	}
	if x.Incident == "" || x.ID == "" {
		return nil, nil
	}
	r, err := byID(ctx, tx, x.Incident)
	if err != nil || r.ID == "" {
		return nil, err
	}
	d := deed{
		execution: x.ID, incident: r.ID, runbook: x.Runbook, mode: x.Mode, state: x.State, verify: x.Verify, at: ev.Time,
		reason: cmp.Or(x.Reason, x.Outcome),
	}
	if d.state == "" {
		d.state = stateOf(ev.DetailType)
	}
	if err := d.put(ctx, tx); err != nil {
		return nil, err
	}
	// The execution came of the event that a route matched; that it belongs to the incident is its second cause.
	err = in.need.Chain.Add(ctx, tx, signal.Link{ID: x.ID, Kind: "execution", Time: ev.Time, Cause: []string{r.ID}})
	if err != nil {
		return nil, err
	}
	return in.changed(ctx, tx, r.ID, ev)
}

// stateOf is what an execution's event says of its state where the detail says nothing.
func stateOf(detailType string) string {
	switch detailType {
	case signal.ExecutionWaitingForApproval:
		return signal.Waiting
	case signal.ExecutionSucceeded:
		return signal.Success
	case signal.ExecutionFailed:
		return signal.Failed
	case signal.ExecutionRefused:
		return signal.Refused
	}
	return signal.InProgress
}

// changed works out an incident anew from its members and executions, stores what is different, and returns what there is to
// tell. One that is resolved stays as it is.
func (in *Incidents) changed(ctx context.Context, tx *sql.Tx, id string, ev *signal.Event) ([]signal.Event, error) {
	r, err := whole(ctx, tx, id)
	if err != nil || r.State != open {
		return nil, err
	}
	before := r
	r.Severity, r.Title, r.ended = worst(r.Members, before.Severity), title(r.Entity, r.Members), allEnded(r.Members)
	r.Note = note(r, in.cfg.Quiet)
	fresh := before.Title == ""
	if !fresh && r.Severity == before.Severity && r.Title == before.Title && r.Note == before.Note && r.ended.Equal(before.ended) {
		return nil, nil
	}
	r.Updated = ev.Time
	if err := r.update(ctx, tx); err != nil {
		return nil, err
	}
	err = in.need.Chain.Add(ctx, tx, signal.Link{ID: r.ID, Kind: "incident", Time: r.Opened, Text: "incident: " + r.Title, Cause: r.Cause})
	if err != nil {
		return nil, err
	}
	detailType := signal.IncidentUpdated
	if fresh {
		detailType = signal.IncidentOpened
	}
	out, err := r.event(detailType, ev.ID, ev.Time)
	return []signal.Event{out}, err
}

// event tells of the incident because of the event or person named by.
func (r record) event(detailType, by string, at time.Time) (signal.Event, error) {
	inc := r.Incident
	inc.Head.Incident = r.ID
	inc.Cause = append([]string{}, r.Cause...)
	if signal.KindOf(by) == signal.KindEvent {
		inc.Cause = append(inc.Cause, by)
	}
	inc.Members = make([]signal.Member, len(r.Members))
	for i, m := range r.Members {
		m.Detail = nil // the member's own event has it
		inc.Members[i] = m
	}
	return signal.NewEvent("incident", detailType, r.ID+" "+by, at, inc)
}

func (in *Incidents) audit(ctx context.Context, tx *sql.Tx, at time.Time, actor, verb, id, reason string) error {
	return in.need.Audit.Append(ctx, tx, signal.AuditEntry{Time: at, Actor: actor, Verb: verb, Subject: id, Reason: reason})
}

// withProcesses returns a detail with the processes that the one before it had, where it has none itself: what ran when the
// trouble began stays with it for good.
func withProcesses(detail, before json.RawMessage) json.RawMessage {
	var now, was map[string]json.RawMessage
	if json.Unmarshal(detail, &now) != nil || json.Unmarshal(before, &was) != nil || was["processes"] == nil || now["processes"] != nil {
		return detail
	}
	now["processes"] = was["processes"]
	out, err := json.Marshal(now)
	if err != nil {
		return detail
	}
	return out
}

// stamp writes the incident into an event's detail, and leaves the rest of it byte for byte.
func stamp(ev *signal.Event, id string) {
	var head struct {
		Incident *string `json:"incident"`
	}
	if json.Unmarshal(ev.Detail, &head) == nil && head.Incident != nil {
		var all map[string]json.RawMessage
		if json.Unmarshal(ev.Detail, &all) != nil {
			return
		}
		all["incident"] = json.RawMessage(`"` + id + `"`)
		if text, err := json.Marshal(all); err == nil {
			ev.Detail = text
		}
		return
	}
	rest := strings.TrimSpace(string(ev.Detail))
	rest = strings.TrimSpace(strings.TrimPrefix(rest, "{"))
	sep := ","
	if rest == "}" {
		sep = ""
	}
	ev.Detail = json.RawMessage(`{"incident":"` + id + `"` + sep + rest)
}
