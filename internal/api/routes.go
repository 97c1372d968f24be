package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"homeostat/internal/signal"
)

// Limits of bodies, in bytes.
const (
	maxEvents  = 4 << 20  // POST /ingest/events
	maxSamples = 32 << 20 // remote write and OTLP, compressed
	maxTrain   = 32 << 20 // POST /api/models: 30 days of minutes of four series are 3 MB
	maxOther   = 1 << 20
)

// routes mounts everything. The described operations come first, as the manual page is made of them.
func (s *Server) routes() error {
	cfg := huma.DefaultConfig("Homeostat", s.loop.Version)
	cfg.Info.Description = "Watches, understands and, within its operator's limits, puts right. Lists are oldest first, `{\"items\": [...], \"next\": \"...\"}`; " +
		"pass `next` as `after` for the following page; the last page has no `next`. Errors are RFC 9457 problems."
	cfg.DocsPath, cfg.SchemasPath = "", ""
	cfg.CreateHooks = nil // no $schema in answers: a list is what the contract says and no more
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "A token of the configuration. Not needed on loopback where none are configured."},
	}
	cfg.OpenAPIPath = "/openapi"
	d := humago.New(s.mux, cfg)
	s.lists(d)
	s.actions(d)
	s.status(d)
	s.ingests(d)
	page, err := s.manual(d.OpenAPI())
	if err != nil {
		return err
	}

	s.mux.Handle("GET /docs", s.needs(signal.Viewer, page))
	s.mux.HandleFunc("GET /docs/manual.css", manualStyle)
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	if s.loop.Links == nil {
		s.mux.HandleFunc("/answer/", http.NotFound)
	} else {
		// The link itself says who answers: it is signed, one person's, and works once.
		s.mux.HandleFunc("GET /answer/{token}", s.askedByLink)
		s.mux.HandleFunc("POST /answer/{token}", s.answerByLink)
	}
	s.mux.HandleFunc("POST /login", s.logIn)
	s.mux.HandleFunc("POST /logout", s.logOut)
	s.mount("/prometheus/", signal.Viewer, maxOther, s.loop.Prometheus, "/prometheus")
	s.mount("POST /api/v1/write", signal.Operator, maxSamples, s.loop.RemoteWrite, "")
	s.mount("POST /v1/metrics", signal.Operator, maxSamples, s.loop.OTLP, "")
	s.mount("GET /metrics", signal.Viewer, maxOther, s.loop.Metrics, "")
	if s.cfg.Pprof {
		for path, h := range map[string]http.HandlerFunc{
			"/debug/pprof/": pprof.Index, "/debug/pprof/cmdline": pprof.Cmdline, "/debug/pprof/profile": pprof.Profile,
			"/debug/pprof/symbol": pprof.Symbol, "/debug/pprof/trace": pprof.Trace,
		} {
			s.mount("GET "+path, signal.Admin, maxOther, h, "")
		}
	}
	s.mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusNotFound, "There is no such operation; /docs lists them.")
	})
	if s.loop.Console != nil {
		// The console checks the role of what changes something; its login page is open, so no role is asked here.
		s.mux.Handle("/", bounded(maxOther, s.loop.Console))
	}
	return nil
}

// mount puts a stage's own handler behind a role and a limit; a nil one leaves the path unknown.
func (s *Server) mount(pattern string, least signal.Role, maxBytes int64, h http.Handler, strip string) {
	if h == nil {
		return
	}
	if strip != "" {
		h = http.StripPrefix(strip, h)
	}
	s.mux.Handle(pattern, s.needs(least, bounded(maxBytes, h)))
}

// operation describes one operation: what it needs and what it answers when it can't.
type operation struct {
	id, method, path, tag, summary, description string
	least                                       signal.Role
	maxBody                                     int64 // bytes; maxOther when 0
}

// handle registers an operation behind its role. part is the part of the loop that it asks; a nil one answers 501.
func handle[I, O any](d huma.API, o operation, part any, f func(context.Context, *I) (*O, error)) {
	op := huma.Operation{
		OperationID: o.id, Method: o.method, Path: o.path, Tags: []string{o.tag}, Summary: o.summary,
		Description:  o.description + "\n\nNeeds the role " + string(o.least) + ".",
		MaxBodyBytes: cmp.Or(o.maxBody, maxOther),
		Errors:       []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusNotImplemented},
		Security:     []map[string][]string{{"token": {}}},
	}
	huma.Register(d, op, func(ctx context.Context, in *I) (*O, error) {
		if a := signal.ActorOf(ctx); !a.Role.Allows(o.least) {
			return nil, huma.Error403Forbidden(roleText(a, o.least))
		}
		if part == nil {
			return nil, huma.Error501NotImplemented("This loop runs without that part.")
		}
		out, err := f(ctx, in)
		if err != nil {
			return nil, asProblem(err)
		}
		return out, nil
	})
}

// asProblem maps the errors of the stages to statuses, once, here.
func asProblem(err error) error {
	if _, ok := errors.AsType[huma.StatusError](err); ok {
		return err
	}
	// What the status says already isn't said again.
	without := func(kind error) string { return strings.TrimSuffix(err.Error(), ": "+kind.Error()) }
	switch {
	case errors.Is(err, signal.ErrNotFound):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, signal.ErrConflict):
		return huma.Error409Conflict(without(signal.ErrConflict))
	case errors.Is(err, signal.ErrInvalid):
		return huma.Error422UnprocessableEntity(without(signal.ErrInvalid))
	case errors.Is(err, context.DeadlineExceeded):
		return huma.Error504GatewayTimeout("It took too long.")
	}
	return huma.Error500InternalServerError(err.Error())
}
