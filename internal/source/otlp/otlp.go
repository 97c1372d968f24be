// Package otlp takes metrics by the OpenTelemetry protocol over HTTP, in protobuf and in JSON.
//
// Prometheus' own translation makes series of them: names with units and _total, target_info, job and instance; exponential
// histograms become native ones. The resource attributes that say whom a series belongs to (host.name, host.id,
// service.name, service.namespace) become labels, so that entities come out right. Delta temporality is set aside, as it is
// by Prometheus: a sender adds up itself or through a collector.
//
// What can't be used is counted by reason and told as a partial success; the rest is in the stream when the answer goes out.
//
// Source: "OpenTelemetry Protocol Specification" 1.8, OTLP/HTTP.
package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/config"
	translate "github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"homeostat/internal/signal"
	"homeostat/internal/source"
)

// Config says what is taken. The zero value works.
type Config struct {
	source.Limits `yaml:",inline"`
	Promote       []string `yaml:"promote"` // resource attributes that become labels besides host.name, host.id, service.name and service.namespace
	Off           bool     `yaml:"off"`     // answer 404
}

// entityAttributes are the resource attributes that say whom a series belongs to.
var entityAttributes = []string{"host.name", "host.id", "service.name", "service.namespace"}

// Receiver is the http.Handler of OTLP metrics. Make it with [Handler].
type Receiver struct {
	sink     source.Sink
	off      bool
	log      *slog.Logger
	meter    *source.Meter
	intake   *source.Intake
	known    source.MetaCache
	dict     source.Dictionary
	pool     sync.Pool // of *appender
	settings translate.Settings
}

// Handler returns the handler for POST /v1/metrics. A nil log discards, a nil reg counts for nobody.
func Handler(sink source.Sink, c Config, log *slog.Logger, reg prometheus.Registerer) *Receiver {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Receiver{sink: sink, off: c.Off, log: log, meter: source.NewMeter(reg, "otlp"), intake: source.NewIntake(c.Limits)}
	h.settings = translate.Settings{
		AddMetricSuffixes: true,
		PromoteResourceAttributes: translate.NewPromoteResourceAttributes(config.OTLPConfig{
			PromoteResourceAttributes: append(append([]string{}, entityAttributes...), c.Promote...),
		}),
		LabelNameUnderscoreSanitization:      true,
		LabelNamePreserveMultipleUnderscores: true,
	}
	h.pool.New = func() any { return &appender{g: source.NewGather(&h.dict), known: &h.known} }
	return h
}

// Health says how the source is doing.
func (h *Receiver) Health() signal.Stage { return h.meter.Stage() }

// encoding is how a request and its answer are written.
type encoding struct {
	media     string
	unmarshal func(pmetricotlp.ExportRequest, []byte) error
	marshal   func(pmetricotlp.ExportResponse) ([]byte, error)
	status    func(proto.Message) ([]byte, error)
}

// encodings are the two of OTLP/HTTP.
var encodings = map[string]encoding{
	"application/x-protobuf": {"application/x-protobuf", pmetricotlp.ExportRequest.UnmarshalProto, pmetricotlp.ExportResponse.MarshalProto, proto.Marshal},
	"application/json":       {"application/json", pmetricotlp.ExportRequest.UnmarshalJSON, pmetricotlp.ExportResponse.MarshalJSON, protojson.Marshal},
}

// ServeHTTP answers one request.
func (h *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.off {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "OTLP metrics are sent by POST", http.StatusMethodNotAllowed)
		return
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	enc, ok := encodings[media]
	if !ok {
		h.meter.Failed("content_type")
		http.Error(w, fmt.Sprintf("content type %q: want application/x-protobuf or application/json", r.Header.Get("Content-Type")), http.StatusUnsupportedMediaType)
		return
	}
	b, raw, err := h.read(w, r)
	defer b.Release()
	switch {
	case errors.Is(err, source.ErrTooLarge):
		h.refuse(w, enc, http.StatusRequestEntityTooLarge, codes.ResourceExhausted, "too_large", err)
		return
	case errors.Is(err, source.ErrBusy):
		h.refuse(w, enc, http.StatusServiceUnavailable, codes.Unavailable, "busy", err)
		return
	case errors.Is(err, errEncoding):
		h.refuse(w, enc, http.StatusUnsupportedMediaType, codes.InvalidArgument, "encoding", err)
		return
	case err != nil:
		h.refuse(w, enc, http.StatusBadRequest, codes.InvalidArgument, "malformed", err)
		return
	}
	req := pmetricotlp.NewExportRequest()
	if err := unmarshal(enc, req, raw); err != nil {
		h.refuse(w, enc, http.StatusBadRequest, codes.InvalidArgument, "malformed", fmt.Errorf("the body is not OTLP metrics: %w", err))
		return
	}
	h.take(w, r, enc, req)
}

// unmarshal reads a request. The decoder is not ours: what it can't take must not end the process.
func unmarshal(enc encoding, req pmetricotlp.ExportRequest, raw []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return enc.unmarshal(req, raw)
}

// errEncoding means a Content-Encoding that isn't taken: 415.
var errEncoding = errors.New("content encoding: want gzip or none")

// read returns the body as it came, which must be released, and decompressed.
func (h *Receiver) read(w http.ResponseWriter, r *http.Request) (*source.Body, []byte, error) {
	enc := strings.ToLower(r.Header.Get("Content-Encoding"))
	if enc != "" && enc != "identity" && enc != "gzip" {
		return nil, nil, fmt.Errorf("%w: %q", errEncoding, enc)
	}
	b, err := h.intake.Read(w, r)
	if err != nil || enc != "gzip" {
		if err != nil {
			return nil, nil, err
		}
		return b, b.Bytes, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(b.Bytes))
	if err != nil {
		return b, nil, fmt.Errorf("the body is not gzip: %w", err)
	}
	raw, err := b.DecodeFrom(r.Context(), z)
	if err != nil && !errors.Is(err, source.ErrTooLarge) && !errors.Is(err, source.ErrBusy) {
		err = fmt.Errorf("the body is not gzip: %w", err)
	}
	return b, raw, err
}

// take translates a request, hands it to the stream, and answers.
func (h *Receiver) take(w http.ResponseWriter, r *http.Request, enc encoding, req pmetricotlp.ExportRequest) {
	a := h.pool.Get().(*appender)
	defer func() {
		a.reset()
		h.pool.Put(a)
	}()
	a.latest = time.Now().Add(source.MaxAhead).UnixMilli()
	if err := a.translate(r.Context(), req.Metrics(), h.settings); err != nil {
		h.refuse(w, enc, http.StatusServiceUnavailable, codes.Unavailable, "gone", err)
		return
	}
	b := &a.g.Batch
	if b.Len() > 0 || len(b.Meta) > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), source.AppendPatience)
		defer cancel()
		if err := h.sink.Append(ctx, b); err != nil {
			kind := "append"
			if r.Context().Err() != nil {
				kind = "gone" // the sender has gone away
			} else if h.meter.Stuck("the stream takes nothing: " + err.Error()) {
				h.log.ErrorContext(r.Context(), "the stream takes nothing; senders are asked to try again", "source", "otlp", "err", err)
			}
			h.refuse(w, enc, http.StatusServiceUnavailable, codes.Unavailable, kind, fmt.Errorf("the stream takes nothing at present: %w", err))
			return
		}
		h.known.Told(b.Meta)
	}
	h.meter.Took(b.Len())
	for reason, n := range a.aside {
		h.meter.SetAside(reason, n)
	}
	h.meter.Ignored(source.Exemplar, a.exemplars)
	resp := pmetricotlp.NewExportResponse()
	if rejected := a.rejected(); rejected > 0 {
		resp.PartialSuccess().SetRejectedDataPoints(int64(rejected))
		resp.PartialSuccess().SetErrorMessage(a.complaint())
	}
	text, err := enc.marshal(resp)
	if err != nil {
		h.refuse(w, enc, http.StatusInternalServerError, codes.Internal, "answer", err)
		return
	}
	w.Header().Set("Content-Type", enc.media)
	_, _ = w.Write(text)
}

// refuse answers with a status, as OTLP writes one, and counts it. A request that was not taken for want of room is to be
// sent again.
func (h *Receiver) refuse(w http.ResponseWriter, enc encoding, status int, code codes.Code, kind string, err error) {
	h.meter.Failed(kind)
	if status == http.StatusServiceUnavailable {
		source.Busy(w.Header())
	}
	text, merr := enc.status(&spb.Status{Code: int32(code), Message: strings.ToValidUTF8(err.Error(), "\uFFFD")})
	if merr != nil {
		http.Error(w, err.Error(), status)
		return
	}
	w.Header().Set("Content-Type", enc.media)
	w.WriteHeader(status)
	_, _ = w.Write(text)
}
