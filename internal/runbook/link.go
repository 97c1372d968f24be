package runbook

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// linked is what a link stands for: one person's one answer to one question of one execution.
type linked struct {
	Execution string `json:"x"`
	Step      string `json:"s"`
	Who       string `json:"w"` // the token's name
	Expires   int64  `json:"e"` // Unix seconds
}

// openLinks reads the key that signs links, and makes it the first time.
func (r *Runbooks) openLinks(ctx context.Context, tx *sql.Tx) error {
	var text string
	err := tx.QueryRowContext(ctx, `SELECT key FROM link_key WHERE id = 1`).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		key := make([]byte, sha256.Size)
		_, _ = rand.Read(key) // it never fails
		text = hex.EncodeToString(key)
		_, err = tx.ExecContext(ctx, `INSERT INTO link_key (id, key) VALUES (1, $1)`, text)
	}
	if err == nil {
		r.linkKey, err = hex.DecodeString(text)
	}
	return err
}

func (r *Runbooks) sign(payload string) string {
	m := hmac.New(sha256.New, r.linkKey)
	m.Write([]byte("homeostat answer\x00" + payload))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// Link returns the secret part of a link by which the person behind a notify target can answer what x asks, once and until the
// question expires; "" where the target reaches nobody alone, or x doesn't ask for approval, or not of that person.
func (r *Runbooks) Link(x signal.Execution, target string) string {
	who, ok := r.cfg.LinksTo[target]
	a := x.Approval
	if !ok || a == nil || a.Kind != signal.AskApproval || a.Expires.IsZero() || x.Route == "" && x.By == who ||
		len(a.Approvers) > 0 && !slices.Contains(a.Approvers, who) {
		return ""
	}
	text, err := json.Marshal(linked{Execution: x.ID, Step: a.Step, Who: who, Expires: a.Expires.Unix()})
	if err != nil {
		return ""
	}
	payload := base64.RawURLEncoding.EncodeToString(text)
	return payload + "." + r.sign(payload)
}

// errLink is said of every link that isn't good, so that nothing can be learned from trying.
var errLink = fmt.Errorf("the link is not valid, or no longer: %w", signal.ErrNotFound)

// Asked returns what the link asks, of whom. A link that was answered by, that has expired, or that nobody made is
// [signal.ErrNotFound]. It changes nothing.
func (r *Runbooks) Asked(ctx context.Context, token string) (x signal.Execution, who string, err error) {
	l, err := r.open(token)
	if err != nil {
		return x, "", err
	}
	e, err := load(ctx, r.need.Read, l.Execution)
	switch {
	case errors.Is(err, signal.ErrNotFound):
		return x, "", errLink
	case err != nil:
		return x, "", err
	case e.ended() || e.Approval == nil || e.Approval.Step != l.Step:
		return x, "", errLink
	}
	answers, err := answersOf(ctx, r.need.Read, l.Execution)
	if err != nil {
		return x, "", err
	}
	for _, a := range answers[l.Step] {
		if a.Who == l.Who {
			return x, "", errLink // used
		}
	}
	return e.Execution, l.Who, nil
}

// open checks a link's signature and time, and that its person is still one who may.
func (r *Runbooks) open(token string) (linked, error) {
	var l linked
	payload, sum, ok := strings.Cut(token, ".")
	if !ok || len(token) > 2000 || !hmac.Equal([]byte(sum), []byte(r.sign(payload))) {
		return l, errLink
	}
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(text, &l) != nil || time.Now().Unix() >= l.Expires {
		return l, errLink
	}
	for _, who := range r.cfg.LinksTo {
		if who == l.Who {
			return l, nil
		}
	}
	return l, errLink
}

// AnswerLink approves, or rejects, what a link asks, in the name of its person. It works once.
func (r *Runbooks) AnswerLink(ctx context.Context, token string, approve bool, note string) error {
	x, who, err := r.Asked(ctx, token)
	if err != nil {
		return err
	}
	if note == "" {
		note = "by the link in a notification"
	}
	if approve {
		return r.Approve(ctx, x.ID, who, note)
	}
	return r.Reject(ctx, x.ID, who, note)
}
