package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"homeostat/internal/signal"
)

// answerPage is what a signed link in a notification opens: what is asked, and the two buttons. To open it changes nothing, as
// chats and mail gateways open every link that goes through them.
const answerPage = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex"><title>{{.Title}}</title><link rel="stylesheet" href="/assets/console.css"></head><body><main>
<h1>{{.Title}}</h1>{{if .Said}}<p>{{.Said}}</p>{{else}}<p>{{.Message}}</p>
<p>{{.Runbook}}{{if .Entity}} on {{.Entity}}{{end}}, in mode {{.Mode}}, begun by {{.By}}. It is asked of {{.Who}}, until {{.Until}}.</p>
<form method="post"><p><label>A note for the record <input name="note" maxlength="2000"></label></p>
<p><button name="answer" value="approve">Approve</button> <button name="answer" value="reject">Reject</button></p></form>{{end}}
</main></body></html>
`

// Links are the signed links by which people answer without their token: each one person's, for one question, once. A link
// that isn't good, whyever, is [signal.ErrNotFound].
type Links interface {
	// Asked returns the execution that asks, and who is asked. It changes nothing.
	Asked(ctx context.Context, token string) (signal.Execution, string, error)
	AnswerLink(ctx context.Context, token string, approve bool, note string) error
}

// answerView is what the page shows.
type answerView struct {
	Title, Said, Message, Runbook, Entity, Mode, By, Who, Until string
}

func (s *Server) drawAnswer(w http.ResponseWriter, code int, v answerView) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the address is the secret
	w.WriteHeader(code)
	_ = s.answer.Execute(w, v) // the reader has gone
}

func (s *Server) answerFailed(w http.ResponseWriter, err error) {
	code, said := http.StatusNotFound, "This link is not valid, or no longer: it works once, and until the question expires."
	switch {
	case errors.Is(err, signal.ErrConflict):
		code, said = http.StatusConflict, err.Error()
	case !errors.Is(err, signal.ErrNotFound):
		code, said = http.StatusInternalServerError, "It could not be answered just now. Try again."
	}
	s.drawAnswer(w, code, answerView{Title: "Nothing to answer", Said: said})
}

// askedByLink shows what is asked.
func (s *Server) askedByLink(w http.ResponseWriter, r *http.Request) {
	x, who, err := s.loop.Links.Asked(r.Context(), r.PathValue("token"))
	if err != nil {
		s.answerFailed(w, err)
		return
	}
	s.drawAnswer(w, http.StatusOK, answerView{
		Title: "May it?", Message: x.Approval.Message, Runbook: x.Runbook, Entity: string(x.Entity), Mode: string(x.Mode), By: x.By, Who: who,
		Until: x.Approval.Expires.UTC().Format(time.RFC1123),
	})
}

// answerByLink takes the answer.
func (s *Server) answerByLink(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	answer := r.PostFormValue("answer")
	if answer != "approve" && answer != "reject" {
		s.drawAnswer(w, http.StatusUnprocessableEntity, answerView{Title: "Nothing was answered", Said: "Approve or reject."})
		return
	}
	if err := s.loop.Links.AnswerLink(r.Context(), r.PathValue("token"), answer == "approve", r.PostFormValue("note")); err != nil {
		s.answerFailed(w, err)
		return
	}
	said := "Approved. It goes on."
	if answer == "reject" {
		said = "Rejected. It ends here."
	}
	s.drawAnswer(w, http.StatusOK, answerView{Title: "Thank you", Said: said})
}
