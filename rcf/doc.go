// Package rcf scores how strange a point is, one point at a time, with a Robust Random Cut Forest.
//
// A [Forest] keeps trees over a sample of recent points. Each tree cuts the space at random, a dimension being chosen in
// proportion to its extent, until every point stands alone. A point that few cuts set apart is strange: its score is the
// expected inverse of the depth at which a cut would part it from all others, scaled so that 1 is ordinary whatever the
// sample's size.
//
//	f, err := rcf.New(2, rcf.Config{Seed: 1})
//	for _, p := range points {
//		score, err := f.ScoreAndUpdate(p) // before p is learnt, then learn it
//	}
//
// Scoring and learning are one descent: the boxes that give the score also tell where the point goes in. The descent reads
// cuts alone down to a leaf and then climbs only until a box holds the point, as every box above then holds it too. Four
// trees go down by turns, without a branch on what a comparison gives.
//
// Points are float32 and stand once in a store that all trees share; shingles share the rows in which they overlap. A
// tree's node takes eight bytes and its place in a sample four; bounding boxes are kept for larger subtrees and worked
// out from the points below for small ones, which changes nothing in the results. Nothing is allocated for a point once
// the forest has its size; memory grows with what is in the trees, up to what [Config.Bytes] says; Config.Compact makes
// that less for many small forests. On amd64 with AVX2 a climb is done in assembly, with the same bits as in Go.
//
// Scores compare within one forest only. The same seed and points give the same scores on one platform (some processors
// fuse a multiply and an add), whatever the number of goroutines. Methods that learn nothing and change no setting may
// be called by several goroutines at once, while none learns.
//
// Sources: Guha, Mishra, Roy, Schrijvers, "Robust Random Cut Forest Based Anomaly Detection on Streams", PMLR 48:2712-2721,
// 2016 (trees, insertion, deletion); the score, its normalisation and the attribution are those of the reference
// implementation's documentation (random-cut-forest-by-aws); sampling with decay is Efraimidis and Spirakis, "Weighted
// random sampling with a reservoir", Information Processing Letters 97, 2006, with weights that grow with time.
package rcf
