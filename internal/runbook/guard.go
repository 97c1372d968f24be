package runbook

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// Verdict is what a guard says. The zero Verdict is Refuse.
type Verdict int

const (
	Refuse Verdict = iota
	Allow
)

func (v Verdict) String() string {
	if v == Allow {
		return "allow"
	}
	return "refuse"
}

// Act is a changing step that is about to be done, and what guards need to know of the rest. Facts come from the database, in
// one transaction with the mark that the execution acts, so that two can't both be the last that is allowed.
type Act struct {
	Execution string
	Runbook   string
	Route     string
	Entity    signal.EntityID
	Incident  string
	Mode      signal.Mode // observe looks at what would have been done too

	Action       string            // of the step; "" before there is one
	Paused       bool              // the kill switch
	PausedBy     string            // who, and why
	LastActed    time.Time         // when another execution of this runbook acted on this entity last; zero never
	Acting       int               // other executions that have begun to act and have not ended
	SameIncident string            // another execution of this runbook for this incident and entity that was not refused; "" none
	Repeat       bool              // the route allows a second one for an incident
	Touched      []signal.EntityID // entities that other executions act on, or acted on within the cooldown
	Acted        int               // other executions of this runbook that acted on this entity within a day
	Failed       int               // how often verification has failed for this runbook on this entity

	Now time.Time // the moment that it is about; the present when zero

	Outside // what no table says
}

func (a Act) now() time.Time {
	if a.Now.IsZero() {
		return time.Now()
	}
	return a.Now
}

// Outside is what guards need to know that no table says. It is gathered before the transaction.
type Outside struct {
	Event     map[string]any    // the envelope; empty when a person began it
	Labels    map[string]string // of the entity
	Group     []signal.EntityID // the entities of its group, itself included
	GroupErr  error             // why the group isn't known
	Frozen    string            // the freeze that holds, and until when; "" none
	FreezeErr error             // why that isn't known
}

// Guard lets a changing step through or refuses it, with the reason. It looks at nothing but the act and the time, and answers
// at once. What it can't evaluate it refuses.
type Guard interface {
	Name() string // one word for counters
	Check(a Act) (Verdict, string)
}

// ask asks guards one after the other.
func ask(gs []Guard, a Act) (v Verdict, guard, reason string) {
	if len(gs) == 0 {
		return Refuse, "none", "no guard is set up"
	}
	for _, g := range gs {
		if v, reason := g.Check(a); v != Allow {
			return Refuse, g.Name(), reason
		}
	}
	return Allow, "", ""
}

// KillSwitch refuses while automatic actions are paused. To observe is no action.
type KillSwitch struct{}

// Name implements Guard.
func (KillSwitch) Name() string { return "pause" }

// Check implements Guard.
func (KillSwitch) Check(a Act) (Verdict, string) {
	if a.Paused && a.Mode != signal.Observe {
		return Refuse, "automatic actions are paused by " + a.PausedBy
	}
	return Allow, ""
}

// Cooldown keeps two executions of one runbook from acting on one entity shortly after one another.
type Cooldown struct {
	Every time.Duration // 0 or less refuses always: a cooldown that isn't known holds
}

// Name implements Guard.
func (Cooldown) Name() string { return "cooldown" }

// Check implements Guard.
func (c Cooldown) Check(a Act) (Verdict, string) {
	if c.Every <= 0 {
		return Refuse, "the cooldown is not known"
	}
	if a.LastActed.IsZero() {
		return Allow, ""
	}
	if left := c.Every - a.now().Sub(a.LastActed); left > 0 {
		return Refuse, fmt.Sprintf("cooldown: %s acted on %s less than %s ago; %s are left",
			a.Runbook, a.Entity, plainly(c.Every), plainly((left + time.Second - 1).Truncate(time.Second)))
	}
	return Allow, ""
}

// plainly tells a length of time without the noughts at its end: 10m, 1h, 9m30s.
func plainly(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Concurrent bounds how many executions act at once.
type Concurrent struct {
	Most int // 0 or less refuses always
}

// Name implements Guard.
func (Concurrent) Name() string { return "concurrent" }

// Check implements Guard.
func (c Concurrent) Check(a Act) (Verdict, string) {
	if a.Acting >= c.Most {
		return Refuse, fmt.Sprintf("%d executions are acting already, and %d may at once", a.Acting, c.Most)
	}
	return Allow, ""
}

// OncePerIncident lets one runbook act once for an incident and entity, unless its route says otherwise.
type OncePerIncident struct{}

// Name implements Guard.
func (OncePerIncident) Name() string { return "once" }

// Check implements Guard.
func (OncePerIncident) Check(a Act) (Verdict, string) {
	if a.SameIncident != "" && !a.Repeat {
		return Refuse, fmt.Sprintf("%s ran for incident %s on %s already (%s)", a.Runbook, a.Incident, a.Entity, a.SameIncident)
	}
	return Allow, ""
}

// Freeze refuses while a calendar says that nothing may be changed. To observe is no change, but says what would be refused.
type Freeze struct{}

// Name implements Guard.
func (Freeze) Name() string { return "freeze" }

// Check implements Guard.
func (Freeze) Check(a Act) (Verdict, string) {
	switch {
	case a.FreezeErr != nil:
		return Refuse, "whether there is a freeze can't be known: " + a.FreezeErr.Error()
	case a.Frozen != "":
		return Refuse, "there is a freeze: " + a.Frozen
	}
	return Allow, ""
}

// BlastRadius bounds how many entities of a group may be acted on within the cooldown.
type BlastRadius struct {
	Share float64 // of the group, rounded up to one entity; 0 when Most says it
	Most  int
}

// Name implements Guard.
func (BlastRadius) Name() string { return "blast_radius" }

// Check implements Guard.
func (b BlastRadius) Check(a Act) (Verdict, string) {
	most := b.Most
	if b.Share > 0 {
		most = int(math.Ceil(b.Share*float64(len(a.Group)) - 1e-9))
	}
	switch {
	case a.GroupErr != nil:
		return Refuse, "the blast radius can't be known: " + a.GroupErr.Error()
	case most < 1:
		return Refuse, "the blast radius is not known"
	}
	others := 0
	for _, e := range a.Touched {
		if e != a.Entity && slices.Contains(a.Group, e) {
			others++
		}
	}
	if others+1 > most {
		return Refuse, fmt.Sprintf("blast radius: %d of the %d in the group of %s were acted on just now, and %d may be", others, len(a.Group), a.Entity, most)
	}
	return Allow, ""
}

// Scripts refuses scripts of documents in mode auto, unless the route allows them.
type Scripts struct {
	Allowed bool
}

// Name implements Guard.
func (Scripts) Name() string { return "scripts" }

// Check implements Guard.
func (s Scripts) Check(a Act) (Verdict, string) {
	if a.Action == "aws:executeScript" && a.Mode == signal.Auto && !s.Allowed {
		return Refuse, "the route doesn't allow scripts of documents in mode auto"
	}
	return Allow, ""
}
