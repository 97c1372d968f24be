// Package routes holds the built-in routes, each file a JSON list of them: a name, an EventBridge event pattern, and targets. One
// of the configuration with the same name takes a built-in one's place.
package routes

import "embed"

// Files are the built-in routes, *.json.
//
//go:embed *.json
var Files embed.FS
