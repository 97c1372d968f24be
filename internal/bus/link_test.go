package bus

import (
	"testing"

	"homeostat/internal/signal"
)

func TestSentencesTellWhatIsNew(t *testing.T) {
	for _, tt := range []struct{ kind, detail, want string }{
		{signal.IncidentOpened, `{"id":"in-1","title":"CPU 97 % on web-1"}`, "Incident Opened: CPU 97 % on web-1"},
		{signal.IncidentUpdated, `{"id":"in-1","title":"CPU 97 % on web-1","note":"HighCPU-Host runs"}`, "Incident Updated: HighCPU-Host runs"},
		{signal.IncidentUpdated, `{"id":"in-1","title":"CPU 97 % on web-1"}`, "Incident Updated: CPU 97 % on web-1"},
		{signal.IncidentResolved, `{"id":"in-1","title":"CPU 97 % on web-1","note":"all in it have ended"}`, "Incident Resolved: CPU 97 % on web-1: all in it have ended"},
		{signal.ExecutionFailed, `{"id":"ex-1","runbook":"HighCPU-Host","reason":"nothing may be ended"}`, "Execution Failed: HighCPU-Host: nothing may be ended"},
	} {
		ev := signal.Event{ID: "ev-1", DetailType: tt.kind, Source: "homeostat.incident", Detail: []byte(tt.detail)}
		if got := sentence(&ev, read(ev.Detail)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.kind, got, tt.want)
		}
	}
}
