package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"homeostat/internal/signal"
)

// actions registers what the buttons do. A browser without scripts is sent back to where it was; htmx gets a notice, and the
// parts that changed arrive by the stream.
func (c *Console) actions() {
	act := func(path string, least signal.Role, f func(ctx context.Context, r *http.Request, by, note string) (string, error)) {
		c.mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			a := signal.ActorOf(r.Context())
			if !a.Role.Allows(least) {
				c.fail(w, r, fmt.Errorf("%w: it needs the role %s, and %s has %s", errRole, least, a.Name, a.Role))
				return
			}
			said, err := f(r.Context(), r, a.Name, strings.TrimSpace(r.PostFormValue("note")))
			if err != nil {
				c.fail(w, r, err)
				return
			}
			c.live.wake()
			if to, ok := strings.CutPrefix(said, "to "); ok {
				redirect(w, r, to)
				return
			}
			if r.Header.Get("HX-Request") == "true" {
				c.notice(w, r, said)
				return
			}
			redirect(w, r, r.PostFormValue("back"))
		})
	}

	act("/executions/{id}/approve", signal.Approver, func(ctx context.Context, r *http.Request, by, note string) (string, error) {
		if c.loop.Decisions == nil {
			return "", errAbsent
		}
		return "Approved. It goes on.", c.loop.Decisions.Approve(ctx, r.PathValue("id"), by, note)
	})
	act("/executions/{id}/reject", signal.Approver, func(ctx context.Context, r *http.Request, by, note string) (string, error) {
		if c.loop.Decisions == nil {
			return "", errAbsent
		}
		return "Rejected. It ends here.", c.loop.Decisions.Reject(ctx, r.PathValue("id"), by, note)
	})
	act("/executions/{id}/continue", signal.Approver, func(ctx context.Context, r *http.Request, by, note string) (string, error) {
		if c.loop.Decisions == nil {
			return "", errAbsent
		}
		return "It goes on.", c.loop.Decisions.Continue(ctx, r.PathValue("id"), by, note, r.PostFormValue("retry") == "true")
	})
	act("/runbooks/{name}/reset", signal.Approver, func(ctx context.Context, r *http.Request, by, note string) (string, error) {
		if c.loop.Decisions == nil {
			return "", errAbsent
		}
		return "Reset. It acts there again as its route says.", c.loop.Decisions.Reset(ctx, r.PathValue("name"), signal.EntityID(r.PostFormValue("entity")), by, note)
	})
	act("/executions/{id}/cancel", signal.Operator, func(ctx context.Context, r *http.Request, by, note string) (string, error) {
		if c.loop.Decisions == nil {
			return "", errAbsent
		}
		return "Cancelled. The step that it is at is stopped.", c.loop.Decisions.Cancel(ctx, r.PathValue("id"), by, note)
	})
	judge := func(do signal.OrderKind, said string) {
		act("/anomalies/{id}/"+string(do), signal.Operator, func(ctx context.Context, r *http.Request, by, note string) (string, error) {
			if c.loop.Judge == nil {
				return "", errAbsent
			}
			_, err := c.loop.Judge.Judge(ctx, r.PathValue("id"), do, by, note)
			return said, err
		})
	}
	judge(signal.Mute, "Muted. The same again is not told.")
	judge(signal.Confirm, "Confirmed. Its like is told from now on, and never learnt as ordinary.")
	act("/incidents/{id}/resolve", signal.Operator, func(ctx context.Context, r *http.Request, by, note string) (string, error) {
		if c.loop.Incidents == nil {
			return "", errAbsent
		}
		return "Resolved.", c.loop.Incidents.Resolve(ctx, r.PathValue("id"), by, note)
	})
	act("/pause", signal.Operator, func(ctx context.Context, _ *http.Request, by, note string) (string, error) {
		if c.loop.Switch == nil {
			return "", errAbsent
		}
		return "Paused. No automatic action is taken.", c.loop.Switch.Pause(ctx, by, note)
	})
	act("/resume", signal.Approver, func(ctx context.Context, _ *http.Request, by, note string) (string, error) {
		if c.loop.Switch == nil {
			return "", errAbsent
		}
		return "Resumed.", c.loop.Switch.Resume(ctx, by, note)
	})
	act("/runbooks/{name}/run", signal.Operator, c.startRunbook)
}

// startRunbook starts a runbook from its page, in observe unless the person chose otherwise and may.
func (c *Console) startRunbook(ctx context.Context, r *http.Request, by, note string) (string, error) {
	if c.loop.Starter == nil {
		return "", errAbsent
	}
	st := signal.Start{Runbook: r.PathValue("name"), Entity: signal.EntityID(r.PostFormValue("entity")), Mode: signal.Mode(r.PostFormValue("mode")), By: by, Reason: note, Parameters: map[string]any{}}
	switch st.Mode {
	case signal.Observe, signal.Approve, signal.Auto:
	default:
		st.Mode = signal.Observe
	}
	if a := signal.ActorOf(ctx); st.Mode != signal.Observe && !a.Role.Allows(signal.Approver) {
		return "", fmt.Errorf("%w: a mode above observe needs the role approver", errRole)
	}
	for k, vs := range r.PostForm {
		if name, ok := strings.CutPrefix(k, "p."); ok && vs[0] != "" {
			st.Parameters[name] = vs[0]
		}
	}
	id, err := c.loop.Starter.StartRunbook(ctx, st)
	return "to /executions/" + url.PathEscape(id), err
}

// notice answers htmx with what was done.
func (c *Console) notice(w http.ResponseWriter, r *http.Request, said string) {
	text, _, err := drawPart(c.pages["page_error.html"], "part_notice", said)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(text))
}

// redirect sends a browser to a path of ours.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		to = "/"
	}
	if r.Header.Get("HX-Request") == "true" {
		w.Header().Set("HX-Redirect", to)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}
