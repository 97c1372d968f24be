package aws

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// names spells the members of one service's API. The SDK's fields are the API's members with a capital letter; the API itself
// begins those of some services with a small one (logGroupName), and a runbook uses the API's spelling.
type names struct {
	lower bool
	odd   []string // members of the other kind, as "Type.Field" of the SDK; all of a type as "Type."
	path  []string // members that stand in a URL's path: an empty one would make another call of it
}

// api is the API's spelling of a field of a type.
func (n names) api(t reflect.Type, field string) string {
	if n.lower != (slices.Contains(n.odd, t.Name()+"."+field) || slices.Contains(n.odd, t.Name()+".")) {
		return strings.ToLower(field[:1]) + field[1:]
	}
	return field
}

// decode fills the SDK's typed input with what a step gives. It is strict: a member that the API doesn't have, a value of the
// wrong kind and a number that doesn't fit are errors that name their place. A number or a truth that comes as text, as those
// from parameters of type String do, is read as what it says. The case of a member's first letter is free, as APIs aren't of
// one mind about it.
func (n names) decode(in map[string]any, to any) error {
	for _, member := range n.path {
		if v, ok := in[member]; ok && text(v) == "" {
			return fmt.Errorf("%s: it is empty", member)
		}
	}
	return n.fill(in, reflect.ValueOf(to).Elem(), "")
}

func (n names) fill(v any, to reflect.Value, at string) error {
	if v == nil {
		return nil
	}
	switch to.Interface().(type) {
	case time.Time:
		t, err := timeOf(v)
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		to.Set(reflect.ValueOf(t))
		return nil
	case []byte:
		text, ok := v.(string)
		if !ok {
			raw, err := json.Marshal(v) // a document that the API takes as bytes: Lambda's Payload
			if err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
			text = string(raw)
		}
		to.SetBytes([]byte(text))
		return nil
	}
	switch to.Kind() {
	case reflect.Pointer:
		p := reflect.New(to.Type().Elem())
		if err := n.fill(v, p.Elem(), at); err != nil {
			return err
		}
		to.Set(p)
		return nil
	case reflect.Struct:
		return n.fillStruct(v, to, at)
	case reflect.Slice:
		return n.fillSlice(v, to, at)
	case reflect.Map:
		return n.fillMap(v, to, at)
	case reflect.String:
		switch v := v.(type) {
		case string:
			to.SetString(v)
		case bool, int, int64, float64, json.Number:
			to.SetString(fmt.Sprint(v))
		case map[string]any, []any:
			raw, err := json.Marshal(v) // a policy or a template written out as a map
			if err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
			to.SetString(string(raw))
		default:
			return wrong(at, "a text", v)
		}
		return nil
	case reflect.Bool:
		b, err := strconv.ParseBool(strings.ToLower(fmt.Sprint(v)))
		if err != nil {
			return wrong(at, "true or false", v)
		}
		to.SetBool(b)
		return nil
	case reflect.Int32, reflect.Int64:
		return fillInt(v, to, at)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(fmt.Sprint(v), 64)
		if err != nil || to.OverflowFloat(f) {
			return wrong(at, "a number", v)
		}
		to.SetFloat(f)
		return nil
	}
	return fmt.Errorf("%s: a member of this kind (%s) can't be given here", at, to.Type())
}

func (n names) fillStruct(v any, to reflect.Value, at string) error {
	m, ok := v.(map[string]any)
	if !ok {
		return wrong(at, "a map", v)
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		where := strings.TrimPrefix(at+"."+name, ".")
		field := to.FieldByNameFunc(func(f string) bool {
			return f != "ResultMetadata" && f[1:] == name[min(1, len(name)):] && strings.EqualFold(f, name)
		})
		if name == "" || !field.IsValid() || !field.CanSet() {
			return fmt.Errorf("%s: the API has no such member%s", where, n.meant(name, to.Type()))
		}
		if err := n.fill(m[name], field, where); err != nil {
			return err
		}
	}
	return nil
}

// meant names the member that differs in case only.
func (n names) meant(name string, t reflect.Type) string {
	for f := range t.Fields() {
		if f.IsExported() && strings.EqualFold(f.Name, name) {
			return ", but " + n.api(t, f.Name)
		}
	}
	return ""
}

func (n names) fillSlice(v any, to reflect.Value, at string) error {
	l, ok := v.([]any)
	if texts, is := v.([]string); is {
		for _, s := range texts {
			l = append(l, s)
		}
		ok = true
	}
	if !ok {
		return wrong(at, "a list", v)
	}
	s := reflect.MakeSlice(to.Type(), len(l), len(l))
	for i, it := range l {
		if err := n.fill(it, s.Index(i), fmt.Sprintf("%s[%d]", at, i)); err != nil {
			return err
		}
	}
	to.Set(s)
	return nil
}

func (n names) fillMap(v any, to reflect.Value, at string) error {
	m, ok := v.(map[string]any)
	if !ok {
		return wrong(at, "a map", v)
	}
	out := reflect.MakeMapWithSize(to.Type(), len(m))
	for k, it := range m {
		e := reflect.New(to.Type().Elem()).Elem()
		// Some APIs have lists of texts where documents write one text: SendCommand's Parameters.
		if _, text := it.(string); text && e.Kind() == reflect.Slice && e.Type().Elem().Kind() == reflect.String {
			it = []any{it}
		}
		if err := n.fill(it, e, at+"."+k); err != nil {
			return err
		}
		out.SetMapIndex(reflect.ValueOf(k).Convert(to.Type().Key()), e)
	}
	to.Set(out)
	return nil
}

func fillInt(v any, to reflect.Value, at string) error {
	var i int64
	switch v := v.(type) {
	case int:
		i = int64(v)
	case int64:
		i = v
	case float64:
		if i = int64(v); float64(i) != v || math.Abs(v) > 1<<53 {
			return wrong(at, "a whole number", v)
		}
	default:
		var err error
		if i, err = strconv.ParseInt(fmt.Sprint(v), 10, 64); err != nil {
			return wrong(at, "a whole number", v)
		}
	}
	if to.OverflowInt(i) {
		return fmt.Errorf("%s: %d is too large", at, i)
	}
	to.SetInt(i)
	return nil
}

// timeOf reads a time as ISO 8601, with or without its zone (then UTC), or as seconds since 1970.
func timeOf(v any) (time.Time, error) {
	switch v := v.(type) {
	case string:
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
			if t, err := time.Parse(layout, v); err == nil {
				return t, nil
			}
		}
	case float64:
		return time.UnixMilli(int64(v * 1000)), nil
	case int64:
		return time.Unix(v, 0), nil
	}
	return time.Time{}, fmt.Errorf("a time such as 2026-01-02T15:04:05Z is wanted, not %v", v)
}

func wrong(at, want string, v any) error {
	text := fmt.Sprint(v)
	if len(text) > 60 {
		text = strings.ToValidUTF8(text[:60], "") + "..."
	}
	return fmt.Errorf("%s: want %s, not %s (%T)", at, want, text, v)
}

// encode makes of the SDK's typed output what the API answered: members by the API's names, times as ISO 8601, bytes as text
// (as base64 where they are none). What the answer didn't have is left out.
func (n names) encode(from any) map[string]any {
	out, _ := n.value(reflect.ValueOf(from)).(map[string]any)
	if out == nil {
		out = map[string]any{}
	}
	return out
}

func (n names) value(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		if v.Kind() == reflect.Interface {
			return n.union(v.Elem())
		}
		return n.value(v.Elem())
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			return t.UTC().Format(time.RFC3339Nano)
		}
		m := map[string]any{}
		for f, fv := range v.Fields() {
			if !f.IsExported() || f.Name == "ResultMetadata" {
				continue
			}
			if out := n.value(fv); out != nil && (out != "" || fv.Kind() == reflect.Pointer) {
				m[n.api(v.Type(), f.Name)] = out
			}
		}
		return m
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		if b, ok := v.Interface().([]byte); ok {
			if utf8.Valid(b) {
				return string(b)
			}
			return base64.StdEncoding.EncodeToString(b)
		}
		l := make([]any, v.Len())
		for i := range l {
			l[i] = n.value(v.Index(i))
		}
		return l
	case reflect.Map:
		if v.IsNil() {
			return nil
		}
		m := map[string]any{}
		for it := v.MapRange(); it.Next(); {
			m[it.Key().String()] = n.value(it.Value())
		}
		return m
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Float32, reflect.Float64:
		return v.Float()
	}
	return nil
}

// union makes the one member of a union, which the SDK has as a type of its own for each (UnionMemberName{Value}).
func (n names) union(v reflect.Value) any {
	t := reflect.Indirect(v).Type()
	_, member, ok := strings.Cut(t.Name(), "Member")
	if value := reflect.Indirect(v).FieldByName("Value"); ok && member != "" && value.IsValid() {
		return map[string]any{n.api(t, member): n.value(value)}
	}
	return nil
}
