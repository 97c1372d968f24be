package main

import (
	"encoding/json"
	"io"
)

// printJSON writes v as one indented JSON document: what --json promises.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
