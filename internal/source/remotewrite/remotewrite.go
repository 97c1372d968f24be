// Package remotewrite takes what Prometheus, and whatever speaks its protocol, sends: remote write 1.0 and 2.0.
//
// A request is answered with success only when the stream has its samples. What can't be used is set aside and counted by
// reason; of 2.0 the sender is told by status 400 and the counts of what was written, as the specification says, of 1.0
// only when nothing could be used. Stale markers keep their bits; native histograms travel as 1.0's own encoding;
// exemplars are counted and left.
//
// client_golang's handler speaks the protocol (content types, headers, status); this package decodes, since the generated
// decoder makes every label of every sample anew: see BenchmarkDecode.
//
// Source: "Prometheus Remote-Write Specification" 1.0 and 2.0-rc.4.
package remotewrite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"

	"homeostat/internal/signal"
	"homeostat/internal/source"
)

// Config says what is taken. The zero value works.
type Config struct {
	source.Limits `yaml:",inline"`
	Off           bool `yaml:"off"` // answer 404
}

// Receiver is the http.Handler of remote write. Make it with [Handler].
type Receiver struct {
	sink   source.Sink
	off    bool
	log    *slog.Logger
	meter  *source.Meter
	intake *source.Intake
	known  source.MetaCache
	dict   source.Dictionary
	pool   sync.Pool // of *decoder
	next   http.Handler
}

// Handler returns the handler for POST /api/v1/write. A nil log discards, a nil reg counts for nobody.
func Handler(sink source.Sink, c Config, log *slog.Logger, reg prometheus.Registerer) *Receiver {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Receiver{sink: sink, off: c.Off, log: log, meter: source.NewMeter(reg, "remotewrite"), intake: source.NewIntake(c.Limits)}
	h.pool.New = func() any { return &decoder{g: source.NewGather(&h.dict), known: &h.known} }
	h.next = remoteapi.NewWriteHandler(storer{h}, remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType},
		remoteapi.WithWriteHandlerMiddlewares(h.decompress))
	return h
}

// Health says how the source is doing.
func (h *Receiver) Health() signal.Stage { return h.meter.Stage() }

// ServeHTTP answers one request.
func (h *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.off {
		http.NotFound(w, r)
		return
	}
	// The library takes parameters only without spaces and in lower case, and would read the rest as version 1.0.
	if ct := r.Header.Get("Content-Type"); ct != "" {
		media, params, err := mime.ParseMediaType(ct)
		if err != nil {
			h.meter.Failed("content_type")
			http.Error(w, fmt.Sprintf("content type %q: %v", ct, err), http.StatusUnsupportedMediaType)
			return
		}
		if proto, ok := params["proto"]; ok {
			media += ";proto=" + proto
		}
		r.Header.Set("Content-Type", media)
	}
	h.next.ServeHTTP(w, r)
}

// body hands the decompressed bytes to Store, which may use them until its request is answered.
type body struct {
	bytes.Reader
	decoded []byte
}

func (*body) Close() error { return nil }

// decompress reads the body within its limits and decompresses it. Content type and method are looked at before.
func (h *Receiver) decompress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "remote write is a POST", http.StatusMethodNotAllowed)
			return
		}
		if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "snappy") {
			h.meter.Failed("encoding")
			http.Error(w, fmt.Sprintf("content encoding %q: only snappy is taken", enc), http.StatusUnsupportedMediaType)
			return
		}
		b, decoded, err := h.read(w, r)
		defer b.Release()
		switch {
		case errors.Is(err, source.ErrTooLarge):
			h.meter.Failed("too_large")
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		case errors.Is(err, source.ErrBusy):
			h.meter.Failed("busy")
			source.Busy(w.Header())
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		case err != nil:
			h.meter.Failed("malformed")
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		in := &body{decoded: decoded}
		in.Reset(decoded)
		r.Body = in
		next.ServeHTTP(w, r)
	})
}

// read returns the body as it came, which must be released, and decompressed.
func (h *Receiver) read(w http.ResponseWriter, r *http.Request) (*source.Body, []byte, error) {
	b, err := h.intake.Read(w, r)
	if err != nil {
		return b, nil, err
	}
	n, err := snappy.DecodedLen(b.Bytes)
	if err != nil {
		return b, nil, fmt.Errorf("the body is not snappy: %w", err)
	}
	buf, err := b.Decoded(r.Context(), int64(n))
	if err != nil {
		return b, nil, err
	}
	decoded, err := snappy.Decode(buf, b.Bytes)
	if err != nil {
		return b, nil, fmt.Errorf("the body is not snappy: %w", err)
	}
	return b, decoded, nil
}

// storer is what the library calls with each request; it keeps Store out of Receiver's own methods.
type storer struct{ *Receiver }

// Store takes one decompressed request.
func (h storer) Store(r *http.Request, msg remoteapi.WriteMessageType) (*remoteapi.WriteResponse, error) {
	resp := remoteapi.NewWriteResponse()
	in, ok := r.Body.(*body)
	if !ok {
		return resp, errors.New("the body was not decompressed")
	}
	d := h.pool.Get().(*decoder)
	defer func() {
		d.reset()
		h.pool.Put(d)
	}()
	d.latest = time.Now().Add(source.MaxAhead).UnixMilli()
	decode := d.v1
	if msg == remoteapi.WriteV2MessageType {
		decode = d.v2
	}
	if err := decode(in.decoded); err != nil {
		h.meter.Failed("malformed")
		resp.SetStatusCode(http.StatusBadRequest)
		return resp, fmt.Errorf("the body is not a %s: %w", msg, err)
	}
	b := &d.g.Batch
	if b.Len() > 0 || len(b.Meta) > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), source.AppendPatience)
		defer cancel()
		if err := h.sink.Append(ctx, b); err != nil {
			h.refused(r, err)
			resp.SetStatusCode(http.StatusServiceUnavailable)
			hd := http.Header{}
			source.Busy(hd)
			resp.SetExtraHeader("Retry-After", hd.Get("Retry-After"))
			return resp, fmt.Errorf("the stream takes nothing at present: %w", err)
		}
		h.known.Told(b.Meta)
	}
	h.meter.Took(b.Len())
	resp.Add(remoteapi.WriteResponseStats{Samples: len(b.Series), Histograms: len(b.Histograms)})
	aside := 0
	for _, a := range d.aside {
		h.meter.SetAside(a.reason, a.samples)
		aside += a.samples + a.series
	}
	h.meter.Ignored(source.Exemplar, d.exemplars)
	if aside > 0 && (msg == remoteapi.WriteV2MessageType || b.Len() == 0) {
		resp.SetStatusCode(http.StatusBadRequest)
		return resp, d.complaint()
	}
	return resp, nil
}

// refused counts and tells that the stream refused a batch; the sender is asked to try again.
func (h *Receiver) refused(r *http.Request, err error) {
	if r.Context().Err() != nil {
		h.meter.Failed("gone") // the sender has gone away
		return
	}
	h.meter.Failed("append")
	if h.meter.Stuck("the stream takes nothing: " + err.Error()) {
		h.log.ErrorContext(r.Context(), "the stream takes nothing; senders are asked to try again", "source", "remotewrite", "err", err)
	}
}

var _ io.ReadCloser = (*body)(nil)
