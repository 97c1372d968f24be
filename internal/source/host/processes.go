package host

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"homeostat/internal/signal"
)

// ProcessConfig says how the record of processes is kept. The zero value works.
type ProcessConfig struct {
	Interval time.Duration `yaml:"interval"` // between two scans that are kept; 30s when 0, 1s at least
	Keep     time.Duration `yaml:"keep"`     // how long scans are kept; 2h when 0
	Top      int           `yaml:"top"`      // how many processes by CPU, and as many by memory; 15 when 0, 100 at most
}

// Bounds of the record, beside Keep.
const (
	maxScans   = 1000 // 2 h at 30 s are 240; what asked scans add is bounded by this
	maxCommand = 200  // bytes of a command line
	leastLook  = time.Second
)

// Processes is the record of the busiest processes: by CPU and by resident memory, scanned at an interval and when somebody
// asks because something is unusual. It looks at all processes three times an interval, so that an asked scan has a recent
// look to compare with, and keeps the top of each scan for two hours, in memory and in a file.
//
// A process is known by its pid and when it began. Safe for concurrent use.
type Processes struct {
	cfg  ProcessConfig
	host Identity
	log  *slog.Logger
	file *scanFile // nil without a folder

	looking sync.Mutex // held while /proc is read; guards the fields below it
	proc    *procReader
	before  map[int32]usage
	looked  time.Time
	details map[int32]detail

	mu    sync.Mutex // guards the fields below it
	scans []scan     // oldest first
	last  scan       // the latest look, kept or not
}

// scan is the top of the processes at a moment.
type scan struct {
	At        time.Time        `json:"at"`
	Processes []signal.Process `json:"processes"`
}

// usage is what one look finds of a process.
type usage struct {
	pid   int32
	began int64         // in ticks since the machine started: with the pid the process' identity
	used  time.Duration // CPU time since it began
	rss   uint64
	cpu   float64 // cores since the look before
}

// detail is what does not change while a process lives, or hardly; read once, for those that get into a top.
type detail struct {
	began               int64
	at                  time.Time
	name, user, command string
	young               bool // read when the process had just begun
}

// NewProcesses returns the record for this host. Dir is the data folder: the file processes.jsonl in it outlives a restart;
// empty keeps the record in memory alone. A nil log discards.
func NewProcesses(c ProcessConfig, host Identity, dir string, log *slog.Logger) (*Processes, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c.Interval = max(cmp.Or(c.Interval, 30*time.Second), time.Second)
	c.Keep = max(cmp.Or(c.Keep, 2*time.Hour), c.Interval)
	c.Top = min(max(cmp.Or(c.Top, 15), 1), 100)
	p := &Processes{cfg: c, host: host, log: log, proc: newProcReader(), details: map[int32]detail{}}
	if dir != "" {
		f, scans, err := openScans(dir, time.Now().Add(-c.Keep))
		if err != nil {
			return nil, err
		}
		p.file, p.scans = f, scans
		p.trim(time.Now())
	}
	return p, nil
}

// Run looks and scans at the interval until ctx ends; it returns nil then.
func (p *Processes) Run(ctx context.Context) error {
	tick := time.NewTicker(p.cfg.Interval / 3)
	defer tick.Stop()
	defer p.file.close()
	failed := false
	for round := 0; ; round++ {
		err := p.look(ctx, round%3 == 0)
		if err != nil && !failed {
			p.log.WarnContext(ctx, "processes can't be read", "err", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Scan takes a scan now because something is unusual, and keeps it. Within a second of the look before it takes what that
// one saw.
func (p *Processes) Scan(ctx context.Context) error { return p.look(ctx, true) }

// look looks at all processes; keep puts the top into the record.
func (p *Processes) look(ctx context.Context, keep bool) error {
	p.looking.Lock()
	defer p.looking.Unlock()
	at := time.Now()
	if at.Sub(p.looked) < leastLook {
		if keep {
			p.keep(ctx, p.latest())
		}
		return nil
	}
	all, err := p.proc.read()
	if err != nil {
		return err
	}
	passed := at.Sub(p.looked).Seconds()
	next := make(map[int32]usage, len(all))
	for i := range all {
		u := &all[i]
		if b, ok := p.before[u.pid]; ok && b.began == u.began {
			u.cpu = max(0, (u.used-b.used).Seconds()) / passed
		} else {
			// It came between two looks, or this is the first: the mean since it began. /proc counts in hundredths of a
			// second, and machines have been seen where a process begins after now.
			u.cpu = u.used.Seconds() / max(at.Sub(p.proc.beganAt(u.began)).Seconds(), 0.1)
		}
		next[u.pid] = *u
	}
	p.before, p.looked = next, at
	for pid, d := range p.details {
		if u, ok := next[pid]; !ok || u.began != d.began {
			delete(p.details, pid)
		}
	}
	s := scan{At: at.UTC().Truncate(time.Millisecond), Processes: p.top(all)}
	p.mu.Lock()
	p.last = s
	p.mu.Unlock()
	if keep {
		p.keep(ctx, s)
	}
	return nil
}

// top picks the busiest and the biggest, the busiest first, and reads their details.
func (p *Processes) top(all []usage) []signal.Process {
	n := min(p.cfg.Top, len(all))
	slices.SortFunc(all, func(a, b usage) int { return cmp.Or(cmp.Compare(b.rss, a.rss), cmp.Compare(a.pid, b.pid)) })
	picked := slices.Clone(all[:n])
	slices.SortFunc(all, func(a, b usage) int { return cmp.Or(cmp.Compare(b.cpu, a.cpu), cmp.Compare(a.pid, b.pid)) })
	for _, u := range all[:n] {
		if u.cpu > 0 && !slices.ContainsFunc(picked, func(q usage) bool { return q.pid == u.pid }) {
			picked = append(picked, u)
		}
	}
	out := make([]signal.Process, 0, len(picked))
	for _, u := range picked {
		d, ok := p.details[u.pid]
		if !ok || d.young {
			d = p.proc.detail(u)
			d.young = p.looked.Sub(d.at) < time.Minute // it may yet become another program, and take its name
			p.details[u.pid] = d
		}
		out = append(out, signal.Process{
			PID: u.pid, Name: d.name, User: d.user, Command: d.command, Began: d.at,
			CPU: u.cpu, CPUSeconds: u.used.Seconds(), RSS: u.rss,
		})
	}
	sortBusiest(out)
	return out
}

// latest is the latest look.
func (p *Processes) latest() scan {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// keep puts s into the record, once.
func (p *Processes) keep(ctx context.Context, s scan) {
	p.mu.Lock()
	if n := len(p.scans); n > 0 && p.scans[n-1].At.Equal(s.At) {
		p.mu.Unlock()
		return
	}
	p.scans = append(p.scans, s)
	p.trim(s.At)
	p.mu.Unlock()
	if err := p.file.add(s, p.cfg.Keep); err != nil {
		p.log.WarnContext(ctx, "the record of processes can't be written", "err", err)
	}
}

// trim forgets what is older than Keep, or too much. The caller holds mu.
func (p *Processes) trim(now time.Time) {
	cut := max(0, len(p.scans)-maxScans)
	for cut < len(p.scans) && now.Sub(p.scans[cut].At) > p.cfg.Keep {
		cut++
	}
	p.scans = slices.Delete(p.scans, 0, cut)
}

// at returns the scan at or before a moment, the latest look for the zero time; an empty one where there is none.
func (p *Processes) at(moment time.Time) scan {
	p.mu.Lock()
	defer p.mu.Unlock()
	if moment.IsZero() || !p.last.At.IsZero() && !moment.Before(p.last.At) {
		return p.last
	}
	for _, s := range slices.Backward(p.scans) {
		if !s.At.After(moment) {
			return s
		}
	}
	return scan{}
}

// Top returns the n busiest and the n biggest processes of the scan at or before a moment, the busiest first. The zero time
// means the latest look.
func (p *Processes) Top(at time.Time, n int) []signal.Process {
	byCPU := slices.Clone(p.at(at).Processes)
	sortBusiest(byCPU)
	n = min(max(n, 0), len(byCPU))
	byMemory := slices.Clone(byCPU)
	slices.SortStableFunc(byMemory, func(a, b signal.Process) int { return cmp.Compare(b.RSS, a.RSS) })
	out := byCPU[:n:n]
	for _, q := range byCPU[n:] {
		if slices.ContainsFunc(byMemory[:n], func(m signal.Process) bool { return m.PID == q.PID }) {
			out = append(out, q)
		}
	}
	return out
}

// sortBusiest sorts by CPU, then memory, then pid.
func sortBusiest(ps []signal.Process) {
	slices.SortFunc(ps, func(a, b signal.Process) int {
		return cmp.Or(cmp.Compare(b.CPU, a.CPU), cmp.Compare(b.RSS, a.RSS), cmp.Compare(a.PID, b.PID))
	})
}

// Processes returns what the scan at or before a moment saw, if entity is this host; nothing for any other. The zero time
// means now.
func (p *Processes) Processes(_ context.Context, entity signal.EntityID, at time.Time) ([]signal.Process, error) {
	if !p.isHost(entity) {
		return nil, nil
	}
	return p.Top(at, p.cfg.Top), nil
}

// isHost reports whether an entity is this host, by its name or its id.
func (p *Processes) isHost(e signal.EntityID) bool {
	return e == p.host.Entity() || e == signal.EntityID("host:"+p.host.ID)
}

// attached is how many processes by CPU, and by memory, an anomaly or alert carries for good.
const attached = 5

// Attach adds detail.processes, the top by CPU and by memory, to an anomaly detected or an alert firing on this host, and
// keeps a scan of the moment. Any other event, and one that has processes already, stays as it is.
func (p *Processes) Attach(ctx context.Context, e *signal.Event) error {
	if e.DetailType != signal.AnomalyDetected && e.DetailType != signal.AlertFiring {
		return nil
	}
	var has struct {
		Entity    signal.EntityID `json:"entity"`
		Processes json.RawMessage `json:"processes"`
	}
	if err := json.Unmarshal(e.Detail, &has); err != nil {
		return err
	}
	if !p.isHost(has.Entity) || has.Processes != nil {
		return nil
	}
	at := e.Time
	if time.Since(at).Abs() < max(p.cfg.Interval, time.Minute) { // not when a stream is replayed
		at = time.Time{}
		if err := p.Scan(ctx); err != nil {
			return err
		}
	}
	top := p.Top(at, attached)
	if len(top) == 0 {
		return nil
	}
	text, err := json.Marshal(top)
	if err != nil {
		return err
	}
	// Put in before the last brace, so that the detail keeps its order.
	detail := bytes.TrimRight(e.Detail, " \t\r\n")
	detail = slices.Concat(detail[:len(detail)-1], []byte(`,"processes":`), text, []byte("}"))
	e.Detail = detail
	return nil
}

// Trend is how one process went over the record.
type Trend struct {
	Process  signal.Process // as last seen
	Since    time.Time      // of the first scan that saw it
	Scans    int
	RSSSlope float64 // bytes a second: the median of the slopes between all pairs of scans (Theil-Sen)
	CPUMean  float64 // cores
}

// Trend says how the process with this pid went, the latest of that pid. ok is false where fewer than two scans saw it.
func (p *Processes) Trend(pid int32) (t Trend, ok bool) {
	p.mu.Lock()
	var seen []signal.Process
	var times []time.Time
	for _, s := range slices.Backward(p.scans) {
		i := slices.IndexFunc(s.Processes, func(q signal.Process) bool { return q.PID == pid })
		if i < 0 {
			continue
		}
		q := s.Processes[i]
		if len(seen) > 0 && q.Began.Sub(seen[0].Began).Abs() > 2*time.Second {
			break // another process had this pid before; a restart may see the machine's start a second off
		}
		seen, times = append(seen, q), append(times, s.At)
	}
	p.mu.Unlock()
	if len(seen) < 2 {
		return t, false
	}
	var slopes []float64
	for i := range seen {
		for j := range i {
			if dt := times[j].Sub(times[i]).Seconds(); dt > 0 {
				slopes = append(slopes, (float64(seen[j].RSS)-float64(seen[i].RSS))/dt)
			}
		}
	}
	if len(slopes) == 0 {
		return t, false
	}
	slices.Sort(slopes)
	first := len(seen) - 1
	t = Trend{Process: seen[0], Since: times[first], Scans: len(seen)}
	t.RSSSlope = (slopes[(len(slopes)-1)/2] + slopes[len(slopes)/2]) / 2
	t.CPUMean = max(0, seen[0].CPUSeconds-seen[first].CPUSeconds) / times[0].Sub(times[first]).Seconds()
	return t, true
}

// commandLine joins the arguments of a process and cuts them at maxCommand bytes, between two characters.
func commandLine(args string) string {
	s := strings.ToValidUTF8(strings.TrimRight(strings.ReplaceAll(args, "\x00", " "), " "), "\uFFFD")
	if len(s) > maxCommand {
		s = strings.ToValidUTF8(s[:maxCommand], "")
	}
	return s
}
