// Package ipinsights learns which addresses an entity (a user, a key, an account) uses, and says how well an address fits an
// entity, as SageMaker's built-in algorithm IP Insights does.
//
// An entity has a vector, found by the hash of its name; an address has one that a small network computes from its bits, so
// that addresses of one network come out alike and an address that was never seen has a vector too. Training moves the
// vectors of pairs that occur together, and apart those of pairs that are made up: an address drawn at random, or one that
// another entity of the same mini-batch used. The score of a pair is the dot product of its vectors: higher is more usual,
// unbounded, comparable within one model.
//
//	m, err := ipinsights.Train(ctx, ipinsights.Config{NumEntityVectors: 10_000, VectorDim: 128}, pairs, nil)
//	usual := m.Score("ana", netip.MustParseAddr("192.0.2.7"))
//
// Beyond SageMaker's: IPv6, whose bits enter by weights of their own. The same seed, pairs and configuration give the same
// model bit for bit, whatever the number of goroutines and whether the processor has AVX2. A [Model] doesn't change once it is
// made and may be used by many goroutines at once.
//
// Source: "IP Insights", "How IP Insights works", "IP Insights hyperparameters", Amazon SageMaker developer guide. Their layers,
// initial values and hash are not published; ours are said where they stand.
package ipinsights
