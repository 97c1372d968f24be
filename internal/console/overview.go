package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// overviewView is the first page.
type overviewView struct {
	Verdict  verdict
	Wrong    []incidentRow
	Doing    []executionRow
	Needs    []executionRow
	MayAct   bool // the reader may approve
	Entities []entityRow
	More     string // the entities that are not shown: "12 more entities"
	Lately   []eventRow
	Stages   []stageRow
}

func (overviewView) title() string { return "Overview" }

// verdict is the page in one sentence.
type verdict struct {
	Tone  string // calm, warning, critical
	Head  string
	Text  string
	Since time.Time // drawn behind Text
	Rest  string
}

// entityRow is an entity with its figures.
type entityRow struct {
	ID, Name, Kind string
	Tone           string // what is wrong with it, if anything
	State          string
	Sparks         []spark
	Seen           time.Time
}

// most rows of each list on the overview; pages behind have the rest.
const (
	overviewRows     = 8
	overviewEntities = 12
)

func (c *Console) overview(ctx context.Context, r *http.Request) (titled, error) {
	v := overviewView{MayAct: signal.ActorOf(r.Context()).Role.Allows(signal.Approver)}
	var err error
	var open []signal.Incident
	if c.loop.Incidents != nil {
		if open, _, err = c.loop.Incidents.List(ctx, signal.Query{State: "open", Limit: 200, Newest: true}); err != nil {
			return nil, err
		}
	}
	// The gravest first, and of those the newest.
	slices.SortStableFunc(open, func(a, b signal.Incident) int { return cmp.Compare(b.Severity.Rank(), a.Severity.Rank()) })
	for _, in := range open {
		v.Wrong = append(v.Wrong, newIncidentRow(in))
	}
	if c.loop.Executions != nil {
		for _, state := range []string{signal.Waiting, signal.InProgress, signal.Pending} {
			xs, _, err := c.loop.Executions.Executions(ctx, signal.Query{State: state, Limit: 100, Newest: true})
			if err != nil {
				return nil, err
			}
			for _, x := range xs {
				row := newExecutionRow(x)
				if state == signal.Waiting && x.Approval != nil {
					v.Needs = append(v.Needs, row)
				} else {
					v.Doing = append(v.Doing, row)
				}
			}
		}
	}
	if v.Entities, err = c.entityRows(ctx, open); err != nil {
		return nil, err
	}
	if c.loop.Events != nil {
		es, _, err := c.loop.Events.Events(ctx, signal.Query{Limit: overviewRows, Newest: true})
		if err != nil {
			return nil, err
		}
		for _, e := range es {
			v.Lately = append(v.Lately, newEventRow(e))
		}
	}
	v.Stages = c.stageRows()
	v.Verdict = c.judge(v)
	if n := len(v.Entities) - overviewEntities; n > 0 {
		v.Entities, v.More = v.Entities[:overviewEntities], count(n, "more entity")
	}
	return v, nil
}

// judge puts the page in one sentence. What is wrong comes before what can't be seen, and that before what is quiet.
func (c *Console) judge(v overviewView) verdict {
	var ill, says []string
	for _, s := range v.Stages {
		switch {
		case !s.Ready:
			ill = append(ill, s.Name+" "+s.State)
		case s.Says:
			short, _, _ := strings.Cut(s.State, ": ") // the stage's own line has the rest
			says = append(says, short)
		}
	}
	switch {
	case len(v.Wrong) > 0:
		out := verdict{Tone: "warning", Head: count(len(v.Wrong), "thing") + " " + isAre(len(v.Wrong)) + " wrong."}
		for _, in := range v.Wrong {
			if in.Tone == "critical" {
				out.Tone = "critical"
			}
		}
		switch {
		case len(v.Needs) > 0:
			out.Text = "You are needed: " + count(len(v.Needs), "approval") + " " + waitWord(len(v.Needs)) + "."
		case len(v.Doing) > 0:
			out.Text = "It is being seen to: " + count(len(v.Doing), "execution") + " in progress."
		default:
			out.Text = "Nothing is being done about it at the moment."
		}
		if not := slices.Concat(ill, says); len(not) > 0 {
			out.Text += " And not everything works here: " + strings.Join(not, ", ") + "."
		}
		return out
	case len(ill) > 0:
		return verdict{Tone: "warning", Head: "Homeostat itself is not well.", Text: strings.Join(ill, ", ") + ". What it doesn't see it can't tell of."}
	case len(v.Needs) > 0:
		return c.watching(v, "warning", count(len(v.Needs), "approval")+" "+waitWord(len(v.Needs))+" for you.")
	case len(says) > 0:
		return verdict{Tone: "warning", Head: "Homeostat itself needs a look.", Text: strings.Join(says, ", ") + "."}
	case len(v.Entities) == 0:
		return verdict{Tone: "calm", Head: "Nothing is watched yet.", Text: "The first figures of this machine arrive within seconds. Send others by remote write to /api/v1/write or by OTLP to /v1/metrics."}
	}
	return c.watching(v, "calm", "Nothing is wrong.")
}

// watching says what is looked at, since when, and how well it is known: "all is well" from a model that has seen nothing
// would be a lie.
func (c *Console) watching(v overviewView, tone, head string) verdict {
	hosts, others := 0, 0
	for _, e := range v.Entities {
		if e.Kind == "host" {
			hosts++
		} else {
			others++
		}
	}
	var what []string
	if hosts > 0 {
		what = append(what, count(hosts, "host"))
	}
	if others > 0 {
		what = append(what, count(others, "other entity"))
	}
	out := verdict{Tone: tone, Head: head, Text: "Watching " + strings.Join(what, " and "), Since: c.loop.Began, Rest: "."}
	if c.loop.Learning != nil {
		least, n := 1.0, 0
		for _, l := range c.loop.Learning.Learning() {
			least, n = min(least, l.Confidence), n+1
		}
		switch {
		case n == 0:
			out.Rest = ". No detector has seen anything yet; threshold rules are on."
		case least < 0.995 && n == 1:
			out.Rest = ". The detector has learnt " + percent(least) + " of what it wants."
		case least < 0.995:
			out.Rest = ". The detectors have learnt at least " + percent(least) + " of what they want."
		}
	}
	return out
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func waitWord(n int) string {
	if n == 1 {
		return "waits"
	}
	return "wait"
}

// entityRows lists what is watched, what is wrong first.
func (c *Console) entityRows(ctx context.Context, open []signal.Incident) ([]entityRow, error) {
	if c.loop.Entities == nil {
		return nil, nil
	}
	es, err := c.loop.Entities.Entities(ctx)
	if err != nil {
		return nil, err
	}
	tones := map[signal.EntityID]signal.Incident{}
	for _, in := range open {
		if has, ok := tones[in.Entity]; !ok || has.Severity.Rank() < in.Severity.Rank() {
			tones[in.Entity] = in
		}
	}
	sparks := c.allSparks(ctx)
	var wrong, well []entityRow
	for _, e := range es {
		row := entityRow{ID: string(e.ID), Name: e.ID.Name(), Kind: e.ID.Kind(), Sparks: sparks[e.ID], Seen: e.LastSeen, State: "in range"}
		if in, ok := tones[e.ID]; ok {
			row.Tone, row.State = tone(in.Severity), "out of range"
			wrong = append(wrong, row)
			continue
		}
		well = append(well, row)
	}
	return append(wrong, well...), nil
}
