package sagemaker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Algorithm is one way to train and serve.
type Algorithm struct {
	// Name is what --algorithm and a model's manifest say: rcf.
	Name string
	// Parameter is the hyperparameter that only this algorithm has, by which a job without --algorithm is known.
	Parameter string
	// Train learns from j's channels and writes files below j.ModelDir. When ctx ends it returns soon, context.Cause(ctx)
	// included in its error; what it has written by then is kept as a model if it returns a [*StoppedError].
	Train func(ctx context.Context, j *Job) error
	// Load reads what Train wrote.
	Load func(model fs.FS) (Predictor, error)
}

// Predictor answers requests from a trained model. Safe for concurrent use.
type Predictor interface {
	// Formats says which types of content it reads and writes.
	Formats() Formats
	// Predict answers r, whose type is one that Formats names. A mistake of the request wraps a [*BodyError].
	Predict(ctx context.Context, r *Request) (Answer, error)
}

// Formats are media types without parameters.
type Formats struct {
	Reads  []string // of requests
	Writes []string // of answers, the one for who doesn't care first
	Batch  string   // what suits Batch Transform: MULTI_RECORD (when empty) or SINGLE_RECORD
}

// Request is the body of one invocation.
type Request struct {
	Type   MediaType // of Body
	Accept MediaType // of the answer; with no name where the client doesn't care
	Body   []byte
	Batch  bool // this process serves Batch Transform
}

// Answer is the body of what an invocation gives back.
type Answer struct {
	Type string // media type
	Body []byte
}

// BodyError is a mistake in a request or in training data, with its place: "line 3, column 2: ...".
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *BodyError) Unwrap() error { return e.Err }

// BadBody makes a [*BodyError] as fmt.Errorf would.
func BadBody(format string, args ...any) error { return &BodyError{fmt.Errorf(format, args...)} }

// StoppedError says that training was told to stop, and that the model holds what was learnt until then.
type StoppedError struct{ Cause error }

func (e *StoppedError) Error() string {
	return "stopped; the model holds what was learnt until then: " + e.Cause.Error()
}

// Unwrap returns why it was stopped.
func (e *StoppedError) Unwrap() error { return e.Cause }

// ConfigError is a mistake in what a job or a model folder says of itself.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *ConfigError) Unwrap() error { return e.Err }

func badConfig(format string, args ...any) error { return &ConfigError{fmt.Errorf(format, args...)} }

// manifestName is the file of a model folder that says which algorithm wrote it. It is the same on every host of a job, as
// SageMaker lays their folders over one another.
const manifestName = "homeostat-model.json"

type manifest struct {
	Algorithm string `json:"algorithm"`
	Format    int    `json:"format"` // of the folder: 1
}

// choose returns the algorithm of that name; without a name the one whose parameter is among the hyperparameters.
func choose(algs []Algorithm, name string, has Hyperparameters) (Algorithm, error) {
	if name != "" {
		i := slices.IndexFunc(algs, func(a Algorithm) bool { return a.Name == name })
		if i < 0 {
			return Algorithm{}, badConfig("no algorithm %q; there is %s", name, list(algs, func(a Algorithm) string { return a.Name }))
		}
		return algs[i], nil
	}
	var found []Algorithm
	for _, a := range algs {
		if _, ok := has[a.Parameter]; ok {
			found = append(found, a)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Algorithm{}, badConfig("the hyperparameters don't tell which algorithm is meant: want one of %s, or --algorithm",
			list(algs, func(a Algorithm) string { return a.Parameter + " (" + a.Name + ")" }))
	}
	return Algorithm{}, badConfig("the hyperparameters are those of several algorithms (%s): say which with --algorithm",
		list(found, func(a Algorithm) string { return a.Name }))
}

func list(algs []Algorithm, text func(Algorithm) string) string {
	var out []string
	for _, a := range algs {
		out = append(out, text(a))
	}
	return strings.Join(out, ", ")
}

// Load reads the model in a folder with the algorithm that its manifest names, or with the one of that name. It returns the
// algorithm's name too.
func Load(model fs.FS, algs []Algorithm, name string) (Predictor, string, error) {
	if name == "" {
		b, err := fs.ReadFile(model, manifestName)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, "", badConfig("no %s in the model folder: its training has not ended, or something else wrote it (then say --algorithm)", manifestName)
		}
		if err != nil {
			return nil, "", err
		}
		var m manifest
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, "", badConfig("%s: %w", manifestName, err)
		}
		if m.Format != 1 {
			return nil, "", badConfig("%s: format %d, where this is 1", manifestName, m.Format)
		}
		name = m.Algorithm
	}
	a, err := choose(algs, name, nil)
	if err != nil {
		return nil, "", err
	}
	p, err := a.Load(model)
	if err != nil {
		return nil, "", fmt.Errorf("model of %s: %w", a.Name, err)
	}
	return p, a.Name, nil
}
