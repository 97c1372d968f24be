// Package runbooks holds the built-in runbooks: SSM Automation documents (schema 0.3) and the Command documents (schema 2.2)
// that they use, as they could be given to Systems Manager.
package runbooks

import "embed"

// Files are the documents. A document's name is its file's, without the extension.
//
//go:embed *.yaml
var Files embed.FS
