package awstest

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// readForm reads a request of the query protocol, or of EC2's.
func (f *Fake) readForm(body []byte) (string, map[string]any, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return "", nil, err
	}
	name := form.Get("Action")
	api, ok := f.model.Operations[name]
	if !ok {
		return "", nil, fmt.Errorf("%q is no operation", name)
	}
	form.Del("Action")
	form.Del("Version")
	in := map[string]any{}
	if api.Input != nil {
		if got, ok := f.model.fromForm(api.Input.Shape, "", form).(map[string]any); ok {
			in = got
		}
	}
	for k := range form {
		return "", nil, fmt.Errorf("%s: no member is sent as %s", name, k)
	}
	return name, in, nil
}

// fromForm takes the value at a place out of a form; nil where nothing is.
func (m *Model) fromForm(shape, at string, form url.Values) any {
	s := m.Shapes[shape]
	ec2 := m.Metadata.Protocol == "ec2"
	key := func(name string) string { return strings.TrimPrefix(at+"."+name, ".") }
	if at != "" && !slices.ContainsFunc(slices.Collect(maps.Keys(form)), func(k string) bool { return k == at || strings.HasPrefix(k, at+".") }) {
		return nil
	}
	switch s.Type {
	case "structure":
		out := map[string]any{}
		for member, ref := range s.Members {
			name := member
			switch {
			case ref.Query != "":
				name = ref.Query
			case ref.Name != "" && ec2:
				name = strings.ToUpper(ref.Name[:1]) + ref.Name[1:]
			case ref.Name != "":
				name = ref.Name
			}
			if inner := m.Shapes[ref.Shape]; inner.Flattened && !ec2 && inner.Member != nil && inner.Member.Name != "" {
				name = inner.Member.Name
			}
			if v := m.fromForm(ref.Shape, key(name), form); v != nil {
				out[member] = v
			}
		}
		return out
	case "list":
		prefix := at
		if !ec2 && !s.Flattened {
			name := "member"
			if s.Member.Name != "" {
				name = s.Member.Name
			}
			prefix = at + "." + name
		}
		out := []any{}
		form.Del(at) // an empty list
		for i := 1; ; i++ {
			v := m.fromForm(s.Member.Shape, prefix+"."+strconv.Itoa(i), form)
			if v == nil {
				return out
			}
			out = append(out, v)
		}
	case "map":
		prefix := at
		if !s.Flattened {
			prefix += ".entry"
		}
		out := map[string]any{}
		for i := 1; ; i++ {
			k, ok := m.fromForm(s.Key.Shape, fmt.Sprintf("%s.%d.%s", prefix, i, orName(*s.Key, "key")), form).(string)
			if !ok {
				return out
			}
			out[k] = m.fromForm(s.Value.Shape, fmt.Sprintf("%s.%d.%s", prefix, i, orName(*s.Value, "value")), form)
		}
	}
	text := form.Get(at)
	form.Del(at)
	if s.Type == "blob" {
		if b, err := base64.StdEncoding.DecodeString(text); err == nil {
			return string(b)
		}
	}
	return m.typed(shape, text)
}

func orName(r Ref, name string) string {
	if r.Name != "" {
		return r.Name
	}
	return name
}

// answerXML writes an answer of the query protocol, or of EC2's.
func (f *Fake) answerXML(w http.ResponseWriter, name string, answer any) error {
	var b strings.Builder
	b.WriteString("<" + name + "Response>")
	if out := f.model.Operations[name].Output; out != nil {
		if out.Wrapper != "" {
			f.model.toXML(&b, out.Shape, out.Wrapper, answer)
		} else {
			f.model.inXML(&b, out.Shape, answer)
		}
	}
	b.WriteString("</" + name + "Response>")
	w.Header().Set("Content-Type", "text/xml")
	_, err := w.Write([]byte(b.String()))
	return err
}

func (m *Model) toXML(b *strings.Builder, shape, name string, v any) {
	s := m.Shapes[shape]
	if list, ok := v.([]any); ok && s.Flattened {
		for _, it := range list {
			m.toXML(b, s.Member.Shape, orName(*s.Member, name), it)
		}
		return
	}
	b.WriteString("<" + name + ">")
	m.inXML(b, shape, v)
	b.WriteString("</" + name + ">")
}

// inXML writes what stands within a value's element.
func (m *Model) inXML(b *strings.Builder, shape string, v any) {
	s := m.Shapes[shape]
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if s.Type == "map" {
				b.WriteString("<entry>")
				m.toXML(b, s.Key.Shape, orName(*s.Key, "key"), k)
				m.toXML(b, s.Value.Shape, orName(*s.Value, "value"), v[k])
				b.WriteString("</entry>")
				continue
			}
			m.toXML(b, s.Members[k].Shape, orName(s.Members[k], k), v[k])
		}
	case []any:
		for _, it := range v {
			m.toXML(b, s.Member.Shape, orName(*s.Member, "member"), it)
		}
	default:
		text := fmt.Sprint(v)
		if s.Type == "blob" {
			text = base64.StdEncoding.EncodeToString([]byte(text))
		}
		_ = xml.EscapeText(b, []byte(text)) // a Builder takes everything
	}
}
