package signal

import (
	"context"
	"errors"
	"time"
)

// ErrNotFound means that nothing has the id, or name, that was asked for.
var ErrNotFound = errors.New("not found")

// ErrConflict means that what was asked can't be done in the state that the thing is in: an execution that doesn't wait can't
// be approved.
var ErrConflict = errors.New("not possible in this state")

// ErrInvalid means that what was sent is malformed; the message says what and where.
var ErrInvalid = errors.New("invalid")

// Role says what somebody may do. The zero Role may do nothing.
type Role string

// The roles, least first; each may do what those before it may.
const (
	Viewer   Role = "viewer"   // look
	Operator Role = "operator" // and send data and events, resolve incidents, start runbooks in observe, pause
	Approver Role = "approver" // and approve, reject, start runbooks that act, resume
	Admin    Role = "admin"    // everything
)

// Allows reports whether r may do what needs the role least. An unknown role may do nothing, and nobody may do what needs
// an unknown one.
func (r Role) Allows(least Role) bool {
	return r.rank() > 0 && least.rank() > 0 && r.rank() >= least.rank()
}

// Known reports whether r is one of the four roles.
func (r Role) Known() bool { return r.rank() > 0 }

func (r Role) rank() int {
	switch r {
	case Viewer:
		return 1
	case Operator:
		return 2
	case Approver:
		return 3
	case Admin:
		return 4
	}
	return 0
}

// Actor is who asks: a token's name, or "local" on loopback where no tokens are configured. The zero Actor is nobody.
type Actor struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
}

type actorKey struct{}

// WithActor returns a context that carries who asks.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf returns who asks, or the zero Actor.
func ActorOf(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}

// Switch is the kill switch: while it is on, no automatic action is taken.
type Switch struct {
	Paused bool      `json:"paused"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}
