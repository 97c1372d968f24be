package api

import (
	"bytes"
	"cmp"
	_ "embed"
	"html/template"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var manualText string

//go:embed docs.css
var manualCSS []byte

// manualEntry is one operation as the manual page shows it.
type manualEntry struct {
	ID, Method, Path, Summary, Description string
	Parameters                             []manualParameter
	Body                                   bool
}

type manualParameter struct {
	Name, In, Type, Doc string
	Required            bool
}

type manualSection struct {
	Name    string
	Entries []manualEntry
}

// manual draws the page at /docs once: the description as text, with nothing loaded from elsewhere.
func (s *Server) manual(api *huma.OpenAPI) (http.Handler, error) {
	byTag := map[string][]manualEntry{}
	for path, item := range api.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post} {
			if op == nil {
				continue
			}
			e := manualEntry{ID: op.OperationID, Method: op.Method, Path: path, Summary: op.Summary, Description: op.Description, Body: op.RequestBody != nil}
			for _, p := range op.Parameters {
				mp := manualParameter{Name: p.Name, In: p.In, Required: p.Required, Doc: p.Description}
				if p.Schema != nil {
					mp.Type = p.Schema.Type
				}
				e.Parameters = append(e.Parameters, mp)
			}
			byTag[op.Tags[0]] = append(byTag[op.Tags[0]], e)
		}
	}
	var sections []manualSection
	for name, es := range byTag {
		slices.SortFunc(es, func(a, b manualEntry) int {
			return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
		})
		sections = append(sections, manualSection{name, es})
	}
	slices.SortFunc(sections, func(a, b manualSection) int { return cmp.Compare(a.Name, b.Name) })

	t, err := template.New("docs").Parse(manualText)
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	if err := t.Execute(&page, map[string]any{"Version": s.loop.Version, "Sections": sections}); err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page.Bytes())
	}), nil
}

func manualStyle(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(manualCSS)
}
