package runbook

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"homeostat/internal/signal"
)

// during runs fn while the stage carries executions over the database in dir, and stops the stage.
func during(t *testing.T, dir string, docs fs.FS, fn func(s *stage)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, stop, err := start(ctx, dir, quick(), docs, gone)
	if err != nil {
		t.Fatal(err)
	}
	fn(s)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestExecutionKeepsTheDocumentsThatItBeganWith(t *testing.T) {
	dir := fresh(t)
	docs := fstest.MapFS{}
	maps.Copy(docs, testDocs().(fstest.MapFS))
	var id string
	during(t, dir, docs, func(s *stage) {
		id = s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Fix", Mode: signal.Approve})
		s.await(t, id, waiting)
	})
	docs["Fix.yaml"] = docs["Look.yaml"] // the new text does nothing at all
	during(t, dir, docs, func(s *stage) {
		if err := s.Approve(t.Context(), id, "ana", ""); err != nil {
			t.Fatal(err)
		}
		if x := s.await(t, id, ended); x.State != signal.Success || len(s.world.changes()) != 1 {
			t.Errorf("%+v", x)
		}
	})
}

func TestStepInDoubtAsksAPerson(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(s *stage, id string) error
		state  string
	}{
		{"it worked", func(s *stage, id string) error { return s.Continue(t.Context(), id, "ana", "I looked", false) }, signal.Success},
		{"it did not", func(s *stage, id string) error { return s.Reject(t.Context(), id, "ana", "") }, signal.Failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := fresh(t)
			var id string
			during(t, dir, testDocs(), func(s *stage) {
				id = s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Slow", Mode: signal.Auto})
				s.await(t, id, func(x signal.Execution) bool { return len(x.Steps) == 1 })
			})
			during(t, dir, testDocs(), func(s *stage) {
				x := s.await(t, id, waiting)
				if x.State != signal.Waiting || len(x.Steps) != 1 || x.Steps[0].State != signal.Waiting {
					t.Errorf("%+v", x)
				}
				t.Log(x.Approval.Message)
				if err := tt.answer(s, id); err != nil {
					t.Fatal(err)
				}
				if x = s.await(t, id, ended); x.State != tt.state {
					t.Errorf("%+v", x)
				}
			})
		})
	}
}

func TestCatalogRefusesWhatIsThereAlready(t *testing.T) {
	dir := t.TempDir()
	look, err := fs.ReadFile(testDocs(), "Look.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"Look.yml": string(look), "Bad.yaml": "schemaVersion: \"0.3\"\nmainSteps:\n  - name: x\n    action: aws:nothing\n    inputs: {}\n", "notes.txt": "not a document",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err = LoadCatalog(testDocs(), []string{dir, dir + "/none"})
	for _, want := range []string{
		dir + "/Look.yml: a document called Look is there already: built-in Look.yaml", dir + "/Bad.yaml:4:", "none: no such file or directory",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in: %v", want, err)
		}
	}
}

func TestCatalogIsShown(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	all, err := s.Runbooks.Runbooks(t.Context())
	if err != nil || len(all) != 12 || all[0].Name != "Ask" || all[0].Text != "" || all[0].Kind != "automation" || all[0].Origin != "built-in" || len(all[0].Routes) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	b, err := s.Runbook(t.Context(), "Fix")
	if err != nil || b.Text == "" || len(b.Parameters) != 1 || !b.Parameters[0].Required || len(b.Steps) != 3 ||
		b.Steps[0].Effect != "reading" || b.Steps[1].Effect != "changing" || !slices.Equal(b.Routes, []string{"broken"}) {
		t.Errorf("%+v, %v", b, err)
	}
	if b, err = s.Runbook(t.Context(), "Shell"); err != nil || b.Steps[0].Effect != "changing" {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := s.Runbook(t.Context(), "None"); !errors.Is(err, signal.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if b, err = s.Validate("New.yaml", []byte(b.Text)); err != nil || b.Name != "New" {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := s.Validate("New.yaml", []byte("{}")); err == nil || !strings.Contains(err.Error(), "New.yaml:1:1") {
		t.Errorf("%v", err)
	}
}

// TestAttachmentIsWhatTheDocumentDeclares: a file beside the document, by its checksum and for today's version alone.
func TestAttachmentIsWhatTheDocumentDeclares(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256([]byte("text"))
	put("Job.yaml", fmt.Sprintf("schemaVersion: '0.3'\nfiles: {job.py: {checksums: {sha256: %X}}, none.py: {}, more.py: {checksums: {sha256: %x}}}\nmainSteps: [{name: a, action: aws:executeScript, inputs: {Runtime: python3.11, Handler: job.run, Attachment: job.py}}]\n", sum, sum))
	put("Job.files/job.py", "text")
	put("Job.files/none.py", "text")
	put("secret", "text")
	c, err := LoadCatalog(nil, []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Document("Job", "")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := c.Attachment("Job", d.Version, "job.py"); err != nil || string(text) != "text" {
		t.Errorf("%q %v", text, err)
	}
	for name, wants := range map[string]string{
		"none.py": "doesn't say its SHA-256", "more.py": "not at hand", "../secret": "declares none", "other.py": "declares none",
	} {
		if _, err := c.Attachment("Job", d.Version, name); err == nil || !strings.Contains(err.Error(), wants) {
			t.Errorf("%s: %v, want %s", name, err, wants)
		}
	}
	if _, err := c.Attachment("Job", "older", "job.py"); err == nil {
		t.Error("of another version")
	}
	put("Job.files/job.py", "other")
	if _, err := c.Attachment("Job", d.Version, "job.py"); err == nil || !strings.Contains(err.Error(), "another file than the document declares") {
		t.Errorf("changed: %v", err)
	}
}
