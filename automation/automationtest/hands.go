// Package automationtest helps to test what is built on package automation: hands that answer as a script says and remember
// what they were asked, and the tests that every Journal has to pass.
package automationtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"homeostat/automation"
)

// Hands answer by a script and remember the calls. The zero value says that everything changes something and succeeds. Safe
// for concurrent use once the fields are set.
type Hands struct {
	// Steps are the answers, by the path of the step.
	Steps map[string]Answer

	mu    sync.Mutex
	done  []automation.Call
	looks []automation.Call
	count map[string]int
}

// Answer is how a step's calls come out.
type Answer struct {
	Effect  automation.Effect
	Outputs []map[string]any // by attempt; the last one stays
	Errors  []string         // by attempt; "" is none; the last one stays
	Pending int              // so many calls of Do (one less of LookUp) first say that the call goes on
	Would   string
	LookUp  error // what LookUp says; nil means the outputs
	Unable  string
	Sends   bool // it is carried out whole
}

// Effect implements automation.Hands.
func (h *Hands) Effect(c automation.Call) automation.Effect { return h.Steps[c.Step].Effect }

// Would implements automation.Hands.
func (h *Hands) Would(_ context.Context, c automation.Call) (string, error) {
	if w := h.Steps[c.Step].Would; w != "" {
		return w, nil
	}
	return "do " + c.Action, nil
}

// Do implements automation.Hands.
func (h *Hands) Do(ctx context.Context, c automation.Call) (map[string]any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count == nil {
		h.count = map[string]int{}
	}
	n := h.count[c.Step]
	h.count[c.Step]++
	h.done = append(h.done, c)
	a := h.Steps[c.Step]
	if n < a.Pending {
		return nil, &automation.Again{State: "pending"}
	}
	n -= a.Pending
	var err error
	if text := at(a.Errors, n); text != "" {
		err = errors.New(text)
	}
	return at(a.Outputs, n), err
}

// at is the n-th of a list, the last one from there on, or nothing.
func at[T any](list []T, n int) (none T) {
	if len(list) == 0 {
		return none
	}
	return list[min(n, len(list)-1)]
}

// LookUp implements automation.Hands.
func (h *Hands) LookUp(_ context.Context, c automation.Call) (map[string]any, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, l := range h.looks {
		if l.Step == c.Step {
			n++
		}
	}
	h.looks = append(h.looks, c)
	a := h.Steps[c.Step]
	if n < a.Pending-1 {
		return nil, &automation.Again{State: "pending"}
	}
	if a.LookUp != nil {
		return nil, a.LookUp
	}
	return at(a.Outputs, len(a.Outputs)), nil
}

// Able implements automation.Able.
func (h *Hands) Able(c automation.Call) error {
	if why := h.Steps[c.Step].Unable; why != "" {
		return fmt.Errorf("%s", why)
	}
	return nil
}

// Sends implements automation.Sender.
func (h *Hands) Sends(c automation.Call) bool { return h.Steps[c.Step].Sends }

// Done returns the calls that Do was asked, in order.
func (h *Hands) Done() []automation.Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.done)
}

// LookedUp returns the calls that LookUp was asked, in order.
func (h *Hands) LookedUp() []automation.Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.looks)
}

// Documents finds documents in a map by their name.
type Documents map[string]*automation.Document

// Document implements automation.Documents.
func (d Documents) Document(name, version string) (*automation.Document, error) {
	doc, ok := d[name]
	if !ok || version != "" && version != doc.Version && version != "$DEFAULT" && version != "$LATEST" {
		return nil, fmt.Errorf("%w: %s %s", automation.ErrNoDocument, name, version)
	}
	return doc, nil
}
