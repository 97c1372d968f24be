package sagemaker

import (
	"mime"
	"slices"
	"strconv"
	"strings"
)

// The media types that algorithms share.
const (
	CSV       = "text/csv"
	JSON      = "application/json"
	JSONLines = "application/jsonlines"
	RecordIO  = "application/x-recordio-protobuf"
)

// MediaType is a content type and its parameters: text/csv;label_size=0.
type MediaType struct {
	Name   string // in lower case
	Params map[string]string
}

// parseMedia reads a content type. One that can't be read has its own text as its name, which nobody supports.
func parseMedia(text string) MediaType {
	name, params, err := mime.ParseMediaType(text)
	if err != nil {
		return MediaType{Name: strings.TrimSpace(text)}
	}
	switch name {
	case "application/jsonl", "application/x-jsonlines", "application/json-lines":
		name = JSONLines
	}
	return MediaType{Name: name, Params: params}
}

// LabelSize returns how many columns before the features are labels, and whether the type says so.
func (m MediaType) LabelSize() (n int, stated bool, err error) {
	text, ok := m.Params["label_size"]
	if !ok {
		return 0, false, nil
	}
	n, err = strconv.Atoi(text)
	if err != nil || n < 0 || n > 1000 {
		return 0, true, badConfig("content type %s;label_size=%s: want a count of columns", m.Name, text)
	}
	return n, true, nil
}

// Flag says whether parameter name is true: application/json;verbose=True.
func (m MediaType) Flag(name string) bool { return strings.EqualFold(m.Params[name], "true") }

// accept returns which of writes an Accept header prefers: a MediaType without a name where it doesn't care, and false where
// it takes none of them.
func accept(header []string, writes []string) (MediaType, bool) {
	var best MediaType
	quality, found := 0.0, false
	text := strings.Join(header, ",")
	if strings.TrimSpace(text) == "" {
		return best, true
	}
	for part := range strings.SplitSeq(text, ",") {
		m := parseMedia(part)
		q := 1.0
		if s, ok := m.Params["q"]; ok {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil {
				continue
			}
			q = f
			delete(m.Params, "q")
		}
		switch {
		case m.Name == "*/*":
			m = MediaType{}
		case strings.HasSuffix(m.Name, "/*"):
			i := slices.IndexFunc(writes, func(w string) bool { return strings.HasPrefix(w, m.Name[:len(m.Name)-1]) })
			if i < 0 {
				continue
			}
			m.Name = writes[i]
		case !slices.Contains(writes, m.Name):
			continue
		}
		if q > quality {
			best, quality, found = m, q, true
		}
	}
	return best, found
}
