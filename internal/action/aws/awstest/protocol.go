package awstest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// read finds the operation that a request is for, and its members.
func (f *Fake) read(r *http.Request) (string, map[string]any, error) {
	body, err := io.ReadAll(r.Body)
	if err == nil && r.Header.Get("Content-Encoding") == "gzip" {
		var zip *gzip.Reader
		if zip, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(zip)
		}
	}
	if err != nil {
		return "", nil, err
	}
	name := ""
	var in any = map[string]any{}
	switch f.model.Metadata.Protocol {
	case "ec2", "query":
		return f.readForm(body)
	case "rest-json":
		return f.readREST(r, body)
	case "smithy-rpc-v2-cbor":
		_, name, _ = strings.Cut(r.URL.Path, "/operation/")
		v, err := cbor.Decode(body)
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", r.URL.Path, err)
		}
		in = fromCBOR(v)
	default:
		_, name, _ = strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		if err := json.Unmarshal(body, &in); err != nil {
			return "", nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	api, ok := f.model.Operations[name]
	if !ok {
		return "", nil, fmt.Errorf("%q is no operation", name)
	}
	if api.Input == nil {
		return name, map[string]any{}, nil
	}
	members, err := f.model.plain(api.Input.Shape, in, f.model.Metadata.Protocol == "smithy-rpc-v2-cbor")
	return name, members, err
}

// readREST takes members from the path, the query, the headers and the body.
func (f *Fake) readREST(r *http.Request, body []byte) (string, map[string]any, error) {
	name, inPath := f.route(r)
	api, ok := f.model.Operations[name]
	if !ok {
		return "", nil, fmt.Errorf("no operation is called by %s %s", r.Method, r.URL.Path)
	}
	in := map[string]any{}
	if api.Input == nil {
		return name, in, nil
	}
	shape := f.model.Shapes[api.Input.Shape]
	if len(body) > 0 && shape.Payload == "" {
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			return "", nil, fmt.Errorf("%s: %w", name, err)
		}
		var err error
		if in, err = f.model.plain(api.Input.Shape, v, false); err != nil {
			return "", nil, err
		}
	}
	for member, ref := range shape.Members {
		value, there := "", false
		switch ref.Location {
		case "uri":
			value, there = inPath[ref.Name]
		case "querystring":
			value, there = r.URL.Query().Get(ref.Name), r.URL.Query().Has(ref.Name)
		case "header":
			value = r.Header.Get(ref.Name)
			there = value != ""
		case "":
			if there = member == shape.Payload && len(body) > 0; there {
				value = string(body)
			}
		}
		if there {
			in[member] = f.model.typed(ref.Shape, value)
		}
	}
	return name, in, nil
}

var pathParameter = regexp.MustCompile(`\\\{([A-Za-z0-9]+)(\\\+)?\\\}`)

// route finds the operation of a path, the most literal one, and the parameters in the path.
func (f *Fake) route(r *http.Request) (name string, parameters map[string]string) {
	longest := 0
	for op, api := range f.model.Operations {
		path, _, _ := strings.Cut(api.HTTP.URI, "?")
		pattern := pathParameter.ReplaceAllStringFunc(regexp.QuoteMeta(path), func(p string) string {
			m := pathParameter.FindStringSubmatch(p)
			if m[2] != "" {
				return "(?P<" + m[1] + ">.+)"
			}
			return "(?P<" + m[1] + ">[^/]+)"
		})
		re := regexp.MustCompile("^" + pattern + "$")
		m := re.FindStringSubmatch(r.URL.EscapedPath())
		literal := len(pathParameter.ReplaceAllString(regexp.QuoteMeta(path), ""))
		if m != nil && api.HTTP.Method == r.Method && literal > longest {
			name, longest, parameters = op, literal, map[string]string{}
			for i, p := range re.SubexpNames() {
				if v, err := url.PathUnescape(m[i]); err == nil && p != "" {
					parameters[p] = v
				}
			}
		}
	}
	return name, parameters
}

// answer writes what an operation answers.
func (f *Fake) answer(w http.ResponseWriter, name string, answer any) error {
	api := f.model.Operations[name]
	switch f.model.Metadata.Protocol {
	case "ec2", "query":
		return f.answerXML(w, name, answer)
	case "smithy-rpc-v2-cbor":
		w.Header().Set("Content-Type", "application/cbor")
		w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
		var v cbor.Value = cbor.Map{}
		if api.Output != nil {
			v = f.model.toCBOR(api.Output.Shape, answer)
		}
		_, err := w.Write(cbor.Encode(v))
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	if api.Output == nil {
		return nil
	}
	shape, status := f.model.Shapes[api.Output.Shape], http.StatusOK
	members, _ := answer.(map[string]any)
	rest := map[string]any{}
	for member, v := range members {
		switch ref := shape.Members[member]; ref.Location {
		case "":
			rest[member] = v
		case "header":
			w.Header().Set(ref.Name, fmt.Sprint(v))
		case "statusCode":
			status = int(number(v))
		}
	}
	w.WriteHeader(status)
	if shape.Payload != "" {
		text, _ := rest[shape.Payload].(string)
		_, err := io.WriteString(w, text)
		return err
	}
	return json.NewEncoder(w).Encode(f.model.wire(api.Output.Shape, rest))
}

// refuse answers with an error of the client's.
func (f *Fake) refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", "ValidationException")
	w.WriteHeader(http.StatusBadRequest)
	if err := json.NewEncoder(w).Encode(map[string]any{"message": err.Error()}); err != nil {
		f.tb.Error(err)
	}
}

// each rebuilds a value by its shape: names of members by name, leaves by leaf.
func (m *Model) each(shape string, v any, name func(s Shape, member string) string, leaf func(s Shape, v any) any) any {
	s := m.Shapes[shape]
	switch v := v.(type) {
	case map[string]any:
		if s.Type != "structure" && s.Type != "map" || s.Document {
			return v
		}
		out := map[string]any{}
		for k, it := range v {
			switch {
			case s.Type == "map":
				out[k] = m.each(s.Value.Shape, it, name, leaf)
			case it != nil:
				member := name(s, k)
				ref, ok := s.Members[member]
				if !ok {
					ref, ok = s.Members[k]
				}
				if ok {
					it = m.each(ref.Shape, it, name, leaf)
				}
				out[member] = it
			}
		}
		return out
	case []any:
		if s.Member == nil {
			return v
		}
		out := make([]any, len(v))
		for i, it := range v {
			out[i] = m.each(s.Member.Shape, it, name, leaf)
		}
		return out
	}
	return leaf(s, v)
}

// plain makes of a request's body what the operation's members are. raw: bytes are bytes, not base64.
func (m *Model) plain(shape string, v any, raw bool) (map[string]any, error) {
	byName := func(s Shape, k string) string {
		for member, ref := range s.Members {
			if ref.Name == k && ref.Location == "" {
				return member
			}
		}
		return k
	}
	var bad error
	out := m.each(shape, v, byName, func(s Shape, v any) any {
		switch s.Type {
		case "timestamp":
			if n, ok := v.(float64); ok {
				return time.UnixMilli(int64(n * 1000)).UTC().Format(time.RFC3339Nano)
			}
		case "blob":
			if text, ok := v.(string); ok && !raw {
				b, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					bad = err
				}
				return string(b)
			}
		}
		return v
	})
	members, ok := out.(map[string]any)
	if !ok && bad == nil {
		bad = fmt.Errorf("want a map, not %T", out)
	}
	return members, bad
}

// wire makes of an answer's members what a body in JSON has.
func (m *Model) wire(shape string, v any) any {
	toName := func(s Shape, member string) string {
		if ref := s.Members[member]; ref.Name != "" {
			return ref.Name
		}
		return member
	}
	return m.each(shape, v, toName, func(s Shape, v any) any {
		text, ok := v.(string)
		switch {
		case ok && s.Type == "timestamp" && s.Timestamp != "iso8601":
			if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
				return float64(t.UnixMilli()) / 1000
			}
		case ok && s.Type == "blob":
			return base64.StdEncoding.EncodeToString([]byte(text))
		}
		return v
	})
}

// typed reads a text as a shape has it.
func (m *Model) typed(shape, text string) any {
	switch m.Shapes[shape].Type {
	case "integer", "long", "float", "double":
		var n float64
		if json.Unmarshal([]byte(text), &n) == nil {
			return n
		}
	case "boolean":
		return text == "true"
	case "list":
		return []any{m.typed(m.Shapes[shape].Member.Shape, text)}
	}
	return text
}

func fromCBOR(v cbor.Value) any {
	switch v := v.(type) {
	case cbor.Map:
		out := map[string]any{}
		for k, it := range v {
			out[k] = fromCBOR(it)
		}
		return out
	case cbor.List:
		out := make([]any, len(v))
		for i, it := range v {
			out[i] = fromCBOR(it)
		}
		return out
	case cbor.String:
		return string(v)
	case cbor.Slice:
		return string(v)
	case cbor.Bool:
		return bool(v)
	case *cbor.Tag:
		return fromCBOR(v.Value)
	}
	if n, err := cbor.AsFloat64(v); err == nil {
		return n
	}
	if n, err := cbor.AsInt64(v); err == nil {
		return float64(n)
	}
	return nil
}

func (m *Model) toCBOR(shape string, v any) cbor.Value {
	s := m.Shapes[shape]
	switch v := v.(type) {
	case map[string]any:
		out := cbor.Map{}
		for k, it := range v {
			inner := s.Members[k].Shape
			if s.Type == "map" {
				inner = s.Value.Shape
			}
			out[k] = m.toCBOR(inner, it)
		}
		return out
	case []any:
		out := cbor.List{}
		for _, it := range v {
			out = append(out, m.toCBOR(s.Member.Shape, it))
		}
		return out
	case bool:
		return cbor.Bool(v)
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil && s.Type == "timestamp" {
			return &cbor.Tag{ID: 1, Value: cbor.Float64(float64(t.UnixMilli()) / 1000)}
		}
		if s.Type == "blob" {
			return cbor.Slice(v)
		}
		return cbor.String(v)
	}
	if n := number(v); s.Type == "integer" || s.Type == "long" {
		if n < 0 {
			return cbor.NegInt(-n)
		}
		return cbor.Uint(n)
	}
	return cbor.Float64(number(v))
}

func number(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case int:
		return float64(v)
	case float64:
		return v
	}
	return 0
}
