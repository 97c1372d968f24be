package api

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"homeostat/internal/signal"
)

const (
	cookieName  = "homeostat_session"
	sessionLife = 12 * time.Hour
	maxSessions = 1000 // the oldest goes when there are more
)

// sessions are the browsers that showed a token. They live in memory: a restart asks for the token again.
type sessions struct {
	mu   sync.Mutex
	byID map[[sha256.Size]byte]session // by the hash of the cookie, so that a look at memory opens nothing
}

type session struct {
	actor   signal.Actor
	expires time.Time
}

func newSessions() *sessions { return &sessions{byID: map[[sha256.Size]byte]session{}} }

// open begins a session and returns its cookie's value.
func (s *sessions) open(a signal.Actor) string {
	id := rand.Text()
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest [sha256.Size]byte
	first := now.Add(2 * sessionLife)
	for k, v := range s.byID {
		switch {
		case now.After(v.expires):
			delete(s.byID, k)
		case v.expires.Before(first):
			oldest, first = k, v.expires
		}
	}
	if len(s.byID) >= maxSessions {
		delete(s.byID, oldest)
	}
	s.byID[sha256.Sum256([]byte(id))] = session{actor: a, expires: now.Add(sessionLife)}
	return id
}

func (s *sessions) who(id string) (signal.Actor, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.byID[sha256.Sum256([]byte(id))]
	if !ok || time.Now().After(v.expires) {
		return signal.Actor{}, false
	}
	return v.actor, true
}

func (s *sessions) close(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, sha256.Sum256([]byte(id)))
}

// logIn trades a token for a cookie. The page itself, GET /login, is the console's.
func (s *Server) logIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 8<<10)
	next := localPath(r.FormValue("next"))
	a, ok := s.lookUp(strings.TrimSpace(r.PostFormValue("token")))
	if !ok {
		s.metrics.denied.WithLabelValues("token").Inc()
		http.Redirect(w, r, "/login?failed=1&next="+url.QueryEscape(next), http.StatusSeeOther)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: s.sessions.open(a), Path: "/",
		MaxAge: int(sessionLife / time.Second), HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (s *Server) logOut(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookieName); err == nil {
		s.sessions.close(c.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// localPath returns p when it is a path on this server, else "/": a login must not send people elsewhere. Browsers read a
// backslash as a slash, and two slashes as another host.
func localPath(p string) string {
	if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.ContainsAny(p, "\\\r\n\t") {
		return "/"
	}
	return p
}
