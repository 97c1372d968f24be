package runbook

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"homeostat/automation"
	"homeostat/internal/signal"
)

// Target is what a route asks for.
type Target struct {
	Runbook    string
	Mode       signal.Mode // observe when empty; never more than the configuration's
	Parameters map[string]any
	Repeat     bool // lets the runbook act more than once for an incident and entity
}

// Start begins an execution for an event, within the transaction that publishes the event. Seen twice, it is begun once. What
// can't be begun becomes an execution that is Refused, with the reason, and is no error.
func (r *Runbooks) Start(ctx context.Context, tx *sql.Tx, ev signal.Event, route string, t Target) error {
	var head signal.Head
	if err := json.Unmarshal(ev.Detail, &head); err != nil {
		return fmt.Errorf("event %s: %w", ev.ID, err)
	}
	envelope, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	x := &execution{repeat: t.Repeat, envelope: string(envelope)}
	x.Head = signal.Head{
		ID:     signal.MakeID(signal.KindExecution, finding(ev, head, t), route, t.Runbook),
		Entity: head.Entity, Cause: []string{ev.ID}, Severity: head.Severity, Incident: head.Incident,
	}
	x.Runbook, x.Route, x.Event, x.By = t.Runbook, route, ev.ID, "route "+route
	x.Mode = signal.Least(r.cfg.Mode, t.Mode)
	x.Parameters = t.Parameters
	return r.begin(ctx, tx, x)
}

// finding names what an execution is begun for once: the event; of a finding of ours that is told again as it goes on (graver, or
// of more), the finding. A target that may act more than once for an incident hears each telling.
func finding(ev signal.Event, head signal.Head, t Target) string {
	switch ev.DetailType {
	case signal.AnomalyDetected, signal.AlertFiring, signal.UnusualAccess, signal.ForecastBreach:
		if strings.HasPrefix(ev.Source, "homeostat.") && head.ID != "" && !t.Repeat {
			return head.ID
		}
	}
	return ev.ID
}

// StartRunbook begins an execution on a person's word, behind the same guards as a route's, and returns its id. A mode above
// the configuration's is [signal.ErrConflict]; parameters that don't fit are [signal.ErrInvalid].
func (r *Runbooks) StartRunbook(ctx context.Context, s signal.Start) (string, error) {
	if s.Mode == "" {
		s.Mode = signal.Observe
	}
	if signal.Least(s.Mode, signal.Auto) != s.Mode {
		return "", fmt.Errorf("mode %q: want observe, approve or auto: %w", s.Mode, signal.ErrInvalid)
	}
	if signal.Least(r.cfg.Mode, s.Mode) != s.Mode {
		return "", fmt.Errorf("mode %s: the configuration's mode is %s at most: %w", s.Mode, r.cfg.Mode, signal.ErrConflict)
	}
	doc, err := r.need.Catalog.Document(s.Runbook, "")
	if err != nil {
		return "", fmt.Errorf("runbook %s: %w", s.Runbook, signal.ErrNotFound)
	}
	given := map[string]any{}
	if _, ok := doc.Parameter("Entity"); ok && s.Entity != "" {
		given["Entity"] = string(s.Entity)
	}
	maps.Copy(given, s.Parameters)
	if q, ok := doc.Parameter("Entity"); ok && q.Default == nil && given["Entity"] == nil && s.Rate == nil {
		given["Entity"] = string(r.cfg.Host)
	}
	if e, ok := given["Entity"].(string); ok && s.Entity == "" {
		s.Entity = signal.EntityID(e)
	}
	x := &execution{repeat: true}
	if s.Rate != nil {
		if x.targets, x.targetsText, err = forTargets(doc, given, *s.Rate); err != nil {
			return "", fmt.Errorf("runbook %s: %w: %w", s.Runbook, err, signal.ErrInvalid)
		}
		doc = x.targets
	}
	if _, err := doc.Bind(given); err != nil {
		return "", fmt.Errorf("runbook %s: %w: %w", s.Runbook, err, signal.ErrInvalid)
	}
	x.Head = signal.Head{
		ID:     signal.MakeID(signal.KindExecution, s.By, s.Runbook, strconv.FormatInt(time.Now().UnixNano(), 10)),
		Entity: s.Entity, Cause: []string{}, Severity: signal.Info,
	}
	x.Runbook, x.By, x.Mode, x.Parameters, x.Reason = s.Runbook, s.By, s.Mode, given, s.Reason
	if x.By == "" {
		x.By = "local"
	}
	return x.ID, r.inTx(ctx, func(tx *sql.Tx) error { return r.begin(ctx, tx, x) })
}

// begin adds an execution that isn't there yet, with its first job.
func (r *Runbooks) begin(ctx context.Context, tx *sql.Tx, x *execution) error {
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM executions WHERE id = $1`, x.ID).Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return nil // the same event, route and runbook: it has begun already
	}
	x.Began, x.State = time.Now().UTC().Truncate(time.Millisecond), signal.InProgress
	guard, refusal, err := r.mayBegin(ctx, tx, x)
	if err != nil {
		return err
	}
	if h, ok, err := held(ctx, tx, x.Runbook, x.Entity); err != nil {
		return err
	} else if ok && x.Mode == signal.Auto && refusal == "" {
		x.Mode = signal.Approve
		x.Reason = strings.TrimPrefix(x.Reason+"; mode approve instead of auto: "+heldText(h.Failed, x.Entity), "; ")
	}
	if refusal != "" {
		r.metric.refusals.WithLabelValues(guard).Inc()
		x.State, x.Reason, x.Ended = signal.Refused, refusal, x.Began
	}
	why := x.Reason // a person's, or the refusal's
	if err := insert(ctx, tx, x); err != nil {
		return err
	}
	if x.ended() {
		return r.tellEnd(ctx, tx, x)
	}
	text := fmt.Sprintf("%s began %s on %s in mode %s", x.By, x.Runbook, x.Entity, x.Mode)
	if err := r.audit(ctx, tx, x, "execution.begin", x.ID, why, map[string]any{
		"runbook": x.Runbook, "version": x.Version, "mode": x.Mode, "event": x.Event, "parameters": x.Parameters,
	}); err != nil {
		return err
	}
	link := signal.Link{ID: x.ID, Kind: "execution", Time: x.Began, Text: text, Cause: x.Cause}
	if err := r.need.Chain.Add(ctx, tx, link); err != nil {
		return err
	}
	if err := r.publish(ctx, tx, signal.ExecutionStarted, x.ID, x.Began, x.Execution); err != nil {
		return err
	}
	return r.schedule(ctx, tx, x.ID, time.Time{})
}

// mayBegin binds the parameters and says why x may not even begin; "" when it may. The guards are asked again before each
// changing step, and all of them: here only what can't change until then.
func (r *Runbooks) mayBegin(ctx context.Context, tx *sql.Tx, x *execution) (guard, refusal string, err error) {
	if x.Cause == nil {
		x.Cause = []string{}
	}
	doc, err := r.need.Catalog.Document(x.Runbook, "")
	if err != nil {
		return "unknown", fmt.Sprintf("there is no runbook called %s", x.Runbook), nil
	}
	if doc.Type != automation.TypeAutomation {
		return "unknown", fmt.Sprintf("%s is a Command document, and no runbook by itself", x.Runbook), nil
	}
	x.Version, x.documents = doc.Version, r.need.Catalog.uses(doc)
	if x.targets != nil {
		doc, x.Version = x.targets, x.targets.Version
		if err := keepDocument(ctx, tx, doc, x.targetsText); err != nil {
			return "", "", err
		}
	}
	given := map[string]any{}
	maps.Copy(given, x.Parameters)
	if _, ok := doc.Parameter("Entity"); ok && given["Entity"] == nil && x.Entity != "" {
		given["Entity"] = string(x.Entity)
	}
	bound, err := doc.Bind(given)
	if err != nil {
		return "parameters", "its parameters don't fit: " + err.Error(), nil
	}
	x.Parameters = bound
	if e, ok := bound["Entity"].(string); ok {
		if x.Entity == "" {
			x.Entity = signal.EntityID(e)
		}
		if r.need.Reaches != nil {
			if err := r.need.Reaches(e); err != nil {
				return "entity", err.Error(), nil
			}
		}
	}
	a, err := facts(ctx, tx, x, r.rulesFor(x).Cooldown)
	if err != nil {
		return "", "", err
	}
	if v, guard, reason := ask([]Guard{KillSwitch{}, OncePerIncident{}}, a); v != Allow {
		return guard, reason, nil
	}
	return "", "", nil
}

// Queue is the queue of River that carries executions.
const Queue = "runbook"

// QueueConfig says how many executions are carried at once, and how often River looks for new ones: an event's runbook waits
// for that at most. A look costs 1.6 ms of processor time on SQLite. While there is more than could be taken, River looks
// again as soon as one has ended, but not before the cooldown is over; so many at once fill a transaction, too.
func QueueConfig() river.QueueConfig {
	return river.QueueConfig{MaxWorkers: 128, FetchCooldown: 50 * time.Millisecond, FetchPollInterval: 500 * time.Millisecond}
}

// Carry is the job that carries an execution on.
type Carry struct {
	Execution string `json:"execution"`
}

// Kind implements river.JobArgs.
func (Carry) Kind() string { return "runbook_carry" }

// schedule makes the job that carries an execution on at a moment, at once when it is zero.
func (r *Runbooks) schedule(ctx context.Context, tx *sql.Tx, id string, at time.Time) error {
	// Recover makes a new job for an open execution at each start, so that the attempts of one can't use themselves up.
	_, err := r.need.Jobs.InsertTx(ctx, tx, Carry{Execution: id}, &river.InsertOpts{Queue: Queue, MaxAttempts: 100, ScheduledAt: at})
	return err
}
