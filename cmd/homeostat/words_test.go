package main

import (
	"testing"

	"homeostat/internal/signal"
)

func TestSummaryTellsWhatIsNew(t *testing.T) {
	for _, tt := range []struct{ kind, detail, want string }{
		{signal.IncidentOpened, `{"id":"in-1","title":"CPU 97 % on web-1","note":"HighCPU-Host runs"}`, "CPU 97 % on web-1"},
		{signal.IncidentUpdated, `{"id":"in-1","title":"CPU 97 % on web-1","note":"HighCPU-Host runs"}`, "HighCPU-Host runs"},
		{signal.ExecutionSucceeded, `{"id":"ex-1","runbook":"HighCPU-Host","outcome":"ended process 7"}`, "HighCPU-Host: ended process 7"},
		{signal.AlertResolved, `{"id":"al-1","rule":"DiskSpace","reason":"Disk / is 88 % full"}`, "DiskSpace no longer holds"},
		{signal.ExecutionStarted, `{"id":"ex-1","runbook":"HighCPU-Host"}`, "HighCPU-Host"},
		{"Backup Late", `{"message":"none for 26 hours"}`, "none for 26 hours"},
		{"Backup Late", `[]`, "ev-1"},
	} {
		if got := summary(signal.Event{ID: "ev-1", DetailType: tt.kind, Detail: []byte(tt.detail)}); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.kind, tt.detail, got, tt.want)
		}
	}
}
