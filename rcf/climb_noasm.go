//go:build !amd64

package rcf

const haveAVX2 = false

func climbAVX2(_ *scratch, _, _, _ *float32, _, _, _, _ int) { panic("amd64 only") }

func partingAVX2(_, _, _, _ *float32, _ int) (float32, float32) { panic("amd64 only") }

func extendAVX2(_, _, _ *float32, _ int) { panic("amd64 only") }

func descendAVX2(_ *scratch, _, _, _, _ *node) bool { panic("amd64 only") }

func topKeyAVX2(*key, int) int { panic("amd64 only") }
