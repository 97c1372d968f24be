package console

import (
	"context"
	"net/http"
	"time"

	"homeostat/internal/signal"
)

// whyView is the causal chain of one thing, both ways, in sentences.
type whyView struct {
	Asked   linkRow
	Before  []linkRow // what led to it, oldest first
	After   []linkRow // what came of it
	Beside  []linkRow // what belongs to the same story without being cause or effect
	Missing int       // causes that the chain no longer has
}

func (v whyView) title() string { return "Why " + short(v.Asked.ID) }

// linkRow is a link of the chain.
type linkRow struct {
	ID, Kind, Text, Link string
	Time                 time.Time
}

func newLinkRow(l signal.Link) linkRow {
	return linkRow{l.ID, l.Kind, l.Text, thing(l.ID), l.Time}
}

func (c *Console) why(ctx context.Context, r *http.Request) (titled, error) {
	if c.loop.Chain == nil {
		return nil, errAbsent
	}
	id := r.PathValue("id")
	links, err := c.loop.Chain.Walk(ctx, id)
	if err != nil {
		return nil, err
	}
	return sortWhy(id, links)
}

// sortWhy tells causes from effects by the links' own causes.
func sortWhy(id string, links []signal.Link) (titled, error) {
	byID := map[string]signal.Link{}
	effects := map[string][]string{}
	for _, l := range links {
		byID[l.ID] = l
		for _, c := range l.Cause {
			effects[c] = append(effects[c], l.ID)
		}
	}
	if _, ok := byID[id]; !ok {
		return nil, signal.ErrNotFound
	}
	reach := func(next func(string) []string) map[string]bool {
		seen := map[string]bool{}
		todo := []string{id}
		for len(todo) > 0 {
			at := todo[0]
			todo = todo[1:]
			for _, n := range next(at) {
				if !seen[n] && n != id {
					seen[n] = true
					todo = append(todo, n)
				}
			}
		}
		return seen
	}
	before := reach(func(at string) []string { return byID[at].Cause })
	after := reach(func(at string) []string { return effects[at] })
	v := whyView{Asked: newLinkRow(byID[id])}
	for _, l := range links {
		row := newLinkRow(l)
		switch {
		case l.ID == id:
		case before[l.ID]:
			v.Before = append(v.Before, row)
		case after[l.ID]:
			v.After = append(v.After, row)
		default:
			v.Beside = append(v.Beside, row)
		}
	}
	for b := range before {
		if _, ok := byID[b]; !ok {
			v.Missing++
		}
	}
	return v, nil
}

// thing returns the page of anything that has an id: its own where it has one, else its chain.
func thing(id string) string {
	switch signal.KindOf(id) {
	case signal.KindEvent:
		return "/events/" + seg(id)
	case signal.KindIncident:
		return "/incidents/" + seg(id)
	case signal.KindExecution:
		return "/executions/" + seg(id)
	}
	return "/why/" + seg(id)
}
