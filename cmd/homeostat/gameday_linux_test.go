package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"homeostat/internal/gameday"
)

// TestGameDays has each real fault detected, put right and verified in time, HOMEOSTAT_GAMEDAYS times. make test and make soak
// run it by itself: a game day measures the whole machine.
func TestGameDays(t *testing.T) {
	times, err := strconv.Atoi(os.Getenv("HOMEOSTAT_GAMEDAYS"))
	if err != nil {
		t.Skip("HOMEOSTAT_GAMEDAYS doesn't say how many: make test has one of each, make soak 20")
	}
	for _, tt := range []struct {
		fault string
		bound float64 // seconds from the crossing of the threshold to the end of verify
	}{{gameday.Disk, 90}, {gameday.Memory, 90}, {gameday.CPU, 60}} {
		t.Run(tt.fault, func(t *testing.T) {
			good := 0
			for i := range times {
				cmd := exec.CommandContext(t.Context(), "homeostat", "gameday", tt.fault, "--json")
				cmd.Stderr = t.Output()
				out, err := cmd.Output()
				var r gamedayReport
				if jerr := json.Unmarshal(out, &r); jerr != nil {
					t.Fatalf("%v %v", err, jerr)
				}
				if err != nil || !r.good() || r.RemediatedAfter == nil || *r.RemediatedAfter > tt.bound {
					t.Errorf("day %d: %v: %s", i+1, err, out)
					continue
				}
				good++
				t.Logf("day %d: detected after %.1f s, put right and verified after %.1f s", i+1, *r.DetectedAfter, *r.RemediatedAfter)
			}
			t.Logf("%d of %d", good, times)
		})
	}
}
