// Package api is the loop's face on HTTP: the REST API with its OpenAPI 3.1 description and manual page, the inputs, the health
// pages, and, mounted on the same server, the Prometheus API and the console.
//
// Who asks is settled first, for everything alike ([Server.Handler] draws the order): a request must name a host that is ours
// and come from no foreign origin; then it acts as "local" (loopback, no tokens configured) or as the token that it brings.
// Each operation names the least role that may use it. A server that would listen beyond loopback without tokens is not made.
//
// What is shown is not how it is kept: the package declares what it asks of the stages ([Loop]) over the plain types of package
// signal, and knows none of them. Where the loop lacks a part, its operations answer 501.
package api

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeostat/internal/signal"
)

// DefaultListen is where the server listens when nothing else is said.
const DefaultListen = "127.0.0.1:8080"

// minToken is the least length of a token, in bytes: 16 random characters can't be guessed over a network.
const minToken = 16

// Config says where the server listens and who may use it. Its keys stand at the top of the configuration file.
type Config struct {
	// Address and port to listen on. Beyond loopback, tokens are needed.
	Listen string `yaml:"listen"`
	// Who may use the API and the console. Without any, requests from this machine may, with every role.
	Tokens []Token `yaml:"tokens"`
	// Host names, besides this machine's own and addresses, under which browsers and clients reach this server.
	Hosts []string `yaml:"hosts"`
	// Serve Go's profiles under /debug/pprof/ (role admin).
	Pprof bool `yaml:"pprof"`
}

// Token is a secret and whom it stands for.
type Token struct {
	// Name that the audit log shows.
	Name string `yaml:"name"`
	// viewer, operator, approver or admin; each may do what those before it may.
	Role signal.Role `yaml:"role"`
	// The secret itself, at least 16 characters; write it as ${NAME} or ${file:PATH}.
	Token string `yaml:"token"`
	// Notify targets that reach nobody else. What is asked there comes with a link by which its holder answers once, without the token. Needs the role approver.
	Notify []string `yaml:"notify"`
}

// Check returns all that is wrong with c, joined; each message begins with its key.
func (c Config) Check() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	host, _, err := net.SplitHostPort(c.listen())
	if err != nil {
		fail("listen: %q is not an address and port, such as %s", c.Listen, DefaultListen)
	} else if len(c.Tokens) == 0 && !loopbackName(host) {
		fail("listen: %s can be reached from other machines, so tokens are needed: configure tokens, or listen on %s", c.listen(), DefaultListen)
	}
	names, reached := map[string]bool{}, map[string]bool{}
	secrets := map[string]bool{}
	for i, t := range c.Tokens {
		switch {
		case t.Name == "":
			fail("tokens[%d].name: is missing", i)
		case t.Name == "local" || t.Name == "homeostat" || strings.HasPrefix(t.Name, "route "):
			fail("tokens[%d].name: %q is a name of Homeostat's own", i, t.Name)
		case names[t.Name]:
			fail("tokens[%d].name: %q is there twice", i, t.Name)
		}
		names[t.Name] = true
		if !t.Role.Known() {
			fail("tokens[%d].role: want viewer, operator, approver or admin, not %q", i, t.Role)
		}
		switch {
		case len(t.Token) < minToken:
			fail("tokens[%d].token: needs at least %d characters", i, minToken)
		case secrets[t.Token]:
			fail("tokens[%d].token: two tokens have the same secret", i)
		}
		secrets[t.Token] = true
		if len(t.Notify) > 0 && !t.Role.Allows(signal.Approver) {
			fail("tokens[%d].notify: needs the role approver, and this is %s", i, t.Role)
		}
		for _, n := range t.Notify {
			if reached[n] {
				fail("tokens[%d].notify: %s reaches another token's holder too", i, n)
			}
			reached[n] = true
		}
	}
	return errors.Join(errs...)
}

func (c Config) listen() string {
	if c.Listen == "" {
		return DefaultListen
	}
	return c.Listen
}

// Server serves the loop over HTTP.
type Server struct {
	cfg      Config
	loop     Loop
	log      *slog.Logger
	keys     []key
	sessions *sessions
	hosts    []string // lower case, without port, besides loopback's and addresses
	answer   *template.Template
	metrics  *metrics
	mux      *http.ServeMux
	handler  http.Handler
}

// New makes a server for loop. It fails when c is wrong, above all when it would listen beyond loopback without tokens.
func New(c Config, loop Loop, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: c, loop: loop, log: log, sessions: newSessions(), metrics: newMetrics(reg), mux: http.NewServeMux()}
	var err error
	if s.answer, err = template.New("answer").Parse(answerPage); err != nil {
		return nil, err
	}
	for _, t := range c.Tokens {
		s.keys = append(s.keys, newKey(t))
	}
	for _, h := range c.Hosts {
		s.hosts = append(s.hosts, strings.ToLower(h))
	}
	if name, err := os.Hostname(); err == nil {
		s.hosts = append(s.hosts, strings.ToLower(name))
	}
	if host, _, err := net.SplitHostPort(c.listen()); err == nil && host != "" {
		s.hosts = append(s.hosts, strings.ToLower(host))
	}
	slices.Sort(s.hosts)
	s.hosts = slices.Compact(s.hosts)
	if err := s.routes(); err != nil {
		return nil, err
	}
	s.handler = s.recovered(s.headed(s.ours(s.authenticated(patient(s.mux)))))
	return s, nil
}

// Handler returns the whole server as a handler, in this order: a panic is a 500 and counted; security headers; Host and
// Origin are ours; who asks; the route.
func (s *Server) Handler() http.Handler { return s.handler }

// Listen opens the address of the configuration. It stands apart from [Server.Serve] so that the caller learns the port, and
// that it is taken, before the loop starts.
func (s *Server) Listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", s.cfg.listen())
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: another program has it; choose another with --listen, or stop that one: %w", s.cfg.listen(), syscall.EADDRINUSE)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", s.cfg.listen(), err)
	}
	return ln, nil
}

// rehearsalTime is how long a rehearsal may take: a month of one host takes a core a quarter of a minute, and there may be many.
const rehearsalTime = 15 * time.Minute

// patient lets a rehearsal answer late.
func patient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/rehearse" {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(rehearsalTime)) // else it is cut off as others are
		}
		next.ServeHTTP(w, r)
	})
}

// Time-outs of a connection. A stream of server-sent events lifts its own.
const (
	headerTimeout   = 10 * time.Second
	readTimeout     = time.Minute
	writeTimeout    = 2 * time.Minute // a profile and a long query take their time
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 5 * time.Second
	maxHeaderBytes  = 64 << 10
)

// Serve answers requests on ln until ctx ends, then lets those in progress end, 5 s at most, and returns.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	// Requests live as long as the server does, not as ctx does: what is in progress at the end may end. Streams, which
	// would never end, are closed by who feeds them.
	base, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // clients that hang up are no news
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := srv.Shutdown(sctx)
	if errors.Is(err, context.DeadlineExceeded) {
		stop(context.Cause(ctx)) // what didn't end by itself is cut off
		err = srv.Close()
	}
	<-done
	return err
}
