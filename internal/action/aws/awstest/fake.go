package awstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Fake answers for one service of AWS that no emulator does, in the JSON protocols. It holds each request to the service's
// published model, and each answer too, so that neither the code nor its test can make up an API.
type Fake struct {
	URL string

	tb      testing.TB
	model   *Model
	answers map[string]any

	mu    sync.Mutex
	calls []Call
}

// Call is one request that a fake has taken: the operation, and its members whatever place they came in.
type Call struct {
	Operation string
	Input     map[string]any
}

// Serve starts a fake of a service, named as boto3 does, with the answer of each operation that it knows.
func Serve(tb testing.TB, service string, answers map[string]any) *Fake {
	tb.Helper()
	f := &Fake{tb: tb, model: LoadModel(tb, service), answers: answers}
	for name, answer := range answers {
		api, ok := f.model.Operations[name]
		if !ok {
			tb.Fatalf("%s has no operation %s", service, name)
		}
		if api.Output == nil {
			continue
		}
		if err := f.model.Check(api.Output.Shape, answer, "answer of "+name); err != nil {
			tb.Fatal(err)
		}
	}
	s := httptest.NewServer(f)
	tb.Cleanup(s.Close)
	f.URL = s.URL
	return f
}

// Calls are the requests so far.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, in, err := f.read(r)
	if err == nil && f.model.Operations[name].Input != nil {
		err = f.model.Check(f.model.Operations[name].Input.Shape, in, name)
	}
	answer, ok := f.answers[name]
	if err == nil && !ok {
		err = fmt.Errorf("%s was not to be called", name)
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		f.tb.Error(err)
		w.Header().Set("X-Amzn-Errortype", "ValidationException")
		w.WriteHeader(http.StatusBadRequest)
		answer = map[string]any{"message": err.Error()}
	} else {
		f.mu.Lock()
		f.calls = append(f.calls, Call{name, in})
		f.mu.Unlock()
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		f.tb.Error(err)
	}
}

// read finds the operation that a request is for, and its members.
func (f *Fake) read(r *http.Request) (string, map[string]any, error) {
	in := map[string]any{}
	if r.ContentLength != 0 {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return "", nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, err)
		}
	}
	if f.model.Metadata.Protocol != "rest-json" {
		_, name, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		if _, ok := f.model.Operations[name]; !ok {
			return "", nil, fmt.Errorf("%q is no operation", r.Header.Get("X-Amz-Target"))
		}
		return name, in, nil
	}
	for name, api := range f.model.Operations {
		if path, _, _ := strings.Cut(api.HTTP.URI, "?"); api.HTTP.Method != r.Method || path != r.URL.Path {
			continue
		}
		if api.Input != nil {
			for member, ref := range f.model.Shapes[api.Input.Shape].Members {
				if ref.Location == "querystring" && r.URL.Query().Has(ref.Name) {
					in[member] = r.URL.Query().Get(ref.Name)
				}
			}
		}
		return name, in, nil
	}
	return "", nil, fmt.Errorf("no operation is called by %s %s", r.Method, r.URL.Path)
}
