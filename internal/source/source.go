// Package source is where samples come in. Each folder below it is one input: the host itself, Prometheus remote write,
// OTLP. What an input has read it hands to a [Sink] as a batch of samples in columns, and only when the Sink has it for good
// does the input acknowledge to whoever sent it.
//
// A sample that can't be used (a label set that no series may have, a time far in the future) is set aside: counted by
// reason in [Meter] and never fatal to its neighbours. Package sourcetest has a Sink in memory and the tests that every
// source passes.
package source

import (
	"context"

	"homeostat/internal/signal"
)

// Sink takes what a source has read. Append returns when the batch is durable; only then does a source acknowledge upstream.
// It keeps nothing of the batch but the labels of its series, so the caller may reuse it, and never changes labels. Safe for
// concurrent use.
type Sink interface {
	Append(ctx context.Context, b *signal.Batch) error
}
