// Package notify tells people: what was opened, what needs their approval, what was done or refused, and that all is well
// again, in words that a person woken at night understands, with one link.
//
// A notice is queued in the transaction of the event that it tells of, so that none is lost and none is made twice, and is
// delivered from the database, with retries, through shoutrrr: twenty and more services behind one URL each. Notices of one
// incident that come within a short window travel as one message; a target gets a bounded number of messages a minute, and
// what waits longer for its turn is told together. Delivery is at least once: a process that dies between the service's
// answer and its own commit tells once more.
package notify

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nicholas-fedor/shoutrrr"
	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"homeostat/internal/signal"
)

// Config says who is told, and how often at most. The zero value tells nobody.
type Config struct {
	Targets map[string]string // name to shoutrrr URL; the URLs hold secrets and are never logged
	BaseURL string            // where people reach the console, for the link; "http://127.0.0.1:8080" when empty
	Gather  time.Duration     // what comes within this time for one incident is one message; 10 s when 0
	PerHour int               // messages an hour to one target, at most; 30 when 0. What waits is told together

	// Answer returns the path by which whoever reads a target can answer what the event asks, "" where there is none. May be nil.
	Answer func(ev signal.Event, target string) string
}

// The bounds of delivery.
const (
	giveUpAfter = 24 * time.Hour // a notice that could not be delivered for so long is of no use any more
	maxAttempts = 40
	maxNotices  = 20   // told one by one in a message; of more, only the number
	maxText     = 3500 // bytes of a message: below the least limit of the services
)

// Jobs inserts jobs of River within the caller's transaction.
type Jobs interface {
	InsertTx(ctx context.Context, tx *sql.Tx, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
}

// Audit appends to the audit log within the caller's transaction.
type Audit interface {
	Append(ctx context.Context, tx *sql.Tx, e signal.AuditEntry) error
}

// Chain adds links to the causal chain within the caller's transaction.
type Chain interface {
	Add(ctx context.Context, tx *sql.Tx, links ...signal.Link) error
}

// Needs are what notices stand on.
type Needs struct {
	DB    *sql.DB // the one writer
	Read  *sql.DB
	Jobs  Jobs
	Audit Audit
	Chain Chain
}

// Notices queues and delivers. Safe for concurrent use.
type Notices struct {
	cfg     Config
	need    Needs
	log     *slog.Logger
	senders map[string]*router.ServiceRouter

	queued, delivered, failed *prometheus.CounterVec

	busy map[string]*sync.Mutex // by target: held while a message is on its way, so that no other job tells the same

	mu      sync.Mutex
	failing map[string]string // by target: why the last message didn't get there
	latest  int64             // when the last notice was queued, in milliseconds
}

// ErrNoTarget means that a route names a target that the configuration doesn't have.
var ErrNoTarget = errors.New("no such notify target")

// New returns the stage. It fails when a target's URL is not one that shoutrrr knows; the error names the target, never the URL.
func New(c Config, n Needs, log *slog.Logger, reg prometheus.Registerer) (*Notices, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	if c.BaseURL == "" {
		c.BaseURL = "http://127.0.0.1:8080"
	}
	c.BaseURL = strings.TrimSuffix(c.BaseURL, "/")
	if c.Gather == 0 {
		c.Gather = 10 * time.Second
	}
	if c.PerHour == 0 {
		c.PerHour = 30
	}
	counter := func(name, help string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"target"})
		reg.MustRegister(v)
		return v
	}
	s := &Notices{
		cfg: c, need: n, log: log, senders: map[string]*router.ServiceRouter{}, failing: map[string]string{}, busy: map[string]*sync.Mutex{},
		queued:    counter("homeostat_notify_notices_total", "Notices queued."),
		delivered: counter("homeostat_notify_messages_total", "Messages that the service took."),
		failed:    counter("homeostat_notify_messages_failed_total", "Attempts to deliver a message that failed."),
	}
	for _, name := range slices.Sorted(maps.Keys(c.Targets)) {
		sender, err := shoutrrr.CreateSender(c.Targets[name])
		if err != nil {
			return nil, fmt.Errorf("notify target %s: %s", name, redact(err.Error()))
		}
		s.senders[name], s.busy[name] = sender, new(sync.Mutex)
	}
	return s, nil
}

// Check says what is wrong with a target's URL, without showing it.
func Check(rawURL string) error {
	if _, err := shoutrrr.CreateSender(rawURL); err != nil {
		return errors.New(redact(err.Error()))
	}
	return nil
}

// Start queues a notice of ev for a target, within the transaction that publishes the event. Seen twice, it is queued once.
func (s *Notices) Start(ctx context.Context, tx *sql.Tx, ev signal.Event, route, target string) error {
	if _, ok := s.senders[target]; !ok {
		return fmt.Errorf("route %s: %w: %s", route, ErrNoTarget, target)
	}
	text, err := compose(ev, s.cfg.BaseURL)
	if err != nil {
		return err
	}
	if s.cfg.Answer != nil && ev.DetailType == signal.ExecutionWaitingForApproval {
		if path := s.cfg.Answer(ev, target); path != "" {
			text.body += "\nOr answer by this link, which is yours alone and works once: " + s.cfg.BaseURL + path
		}
	}
	id := signal.MakeID(signal.KindNotice, ev.ID, target)
	now := s.queuedAt()
	res, err := tx.ExecContext(ctx, `INSERT INTO notices
		(id, target, topic, event, severity, title, body, link, created, attempts, delivered, message, error)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, '', '') ON CONFLICT (id) DO NOTHING`,
		id, target, text.topic, ev.ID, string(text.severity), text.title, text.body, text.link, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("queue notice %s: %w", id, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	_, err = s.need.Jobs.InsertTx(ctx, tx, Deliver{Target: target, Topic: text.topic},
		&river.InsertOpts{MaxAttempts: maxAttempts, ScheduledAt: now.Add(s.cfg.Gather)})
	if err != nil {
		return fmt.Errorf("queue notice %s: %w", id, err)
	}
	err = s.need.Chain.Add(ctx, tx, signal.Link{
		ID: id, Kind: "notice", Time: now, Text: fmt.Sprintf("%s is being told: %s", target, text.title), Cause: []string{ev.ID},
	})
	if err != nil {
		return err
	}
	s.queued.WithLabelValues(target).Inc()
	return nil
}

// queuedAt is now, and a millisecond after the notice before at least: they are told in this order, and the newest gives the link.
func (s *Notices) queuedAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest = max(time.Now().UnixMilli(), s.latest+1)
	return time.UnixMilli(s.latest)
}

// Deliver is River's job: tell a target what waits for it on one topic. The notices themselves are rows, so that jobs may come
// twice, early or late.
type Deliver struct {
	Target string `json:"target"`
	Topic  string `json:"topic"` // an incident, or the event itself
}

// Kind names the job in the database; it may not change.
func (Deliver) Kind() string { return "notify_deliver" }

// AddWorkers tells River who delivers.
func (s *Notices) AddWorkers(ws *river.Workers) { river.AddWorker(ws, &deliverer{s: s}) }

type deliverer struct {
	river.WorkerDefaults[Deliver]
	s *Notices
}

// Timeout bounds one attempt; the service itself has [router.DefaultTimeout].
func (*deliverer) Timeout(*river.Job[Deliver]) time.Duration { return time.Minute }

// NextRetry waits 5 s, 10 s, 20 s ... and at most 10 minutes.
func (*deliverer) NextRetry(job *river.Job[Deliver]) time.Time {
	wait := 10 * time.Minute
	if n := len(job.Errors); n < 7 {
		wait = 5 * time.Second << n
	}
	return time.Now().Add(wait)
}

func (d *deliverer) Work(ctx context.Context, job *river.Job[Deliver]) error {
	wait, err := d.s.deliver(ctx, job.Args.Target, job.Args.Topic)
	if err == nil && wait > 0 {
		return river.JobSnooze(wait)
	}
	return err
}

// deliver sends what waits for a target on a topic, as one message. A positive wait means that the target has had its share
// for now, or is being told something.
func (s *Notices) deliver(ctx context.Context, target, topic string) (wait time.Duration, err error) {
	sender, ok := s.senders[target]
	if !ok {
		// The configuration has lost the target since. Nothing is deleted; the job's error says why.
		return 0, fmt.Errorf("%w: %s", ErrNoTarget, target)
	}
	if !s.busy[target].TryLock() {
		return time.Second, nil // what waits is perhaps being told just now; another look costs little
	}
	defer s.busy[target].Unlock()
	now := time.Now()
	sent, next, err := s.share(ctx, target, now)
	if err != nil {
		return 0, err
	}
	if sent >= s.cfg.PerHour {
		return max(next.Sub(now), time.Second), nil
	}
	if sent == s.cfg.PerHour-1 {
		topic = "" // the last message of the hour tells all that waits, whatever it is about
	}
	ns, err := s.waiting(ctx, target, topic, now)
	if err != nil || len(ns) == 0 {
		return 0, err
	}
	title, body := message(ns)
	params := types.Params{"title": title}
	sendErr := errors.Join(sender.Send(body, &params)...)
	if sendErr != nil {
		sendErr = errors.New(redact(sendErr.Error()))
	}
	// The service has answered: that goes on record even when the process is asked to stop just now.
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.record(rctx, target, ns, title, sendErr); err != nil {
		return 0, errors.Join(sendErr, err)
	}
	s.note(ctx, target, sendErr)
	if sendErr != nil {
		s.failed.WithLabelValues(target).Inc()
		return 0, fmt.Errorf("tell %s: %w", target, sendErr)
	}
	s.delivered.WithLabelValues(target).Inc()
	return 0, nil
}

// note remembers whether a target could be told the last time. It logs the turns alone: retries go on for a day.
func (s *Notices) note(ctx context.Context, target string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, was := s.failing[target]
	switch {
	case err != nil:
		s.failing[target] = err.Error()
		if !was {
			s.log.WarnContext(ctx, "a message can't be delivered; it is tried for a day", "target", target, "err", err)
		}
	case was:
		delete(s.failing, target)
		s.log.InfoContext(ctx, "messages are delivered again", "target", target)
	}
}

// Health names the targets whose last message didn't get there. The stage is ready all the same: a service elsewhere that doesn't
// answer is no reason to take this process out of use, and what waits is tried again.
func (s *Notices) Health() signal.Stage {
	st := signal.Stage{Name: "notify", Ready: true, State: "ok"}
	s.mu.Lock()
	defer s.mu.Unlock()
	var why []string
	for _, target := range slices.Sorted(maps.Keys(s.failing)) {
		why = append(why, fmt.Sprintf("the last message to %s was not delivered: %s", target, s.failing[target]))
	}
	if len(why) > 0 {
		st.State = strings.Join(why, "; ")
	}
	return st
}

// share counts the messages of the last hour to a target, and says when the oldest of them is an hour old.
func (s *Notices) share(ctx context.Context, target string, now time.Time) (sent int, next time.Time, err error) {
	var oldest sql.NullInt64
	err = s.need.Read.QueryRowContext(ctx, `SELECT COUNT(DISTINCT message), MIN(delivered) FROM notices
		WHERE target = $1 AND delivered > $2`, target, now.Add(-time.Hour).UnixMilli()).Scan(&sent, &oldest)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count messages to %s: %w", target, err)
	}
	return sent, time.UnixMilli(oldest.Int64).Add(time.Hour), nil
}

// notice is a row that waits.
type notice struct {
	id, title, body, link string
	severity              signal.Severity
	created               time.Time
}

// waiting reads what a target has not been told, of one topic or of all ("").
func (s *Notices) waiting(ctx context.Context, target, topic string, now time.Time) ([]notice, error) {
	rows, err := s.need.Read.QueryContext(ctx, `SELECT id, severity, title, body, link, created FROM notices
		WHERE target = $1 AND ($2 = '' OR topic = $2) AND delivered = 0 AND created > $3 ORDER BY created, id LIMIT 1000`,
		target, topic, now.Add(-giveUpAfter).UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read notices for %s: %w", target, err)
	}
	defer rows.Close()
	var ns []notice
	for rows.Next() {
		var n notice
		var created int64
		if err := rows.Scan(&n.id, &n.severity, &n.title, &n.body, &n.link, &created); err != nil {
			return nil, err
		}
		n.created = time.UnixMilli(created)
		ns = append(ns, n)
	}
	return ns, rows.Err()
}

// record writes down what came of an attempt. The message's id is made from the notices in it.
func (s *Notices) record(ctx context.Context, target string, ns []notice, title string, sendErr error) error {
	h := sha256.New()
	for _, n := range ns {
		h.Write([]byte(n.id))
	}
	id := hex.EncodeToString(h.Sum(nil)[:10])
	tx, err := s.need.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, n := range ns {
		words := fmt.Sprintf("%s was told: %s", target, n.title)
		if sendErr != nil {
			words = fmt.Sprintf("%s has not been told: %s (%s)", target, n.title, sendErr)
			_, err = tx.ExecContext(ctx, `UPDATE notices SET attempts = attempts + 1, error = $2 WHERE id = $1`, n.id, sendErr.Error())
		} else {
			_, err = tx.ExecContext(ctx, `UPDATE notices SET attempts = attempts + 1, error = '', delivered = $2, message = $3
				WHERE id = $1`, n.id, time.Now().UnixMilli(), id)
		}
		if err != nil {
			return err
		}
		if err = s.need.Chain.Add(ctx, tx, signal.Link{ID: n.id, Kind: "notice", Time: n.created, Text: words}); err != nil {
			return err
		}
	}
	if sendErr == nil {
		err = s.need.Audit.Append(ctx, tx, signal.AuditEntry{
			Time: time.Now(), Actor: "homeostat", Verb: "notify", Subject: ns[0].id, Reason: fmt.Sprintf("%s was told: %s", target, title),
		})
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Prune forgets what was told, or given up, before a moment: at most limit rows.
func (s *Notices) Prune(ctx context.Context, tx *sql.Tx, before time.Time, limit int) (int, error) {
	res, err := tx.ExecContext(ctx, `DELETE FROM notices WHERE id IN (SELECT id FROM notices WHERE created < $1 LIMIT $2)`,
		before.UnixMilli(), limit)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

var urls = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>]+`)

// redact leaves of each URL in a text only its kind and host: the rest holds tokens and passwords.
func redact(text string) string {
	return urls.ReplaceAllStringFunc(text, func(s string) string {
		u, err := url.Parse(s)
		if err != nil {
			scheme, _, _ := strings.Cut(s, "://")
			return scheme + "://..."
		}
		host := u.Hostname()
		if u.Scheme != "http" && u.Scheme != "https" {
			host = "" // in a service's own URL the host may be the token itself
		}
		return u.Scheme + "://" + host + "/..."
	})
}
