package rcf

import "golang.org/x/sys/cpu"

var haveAVX2 = cpu.X86.HasAVX2

// climbAVX2 does what climb does for points of up to lanes values, but goes through the whole list, of n points, and all count
// boxes. It reads lanes values from each point and corner: those
// that belong to what follows count nothing, as their weight is 0.
//
//go:noescape
func climbAVX2(s *scratch, points, boxes, weights *float32, dim, width, n, count int)

// partingAVX2 does what parting does for n values, a multiple of lanes, of which those that are too many have the weight 0.
//
//go:noescape
func partingAVX2(p, lo, hi, w *float32, n int) (out, extent float32)

// extendAVX2 does what extend does for n values, a multiple of lanes: lo and hi have room for them.
//
//go:noescape
func extendAVX2(lo, hi, q *float32, n int)

// descendAVX2 does what descend does for four trees, whose roots are in s.end, and says whether their trail was long enough.
// s.depth is 0.
//
//go:noescape
func descendAVX2(s *scratch, n0, n1, n2, n3 *node) bool

// topKeyAVX2 returns the first of the largest of n keys, a multiple of 16 and above 0.
//
//go:noescape
func topKeyAVX2(keys *key, n int) int
