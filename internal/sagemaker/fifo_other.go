//go:build !unix

package sagemaker

import (
	"context"
	"os"
)

// openFIFO opens a file in the place of a FIFO, which this system has none of.
func openFIFO(_ context.Context, path string) (*os.File, error) { return os.Open(path) }
