package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// policy is the content security policy of every page: what we serve ourselves and nothing else; no inline script.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// headed sets the security headers of every answer.
func (s *Server) headed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store") // assets set their own
		next.ServeHTTP(w, r)
	})
}

// recovered turns a panic into a 500, a log line and a count; the loop goes on.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &counted{ResponseWriter: w}
		s.metrics.requests.Inc()
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				s.metrics.panics.Inc()
				s.log.ErrorContext(r.Context(), "request panicked", "source", "api", "err", fmt.Sprint(v), "stack", string(debug.Stack()))
				if c.status == 0 {
					problem(c, http.StatusInternalServerError, "Something broke inside. It has been counted and logged.")
				}
			}
			if c.status >= 500 && c.status != http.StatusNotImplemented && c.status != http.StatusServiceUnavailable {
				s.metrics.failed.Inc()
			}
		}()
		next.ServeHTTP(c, r)
	})
}

// counted remembers the status. It unwraps, so that streams can still flush and set deadlines.
type counted struct {
	http.ResponseWriter
	status int
}

func (c *counted) WriteHeader(code int) {
	if c.status == 0 {
		c.status = code
	}
	c.ResponseWriter.WriteHeader(code)
}

func (c *counted) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	return c.ResponseWriter.Write(p)
}

func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// Flush is there for handlers that ask for http.Flusher outright.
func (c *counted) Flush() { _ = http.NewResponseController(c.ResponseWriter).Flush() }

// problem answers with an RFC 9457 problem, as the described operations do.
func problem(w http.ResponseWriter, code int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(code), "status": code, "detail": detail})
}

// bounded refuses bodies above maxBytes with 413: at once where the length is announced, else as it is read.
func bounded(maxBytes int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxBytes {
			tooLarge(w, maxBytes)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBytes)
		next.ServeHTTP(w, r)
	})
}

func tooLarge(w http.ResponseWriter, maxBytes int64) {
	problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is larger than %d bytes.", maxBytes))
}

// isTooLarge reports whether a read ended because the body was over its limit.
func isTooLarge(err error) bool {
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok
}

// metrics are the server's own.
type metrics struct {
	requests, failed, panics prometheus.Counter
	denied                   *prometheus.CounterVec // by host, origin, remote, token, role
}

func newMetrics(reg prometheus.Registerer) *metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	m := &metrics{
		requests: counter("homeostat_api_requests_total", "HTTP requests."),
		failed:   counter("homeostat_api_requests_failed_total", "HTTP requests that ended with a server error."),
		panics:   counter("homeostat_api_panics_total", "HTTP requests that panicked."),
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeostat_api_denied_total", Help: "HTTP requests turned away, by what was wrong: host, origin, remote, token, role.",
		}, []string{"reason"}),
	}
	reg.MustRegister(m.denied)
	return m
}
