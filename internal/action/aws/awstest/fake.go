package awstest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Fake answers for one service of AWS that no emulator does, in the service's own protocol: AWS' JSON and REST with JSON, Smithy
// RPC v2 with CBOR, forms and XML as the query protocol and EC2 have them. It holds each request to the service's published
// model, and each answer too, so that neither the code nor its test can make up an API.
type Fake struct {
	URL     string
	Lenient bool // a request that isn't valid gets an error, and fails no test

	tb      testing.TB
	model   *Model
	answers map[string]any

	mu    sync.Mutex
	calls []Call
}

// Call is one request that a fake has taken: the operation, and its members whatever place they came in. Times are texts (RFC
// 3339), bytes are texts, numbers are float64.
type Call struct {
	Operation string
	Input     map[string]any
}

// Serve starts a fake of a service, named as boto3 does, with the answer of each operation that it knows.
func Serve(tb testing.TB, service string, answers map[string]any) *Fake {
	tb.Helper()
	f := newFake(tb, service, answers)
	s := httptest.NewServer(f)
	tb.Cleanup(s.Close)
	f.URL = s.URL
	return f
}

// ServeAll starts fakes of several services behind one address, each with the answers of the operations that it knows. Which
// service a request is for is told by its signature.
func ServeAll(tb testing.TB, services map[string]map[string]any) (url string, fakes map[string]*Fake) {
	tb.Helper()
	fakes, signed := map[string]*Fake{}, map[string]*Fake{}
	for service, answers := range services {
		f := newFake(tb, service, answers)
		fakes[service], signed[f.model.signingName()] = f, f
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope := strings.Split(r.Header.Get("Authorization"), "/") // Credential=ID/date/region/service/aws4_request
		if f := signed[scope[min(3, len(scope)-1)]]; f != nil {
			f.ServeHTTP(w, r)
			return
		}
		tb.Errorf("no service is called by %s %s (%s)", r.Method, r.URL, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusBadRequest)
	}))
	tb.Cleanup(s.Close)
	for _, f := range fakes {
		f.URL = s.URL
	}
	return s.URL, fakes
}

func newFake(tb testing.TB, service string, answers map[string]any) *Fake {
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
	answer, ok := f.answers[name]
	switch {
	case err != nil:
		f.tb.Error(err)
	case !ok:
		err = fmt.Errorf("%s was not to be called", name)
		f.tb.Error(err)
	case f.model.Operations[name].Input != nil:
		if err = f.model.Check(f.model.Operations[name].Input.Shape, in, name); err != nil && !f.Lenient {
			f.tb.Error(err)
		}
	}
	if err != nil {
		f.refuse(w, err)
		return
	}
	f.mu.Lock()
	f.calls = append(f.calls, Call{name, in})
	f.mu.Unlock()
	if err := f.answer(w, name, answer); err != nil {
		f.tb.Error(err)
	}
}
