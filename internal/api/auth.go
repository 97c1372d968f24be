package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"homeostat/internal/signal"
)

// key is a token as the server keeps it: hashed, so that the comparison takes the same time whatever is sent.
type key struct {
	sum   [sha256.Size]byte
	actor signal.Actor
}

func newKey(t Token) key {
	return key{sum: sha256.Sum256([]byte(t.Token)), actor: signal.Actor{Name: t.Name, Role: t.Role}}
}

// lookUp returns whom a secret stands for. It compares with every key, so that time tells nothing.
func (s *Server) lookUp(secret string) (signal.Actor, bool) {
	sum := sha256.Sum256([]byte(secret))
	var found signal.Actor
	ok := false
	for i := range s.keys {
		if subtle.ConstantTimeCompare(sum[:], s.keys[i].sum[:]) == 1 {
			found, ok = s.keys[i].actor, true
		}
	}
	return found, ok
}

// loopbackName reports whether a host (without port) names this machine and no other can reach it.
func loopbackName(host string) bool {
	host = strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(host), "["), "]")
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// hostOf cuts the port off a Host header.
func hostOf(header string) string {
	if h, _, err := net.SplitHostPort(header); err == nil {
		return h
	}
	return header
}

// ourHost reports whether a Host header names this server. Without tokens only loopback names do: a page elsewhere can point
// its own name at 127.0.0.1 (DNS rebinding), but the header then still bears that name. With tokens, addresses are fine too,
// as no name can be rebound to them.
func (s *Server) ourHost(header string) bool {
	host := strings.ToLower(hostOf(header))
	if loopbackName(host) {
		return true
	}
	if len(s.keys) == 0 {
		return false
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return slices.Contains(s.hosts, strings.TrimSuffix(host, "."))
}

// foreign says why a request belongs to a page of another origin; "" when it doesn't. Browsers send Origin with what could
// read an answer or change something, and Sec-Fetch-* with everything; programs send neither.
func foreign(r *http.Request) string {
	if o := r.Header.Get("Origin"); o != "" {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return "a page of another origin asks"
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return ""
	}
	// A link followed from elsewhere, into a whole page of its own, is how people arrive from a chat.
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" {
		return ""
	}
	return "a page of another origin asks"
}

// ours lets nothing through that names a foreign host or comes from a foreign page.
func (s *Server) ours(next http.Handler) http.Handler {
	// What [foreign] says no to is a superset; the library's check stays as the second lock on what changes something.
	next = http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.ourHost(r.Host) {
			s.metrics.denied.WithLabelValues("host").Inc()
			problem(w, http.StatusForbidden, "This server does not answer to that Host. Use 127.0.0.1 or localhost, or name it under hosts in the configuration.")
			return
		}
		if why := foreign(r); why != "" {
			s.metrics.denied.WithLabelValues("origin").Inc()
			problem(w, http.StatusForbidden, "Refused: "+why+".")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// local reports whether the request comes from this machine and through no proxy.
func local(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	if err != nil || !a.Unmap().IsLoopback() {
		return false
	}
	// A proxy on this machine brings others' requests: those aren't local, whatever address they come from.
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	return true
}

// open are the paths that need no token: probes, which have none, what the login page is made of, and signed links, which say
// themselves who comes.
func open(path string) bool {
	if link, ok := strings.CutPrefix(path, "/answer/"); ok {
		return link != "" && !strings.Contains(link, "/")
	}
	return path == "/healthz" || path == "/readyz" || path == "/login" || strings.HasPrefix(path, "/assets/")
}

// authenticated settles who asks.
func (s *Server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor, ok := s.who(r)
		switch {
		case ok:
		case len(s.keys) == 0:
			s.metrics.denied.WithLabelValues("remote").Inc()
			problem(w, http.StatusForbidden, "Without tokens in the configuration only this machine is answered, and not through a proxy.")
			return
		case open(r.URL.Path):
		case r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/api/"):
			http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return
		default:
			s.metrics.denied.WithLabelValues("token").Inc()
			w.Header().Set("WWW-Authenticate", `Bearer realm="homeostat"`)
			why := "A token is needed: Authorization: Bearer TOKEN (the command line takes it from HOMEOSTAT_TOKEN)."
			if r.Header.Get("Authorization") != "" {
				why = "The configuration has no such token (the command line takes it from HOMEOSTAT_TOKEN)."
			}
			problem(w, http.StatusUnauthorized, why)
			return
		}
		next.ServeHTTP(w, r.WithContext(signal.WithActor(r.Context(), actor)))
	})
}

// who returns whom a request acts as.
func (s *Server) who(r *http.Request) (signal.Actor, bool) {
	if len(s.keys) == 0 {
		return signal.Actor{Name: "local", Role: signal.Admin}, local(r)
	}
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, secret, _ := strings.Cut(h, " ")
		switch {
		case strings.EqualFold(scheme, "Bearer"):
			return s.lookUp(strings.TrimSpace(secret))
		case strings.EqualFold(scheme, "Basic"):
			// Prometheus agents and Grafana can often send nothing else; the user name is of no account.
			if _, pass, ok := r.BasicAuth(); ok {
				return s.lookUp(pass)
			}
		}
		return signal.Actor{}, false
	}
	if c, err := r.Cookie(cookieName); err == nil {
		return s.sessions.who(c.Value)
	}
	return signal.Actor{}, false
}

// needs lets only those through who have at least the role.
func (s *Server) needs(least signal.Role, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a := signal.ActorOf(r.Context()); !a.Role.Allows(least) {
			s.metrics.denied.WithLabelValues("role").Inc()
			problem(w, http.StatusForbidden, roleText(a, least))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func roleText(a signal.Actor, least signal.Role) string {
	return "This needs the role " + string(least) + "; " + a.Name + " has " + string(a.Role) + "."
}
