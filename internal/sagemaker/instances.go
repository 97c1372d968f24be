package sagemaker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Instance is the features of one element of a JSON request: {"features": [...]} or {"data": {"features": {"values": [...]}}},
// the latter with keys and shape where it is sparse.
type Instance struct {
	Place  string // in the request: "instance 3", "line 3"
	Values json.RawMessage
	Keys   []uint64
	Shape  []uint64
}

type instanceJSON struct {
	Features json.RawMessage `json:"features"`
	Data     *struct {
		Features struct {
			Values json.RawMessage `json:"values"`
			Keys   []uint64        `json:"keys"`
			Shape  []uint64        `json:"shape"`
		} `json:"features"`
	} `json:"data"`
}

func (in *instanceJSON) instance(place string) (Instance, error) {
	out := Instance{Place: place, Values: in.Features}
	if in.Data != nil {
		if in.Features != nil {
			return out, BadBody("%s: both features and data", place)
		}
		f := &in.Data.Features
		out.Values, out.Keys, out.Shape = f.Values, f.Keys, f.Shape
	}
	if len(out.Values) == 0 || out.Values[0] != '[' {
		return out, BadBody(`%s: want {"features": [...]} or {"data": {"features": {"values": [...]}}}`, place)
	}
	return out, nil
}

// Instances reads a request of type JSON, {"instances": [...]}, or JSONLines, one instance a line.
func Instances(mediaType string, body []byte) ([]Instance, error) {
	if mediaType == JSONLines {
		return instanceLines(body)
	}
	var doc struct {
		Instances []instanceJSON `json:"instances"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		line, column := jsonPlace(body, err)
		return nil, BadBody("line %d, column %d: %w", line, column, err)
	}
	if doc.Instances == nil {
		return nil, BadBody(`no instances: want {"instances": [...]}`)
	}
	out := make([]Instance, 0, len(doc.Instances))
	for i := range doc.Instances {
		in, err := doc.Instances[i].instance(fmt.Sprintf("instance %d", i+1))
		if err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, nil
}

func instanceLines(body []byte) ([]Instance, error) {
	var out []Instance
	line := 0
	for text := range bytes.Lines(body) {
		line++
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		var one instanceJSON
		if err := json.Unmarshal(text, &one); err != nil {
			_, column := jsonPlace(text, err)
			return nil, BadBody("line %d, column %d: %w", line, column, err)
		}
		in, err := one.instance(fmt.Sprintf("line %d", line))
		if err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, nil
}

// jsonPlace returns where in b an error of encoding/json lies.
func jsonPlace(b []byte, err error) (line, column int) {
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return place(b, te.Offset)
	}
	if se, ok := errors.AsType[*json.SyntaxError](err); ok {
		return place(b, se.Offset)
	}
	return 1, 1
}

// Tensor returns the instance's features as numbers.
func (in *Instance) Tensor() (Tensor, error) {
	t := Tensor{Keys: in.Keys, Shape: in.Shape}
	list := bytes.TrimSpace(in.Values[1 : len(in.Values)-1]) // of valid JSON: what lies between the brackets
	for n := 1; len(list) > 0; n++ {
		item, rest, _ := bytes.Cut(list, []byte(","))
		item = bytes.TrimSpace(item)
		v, err := strconv.ParseFloat(string(item), 64)
		if err != nil || item[0] != '-' && (item[0] < '0' || item[0] > '9') {
			return t, BadBody("%s: feature %d: %.40q is not a number", in.Place, n, item)
		}
		t.Values, list = append(t.Values, v), rest
	}
	return t, nil
}

// Strings returns the instance's features as texts.
func (in *Instance) Strings() ([]string, error) {
	var list []any
	if err := json.Unmarshal(in.Values, &list); err != nil {
		return nil, BadBody("%s: %w", in.Place, err)
	}
	out := make([]string, len(list))
	for i, v := range list {
		text, ok := v.(string)
		if !ok {
			return nil, BadBody("%s: feature %d is not a string", in.Place, i+1)
		}
		out[i] = text
	}
	return out, nil
}
