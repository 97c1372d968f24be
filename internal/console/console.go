// Package console draws the web pages: an overview that says in five seconds what is wrong, what is being done and what needs a
// person; and behind it entities with their expected bands, events, incidents, executions, runbooks, the causal chain and the
// health of the stages.
//
// A page is a Go file (a view of plain strings and numbers, its query, its handler) and a template that decides nothing. What
// changes while one looks stands in parts: the same part is drawn in the page and sent again as a server-sent event when its
// text has changed ([Console.Run] says when to look). Pages work without scripts; scripts add life, local times and charts.
// Nothing is loaded from elsewhere, and html/template escapes everything: the text of an event is whatever somebody sent.
//
// Who asks, and whether they may be here at all, is settled before; pages read it from the context (signal.ActorOf).
package console

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"homeostat/internal/signal"
)

//go:embed templates assets
var files embed.FS

// Console is a handler for the pages. Safe for concurrent use.
type Console struct {
	loop   Loop
	log    *slog.Logger
	mux    *http.ServeMux
	pages  map[string]*template.Template // by the page's template
	live   *hub
	query  querier
	sparks sparkCache
	stamp  string // changes with the assets, so that they can be kept for ever
}

// page is one page as it is registered.
type page struct {
	path  string // a pattern of http.ServeMux without method
	file  string // page_NAME.html
	nav   string // which entry of the navigation it belongs to
	parts []string
	view  func(ctx context.Context, r *http.Request) (titled, error)
}

// titled is a page's view.
type titled interface{ title() string }

// layout is what every page is set in.
type layout struct {
	Title   string
	Nav     string
	Live    string // where the page's parts are sent from; "" for a still page
	Stamp   string
	Version string
	Mode    signal.Mode
	Actor   signal.Actor
	Tokens  bool // somebody logged in, and may log out
	Switch  switchView
	Page    titled
}

// New makes the console for loop. Run must run for pages to be live.
func New(loop Loop, log *slog.Logger, reg prometheus.Registerer) (*Console, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Console{loop: loop, log: log, mux: http.NewServeMux(), pages: map[string]*template.Template{}, live: newHub(reg), query: querier{loop.Prometheus}}
	if err := c.stampAssets(); err != nil {
		return nil, err
	}
	for _, p := range c.all() {
		t, err := c.parse(p.file)
		if err != nil {
			return nil, err
		}
		c.pages[p.file] = t
		pattern := p.path
		if pattern == "/" {
			pattern = "/{$}"
		}
		c.mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) { c.draw(w, r, p) })
		if len(p.parts) > 0 {
			c.mux.HandleFunc("GET /live"+pattern, func(w http.ResponseWriter, r *http.Request) { c.stream(w, r, p) })
		}
	}
	var err error
	if c.pages["page_error.html"], err = c.parse("page_error.html"); err != nil {
		return nil, err
	}
	if c.pages["page_login.html"], err = c.parse("page_login.html"); err != nil {
		return nil, err
	}
	c.mux.HandleFunc("GET /login", c.login)
	c.mux.HandleFunc("GET /assets/{name}", c.asset)
	c.mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/assets/icon.svg", http.StatusMovedPermanently)
	})
	c.mux.HandleFunc("GET /entities/{id}/charts", c.charts)
	c.actions()
	c.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, fmt.Errorf("the page %s: %w", r.URL.Path, signal.ErrNotFound))
	})
	return c, nil
}

// all are the pages, in the order of the navigation.
func (c *Console) all() []page {
	return []page{
		{"/", "page_overview.html", "overview", []string{"part_verdict", "part_now", "part_entities", "part_lately", "part_stages"}, c.overview},
		{"/entities", "page_entities.html", "overview", []string{"part_entities"}, c.entities},
		{"/entities/{id}", "page_entity.html", "overview", []string{"part_entity", "part_entity_more"}, c.entity},
		{"/incidents", "page_incidents.html", "incidents", []string{"part_incidents"}, c.incidents},
		{"/incidents/{id}", "page_incident.html", "incidents", []string{"part_incident"}, c.incident},
		{"/executions", "page_executions.html", "executions", []string{"part_executions"}, c.executions},
		{"/executions/{id}", "page_execution.html", "executions", []string{"part_execution"}, c.execution},
		{"/events", "page_events.html", "events", []string{"part_events"}, c.events},
		{"/events/{id}", "page_event.html", "events", nil, c.event},
		{"/runbooks", "page_runbooks.html", "runbooks", nil, c.runbooks},
		{"/runbooks/{name}", "page_runbook.html", "runbooks", nil, c.runbook},
		{"/why/{id}", "page_why.html", "", []string{"part_why"}, c.why},
		{"/health", "page_health.html", "health", []string{"part_health"}, c.health},
	}
}

// ServeHTTP serves the pages.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Whoever is nobody sees what a login page is made of, and no more: the second lock behind the server's.
	if !signal.ActorOf(r.Context()).Role.Allows(signal.Viewer) && r.URL.Path != "/login" && !strings.HasPrefix(r.URL.Path, "/assets/") {
		http.Error(w, "who asks is not known", http.StatusUnauthorized)
		return
	}
	c.mux.ServeHTTP(w, r)
}

// draw answers with a whole page.
func (c *Console) draw(w http.ResponseWriter, r *http.Request, p page) {
	ctx, cancel := context.WithTimeout(r.Context(), drawLimit)
	defer cancel()
	v, err := p.view(ctx, r)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	l := c.layout(ctx, r, v)
	l.Nav = p.nav
	if len(p.parts) > 0 {
		l.Live = "/live" + r.URL.RequestURI()
	}
	c.write(w, r, http.StatusOK, p.file, l)
}

func (c *Console) layout(ctx context.Context, r *http.Request, v titled) layout {
	a := signal.ActorOf(r.Context())
	return layout{
		Title: v.title(), Stamp: c.stamp, Version: c.loop.Version, Mode: c.loop.Mode, Actor: a,
		Tokens: a.Name != "" && a.Name != "local", Switch: c.switchView(ctx), Page: v,
	}
}

func (c *Console) write(w http.ResponseWriter, r *http.Request, code int, file string, l layout) {
	var buf bytes.Buffer
	if err := c.pages[file].ExecuteTemplate(&buf, "layout.html", l); err != nil {
		c.log.ErrorContext(r.Context(), "page not drawn", "source", "console", "err", err)
		http.Error(w, "the page could not be drawn", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(buf.Bytes())
}

// errorView is the page of what went wrong.
type errorView struct {
	Code   int
	Head   string
	Detail string
}

func (v errorView) title() string { return v.Head }

// fail answers with a page that says what went wrong.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	v := errorView{http.StatusInternalServerError, "This page could not be drawn", err.Error()}
	switch {
	case errors.Is(err, signal.ErrNotFound):
		v.Code, v.Head = http.StatusNotFound, "There is nothing here"
	case errors.Is(err, signal.ErrConflict):
		v.Code, v.Head = http.StatusConflict, "That is not possible now"
	case errors.Is(err, signal.ErrInvalid):
		v.Code, v.Head = http.StatusUnprocessableEntity, "That was not understood"
	case errors.Is(err, errRole):
		v.Code, v.Head = http.StatusForbidden, "Your role does not allow that"
	case errors.Is(err, errAbsent):
		v.Code, v.Head = http.StatusNotImplemented, "This loop runs without that part"
	case errors.Is(err, context.DeadlineExceeded):
		v.Code, v.Head = http.StatusGatewayTimeout, "That took too long"
	}
	if v.Code == http.StatusInternalServerError {
		c.log.WarnContext(r.Context(), "page failed", "source", "console", "err", err)
	}
	c.write(w, r, v.Code, "page_error.html", c.layout(r.Context(), r, v))
}

var (
	errRole   = errors.New("not allowed")
	errAbsent = errors.New("not there")
)

// parse makes the templates of one page: the layout, the parts, the page.
func (c *Console) parse(file string) (*template.Template, error) {
	t := template.New(file)
	t.Funcs(template.FuncMap{
		// part draws a part within its element, with a mark of its text, by which the script knows whether what is sent is new.
		"part": func(name string, view any) (template.HTML, error) {
			text, mark, err := drawPart(t, name, view)
			if err != nil {
				return "", err
			}
			return template.HTML(`<div id="` + name + `" data-mark="` + mark + `">` + text + `</div>`), nil //nolint:gosec // drawn by html/template a line above
		},
		"when": when, "ago": ago, "short": short, "json": pretty, "seg": seg, "thing": thing,
	})
	return t.ParseFS(files, "templates/layout.html", "templates/part_*.html", "templates/"+file)
}

// drawPart returns a part's HTML and a mark of it.
func drawPart(t *template.Template, name string, view any) (text, mark string, err error) {
	var buf bytes.Buffer
	if err := t.ExecuteTemplate(&buf, name+".html", view); err != nil {
		return "", "", err
	}
	text = strings.TrimSpace(buf.String()) // a part with nothing in it is empty, so that it takes no room
	return text, fingerprint(text), nil
}

// fingerprint is short for a text: the same text, the same fingerprint.
func fingerprint(text string) string {
	h := fnv.New64a()
	h.Write([]byte(text))
	return strconv.FormatUint(h.Sum64(), 16)
}

// stampAssets makes the stamp that asset addresses carry.
func (c *Console) stampAssets() error {
	h := fnv.New64a()
	err := fs.WalkDir(files, "assets", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(path)
		h.Write(text)
		return err
	})
	c.stamp = fmt.Sprintf("%x", h.Sum64())
	return err
}

// asset serves an embedded file. Its address carries the stamp, so browsers may keep it.
func (c *Console) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if strings.HasSuffix(name, ".LICENSE") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	if r.URL.Query().Get("v") == c.stamp {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		w.Header().Set("Cache-Control", "no-cache")
	}
	http.ServeFileFS(w, r, files, "assets/"+name)
}

// loginView is the login page.
type loginView struct {
	Failed bool
	Next   string
}

func (loginView) title() string { return "Log in" }

func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	next := r.URL.Query().Get("next")
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") {
		next = "/"
	}
	v := loginView{r.URL.Query().Get("failed") != "", next}
	code := http.StatusOK
	if v.Failed {
		code = http.StatusUnauthorized
	}
	c.write(w, r, code, "page_login.html", layout{Title: v.title(), Stamp: c.stamp, Page: v})
}
