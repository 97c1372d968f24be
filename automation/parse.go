package automation

import "errors"

// Parse reads a document, JSON or YAML. name is what errors call the file, and the document's own name without folder and
// extension. The error joins a *PlaceError for each mistake, in the order of the text.
func Parse(name string, text []byte) (*Document, error) {
	return nil, errors.New("not yet")
}

// Bind checks what was given against the parameters and fills in the defaults. A parameter that isn't declared, a missing one
// and a value that isn't allowed are errors, all of them joined. Numbers and booleans given as text ("5", "true") are taken.
func (d *Document) Bind(given map[string]any) (map[string]any, error) {
	return nil, errors.New("not yet")
}
