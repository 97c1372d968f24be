package host

import (
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"time"

	"homeostat/automation"
	"homeostat/runbooks"
)

// library is the built-in documents.
type library map[string]*automation.Document

func (l library) Document(name, _ string) (*automation.Document, error) {
	if d, ok := l[name]; ok {
		return d, nil
	}
	return nil, automation.ErrNoDocument
}

func builtin(t *testing.T) library {
	t.Helper()
	l := library{}
	names, err := fs.Glob(runbooks.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := runbooks.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := automation.Parse("runbooks/"+name, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range d.Warnings() {
			t.Errorf("%v", w)
		}
		l[d.Name] = d
	}
	return l
}

// highCPU runs the built-in runbook over a burner.
func (b burner) highCPU(t *testing.T, h *Hands, mode automation.Mode, more map[string]any) (automation.Result, []automation.Entry) {
	t.Helper()
	docs := builtin(t)
	given := map[string]any{
		"Entity": "host:here", "Within": fmt.Sprint(b.within), "MinCores": "0.01", "MinCPUSeconds": "0.05", "WindowSeconds": "0.6",
	}
	maps.Copy(given, more)
	params, err := docs["HighCPU-Host"].Bind(given)
	if err != nil {
		t.Fatal(err)
	}
	var j automation.MemoryJournal
	res, err := automation.Run(t.Context(), docs["HighCPU-Host"], automation.Execution{
		ID: "ex-1", Parameters: params, Mode: mode, Began: time.Now(),
	}, automation.World{Hands: h, Journal: &j, Documents: docs})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range j.Entries() {
		t.Logf("%-10s %-9s %-8s would=%q note=%q error=%q %.200v", e.Path, e.Effect, e.State, e.Would, e.Note, e.Error, e.Outputs["Output"])
	}
	return res, j.Entries()
}

func TestHighCPUWithNothingToEndAsksAPerson(t *testing.T) {
	t.Parallel()
	quiet := idler(t).PID
	res, entries := burner{within: quiet}.highCPU(t, newHands(t, Config{Entity: "host:here"}), automation.Auto, nil)
	if res.State != automation.Failed || !strings.Contains(res.Reason, "a person is needed") {
		t.Fatalf("nothing to end is told to nobody: %+v", res)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Path, "end") && e.State != "" {
			t.Errorf("nothing to end, and yet: %+v", e)
		}
	}
	if res, _ := (burner{within: quiet}).highCPU(t, newHands(t, Config{Entity: "host:here"}), automation.Auto, map[string]any{"Entity": "host:there"}); res.State != automation.Failed {
		t.Errorf("another host: %+v", res)
	}
}

func TestHighCPUEndsNothingThatIsProtected(t *testing.T) {
	t.Parallel()
	b := hog(t, "")
	if res, _ := b.highCPU(t, newHands(t, Config{Entity: "host:here", Protect: []string{"sh"}}), automation.Auto, nil); res.State != automation.Failed {
		t.Errorf("protected: %+v", res)
	}
	if _, err := processOf(b.pid); err != nil {
		t.Fatalf("it ended what is protected: %v", err)
	}
}

// TestHighCPU: the runaway is told in observe, and lives on; in auto it is ended.
func TestHighCPU(t *testing.T) {
	t.Parallel()
	h := newHands(t, Config{Entity: "host:here"})
	b := hog(t, "")
	it := find(t, b.eager()).Processes[0].Process
	want := fmt.Sprintf("end process %d (sh) using ", b.pid)
	for deadline := time.Now().Add(patience); ; {
		res, entries := b.highCPU(t, h, automation.Observe, nil)
		last := entries[len(entries)-1]
		if res.State == automation.Success && strings.HasPrefix(last.Would, want) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("observe: %+v, %+v", res, last)
		}
	}
	if _, err := processOf(b.pid); err != nil {
		t.Fatalf("observe ended it: %v", err)
	}
	for deadline := time.Now().Add(patience); ; {
		if res, _ := b.highCPU(t, h, automation.Auto, nil); res.State != automation.Success {
			t.Errorf("auto: %+v", res)
		}
		p, err := processOf(b.pid)
		if gone(p, err, it) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is still there: %+v", p)
		}
	}
}
