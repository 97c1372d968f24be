// Package signal holds the plain types that travel round the loop: series and the samples of a [Batch], the [Entity] that
// is well or ill, the [Anomaly] and [Alert] that say so, the [Event] that tells the rest, and the [Incident] and
// [Execution] that come of it.
//
// Every stage knows this package and no stage knows another; it therefore imports nothing of ours and does no work beyond
// naming things. Ids are made, not drawn ([MakeID]): the same cause gives the same id, so that replaying a stream makes
// nothing twice. Whatever has an id carries Cause, the ids of what brought it about, back to the batch of samples.
package signal

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// The kinds of things that have ids. An id begins with its kind and a dash ("an-3f2a..."), so that a person, and `homeostat
// why`, sees at once what it names.
const (
	KindBatch     = "ba" // a batch of samples: "ba-PARTITION-SEQUENCE"
	KindAnomaly   = "an"
	KindAlert     = "al"
	KindEvent     = "ev"
	KindIncident  = "in"
	KindExecution = "ex"
	KindStep      = "st"
	KindVerify    = "ve"
	KindNotice    = "no"
	KindOrder     = "or"
	KindModel     = "mo"
	KindBreach    = "fo" // a forecast that crosses a limit
)

// MakeID returns kind, a dash, and 20 hex digits that depend on all parts and their order. Parts may hold any bytes.
func MakeID(kind string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		// The length stands before each part, so that ("a", "bc") and ("ab", "c") differ.
		var n [8]byte
		for i, l := 0, uint64(len(p)); i < 8; i++ {
			n[i] = byte(l >> (8 * i))
		}
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return kind + "-" + hex.EncodeToString(h.Sum(nil)[:10])
}

// KindOf returns the kind of an id that [MakeID] or the stream made, and "" for anything else.
func KindOf(id string) string {
	kind, _, ok := strings.Cut(id, "-")
	if !ok || len(kind) != 2 {
		return ""
	}
	return kind
}

// Severity says how soon a person should look.
type Severity string

// The severities, least first.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Rank orders severities: 0 for info and anything unknown, 1 for warning, 2 for critical.
func (s Severity) Rank() int {
	switch s {
	case Critical:
		return 2
	case Warning:
		return 1
	}
	return 0
}

// Mode is how far a runbook may go. The zero Mode is Observe: forgetting never acts.
type Mode string

// The modes, least first.
const (
	Observe Mode = "observe" // say what would be done
	Approve Mode = "approve" // ask a person, then do it
	Auto    Mode = "auto"    // do it
)

// Least returns the more careful of two modes; anything unknown counts as Observe.
func Least(a, b Mode) Mode {
	rank := func(m Mode) int {
		switch m {
		case Auto:
			return 2
		case Approve:
			return 1
		}
		return 0
	}
	m := a
	if rank(b) < rank(a) {
		m = b
	}
	if rank(m) == 0 {
		return Observe
	}
	return m
}
