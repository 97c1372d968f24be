package main

import "testing"

func TestTheCollectorsAimFollowsWhatLives(t *testing.T) {
	for _, tt := range []struct{ live, want int64 }{
		{0, memoryAim},
		{60 << 20, memoryAim},                   // an idle loop
		{400 << 20, 400<<20 + 200<<20 + 32<<20}, // hundreds of models
	} {
		if got := aimFor(tt.live); got != tt.want {
			t.Errorf("of %d bytes in use %d are aimed at, want %d", tt.live, got, tt.want)
		}
	}
}
