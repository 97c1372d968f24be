package sagemaker_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/sagemaker"
)

// piped is a job whose channel train comes through FIFOs.
func piped(t *testing.T, more string) string {
	return root(t, map[string]string{
		"config/hyperparameters.json": `{"size":"3"}`,
		"config/inputdataconfig.json": `{"train":{"TrainingInputMode":"Pipe"` + more + `}}`,
		"data/.keep":                  "",
	})
}

// feed writes text into the FIFO of a pass, which it makes.
func feed(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, "input", "data", name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil { // waits for who reads
		t.Error(err)
	}
}

func TestPipeModeReadsOneFIFOAPass(t *testing.T) {
	dir := piped(t, "")
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		feed(t, dir, "train_0", "first")
		feed(t, dir, "train_1", "") // nothing, and then its end
		feed(t, dir, "train_2", strings.Repeat("x", 100_000))
	}()
	_, err := trained(t.Context(), dir, counting(func(ctx context.Context, j *sagemaker.Job) error {
		got, err := passes(ctx, j, 3)
		if diff := cmp.Diff([]string{"train_0=first", "train_1=", "train_2=" + strings.Repeat("x", 100_000)}, got); diff != "" {
			t.Error(diff)
		}
		return err
	}))
	if err != nil {
		t.Error(err)
	}
	<-fed
}

func TestPipeModeUnwrapsRecordIO(t *testing.T) {
	dir := piped(t, `,"RecordWrapperType":"RecordIO"`)
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		feed(t, dir, "train_0", string(frame(0, "one"))+string(frame(0, "two")))
	}()
	_, err := trained(t.Context(), dir, counting(func(ctx context.Context, j *sagemaker.Job) error {
		got, err := passes(ctx, j, 1)
		if diff := cmp.Diff([]string{"train_0[0]=one", "train_0[1]=two"}, got); diff != "" {
			t.Error(diff)
		}
		return err
	}))
	if err != nil {
		t.Error(err)
	}
	<-fed
}

// TestPipeModeStopsWhereverItWaits ends the context while the channel waits for a FIFO, for its writer, and for more from it.
func TestPipeModeStopsWhereverItWaits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begin func(t *testing.T, path string)
	}{
		{"no FIFO", func(*testing.T, string) {}},
		{"no writer", func(t *testing.T, path string) {
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"a silent writer", func(t *testing.T, path string) {
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
			w, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { w.Close() })
			if _, err := w.WriteString("some"); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := piped(t, "")
			tt.begin(t, filepath.Join(dir, "input", "data", "train_0"))
			why := errors.New("stopped here")
			ctx, cancel := context.WithCancelCause(t.Context())
			_, err := trained(ctx, dir, counting(func(ctx context.Context, j *sagemaker.Job) error {
				go cancel(why)
				_, err := passes(ctx, j, 1)
				return err
			}))
			if !errors.Is(err, why) {
				t.Errorf("got %v, want %v", err, why)
			}
		})
	}
}
