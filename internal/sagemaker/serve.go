package sagemaker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Server answers a container's HTTP: /ping, /invocations and /execution-parameters; and POST /endpoints/NAME/invocations as the
// SageMaker Runtime API would for an endpoint of any name.
type Server struct {
	predictor Predictor
	formats   Formats
	batch     bool
	maxBody   int64
	timeout   time.Duration // of one invocation
	slots     chan struct{} // one for each invocation at work: more of them wait, their bodies unread
	log       *slog.Logger
	mux       *http.ServeMux
}

// SageMaker's own bounds.
const (
	invokeTimeout = 60 * time.Second
	batchTimeout  = time.Hour
	stopTimeout   = 25 * time.Second // it kills after 30
	maxInvocation = 25 << 20
	maxTransform  = 512 << 20 // where Batch Transform sets no limit
	payloadMB     = 6         // what Batch Transform is told to send at once
)

// NewServer serves p. getenv gives the environment that Batch Transform sets, such as SAGEMAKER_BATCH; nil means os.Getenv.
func NewServer(p Predictor, getenv func(string) string, log *slog.Logger) (*Server, error) {
	if getenv == nil {
		getenv = os.Getenv
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{predictor: p, formats: p.Formats(), maxBody: maxInvocation, timeout: invokeTimeout, log: log, mux: http.NewServeMux()}
	slots := runtime.GOMAXPROCS(0)
	if s.batch = strings.EqualFold(getenv("SAGEMAKER_BATCH"), "true"); s.batch {
		s.timeout = batchTimeout
		mb, err := number(getenv, "SAGEMAKER_MAX_PAYLOAD_IN_MB", payloadMB, 0, maxTransform>>20)
		if err != nil {
			return nil, err
		}
		if s.maxBody = int64(mb) << 20; mb == 0 {
			s.maxBody = maxTransform
		}
		// 0 leaves it to the algorithm.
		n, err := number(getenv, "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", slots, 0, 1000)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			slots = n
		}
	}
	s.slots = make(chan struct{}, slots)
	s.mux.HandleFunc("GET /ping", func(http.ResponseWriter, *http.Request) {})
	s.mux.HandleFunc("GET /execution-parameters", s.executionParameters)
	s.mux.HandleFunc("POST /invocations", s.invocations)
	s.mux.HandleFunc("POST /endpoints/{name}/invocations", s.endpoint)
	return s, nil
}

func number(getenv func(string) string, name string, def, least, most int) (int, error) {
	text := getenv(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, badConfig("%s=%s: want a whole number from %d to %d", name, text, least, most)
	}
	return n, nil
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Serve answers on l until ctx ends, and returns when what was being answered has been, or SageMaker would kill the process.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	hs := &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ReadTimeout: s.timeout, WriteTimeout: s.timeout + 10*time.Second,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		stopped <- hs.Shutdown(sctx)
	})
	err := hs.Serve(l)
	if stop() { // ctx goes on: it was Serve that failed
		return err
	}
	return <-stopped
}

func (s *Server) executionParameters(w http.ResponseWriter, _ *http.Request) {
	batch := s.formats.Batch
	if batch == "" {
		batch = "MULTI_RECORD"
	}
	b, err := json.Marshal(struct {
		MaxConcurrentTransforms int
		BatchStrategy           string
		MaxPayloadInMB          int
	}{cap(s.slots), batch, payloadMB})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, http.StatusOK, Answer{JSON, b})
}

func send(w http.ResponseWriter, status int, a Answer) {
	w.Header().Set("Content-Type", a.Type)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(status)
	_, _ = w.Write(a.Body) // the client has gone: nobody is left to tell
}

// statusError is an error with its HTTP status.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }

func refuse(status int, format string, args ...any) error {
	return &statusError{status, fmt.Errorf(format, args...)}
}

// invocations answers as a container does: the body of an error is its text.
func (s *Server) invocations(w http.ResponseWriter, r *http.Request) {
	a, err := s.invoke(w, r)
	if err != nil {
		status := s.status(r, err)
		send(w, status, Answer{"text/plain; charset=utf-8", []byte(err.Error() + "\n")})
		return
	}
	send(w, http.StatusOK, a)
}

// endpoint answers as SageMaker Runtime does with what the container behind it says: a ModelError when that is an error.
func (s *Server) endpoint(w http.ResponseWriter, r *http.Request) {
	a, err := s.invoke(w, r)
	if err == nil {
		w.Header().Set("X-Amzn-Invoked-Production-Variant", "AllTraffic")
		send(w, http.StatusOK, a)
		return
	}
	status := s.status(r, err)
	kind := "server"
	if status < 500 {
		kind = "client"
	}
	b, merr := json.Marshal(struct {
		Message            string
		OriginalMessage    string
		OriginalStatusCode int
		LogStreamArn       string
	}{
		fmt.Sprintf("Received %s error (%d) from primary with message %q.", kind, status, err.Error()),
		err.Error(), status, "arn:aws:logs:local:000000000000:log-group:/aws/sagemaker/Endpoints/" + r.PathValue("name"),
	})
	if merr != nil {
		http.Error(w, merr.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("X-Amzn-Errortype", "ModelError")
	send(w, http.StatusFailedDependency, Answer{JSON, b})
}

// status returns the status of an error of invoke, and logs what is not the client's mistake.
func (s *Server) status(r *http.Request, err error) int {
	if se, ok := errors.AsType[*statusError](err); ok {
		return se.status
	}
	if _, ok := errors.AsType[*BodyError](err); ok {
		return http.StatusBadRequest
	}
	s.log.ErrorContext(r.Context(), "invocation failed", "err", err)
	return http.StatusInternalServerError
}

func (s *Server) invoke(w http.ResponseWriter, r *http.Request) (Answer, error) {
	req := Request{Type: parseMedia(r.Header.Get("Content-Type")), Batch: s.batch}
	if !slices.Contains(s.formats.Reads, req.Type.Name) {
		return Answer{}, refuse(http.StatusUnsupportedMediaType, "content type %q is not supported; want one of %s",
			r.Header.Get("Content-Type"), strings.Join(s.formats.Reads, ", "))
	}
	var ok bool
	if req.Accept, ok = accept(r.Header.Values("Accept"), s.formats.Writes); !ok {
		return Answer{}, refuse(http.StatusNotAcceptable, "accept %q is not supported; want one of %s",
			strings.Join(r.Header.Values("Accept"), ","), strings.Join(s.formats.Writes, ", "))
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.timeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return Answer{}, refuse(http.StatusServiceUnavailable, "busy: nothing was free within %v", s.timeout)
	}
	var err error
	req.Body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, s.maxBody))
	if tooMuch, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return Answer{}, refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", tooMuch.Limit)
	}
	if err != nil {
		return Answer{}, refuse(http.StatusBadRequest, "body: %w", err)
	}
	a, err := s.predictor.Predict(ctx, &req)
	if err != nil && ctx.Err() != nil {
		return Answer{}, refuse(http.StatusServiceUnavailable, "no answer within %v", s.timeout)
	}
	return a, err
}
