package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
)

// child is a homeostat that runs as a process of its own. TestMain puts one on the PATH.
type child struct {
	url  string
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{} // closed when the process has ended
	err  error         // of its end, once done is closed
}

// logBuffer is a child's standard error.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// freeAddress returns an address of this machine on which nobody listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startChild starts "homeostat run" over a data folder. It is killed when the test ends, where it has not ended before.
func startChild(t testing.TB, address, data, config string) *child {
	t.Helper()
	args := []string{"run", "--listen", address, "--data", data}
	if config != "" {
		args = append(args, "--config", config)
	}
	c := &child{url: "http://" + address, cmd: exec.Command("homeostat", args...), log: &logBuffer{}, done: make(chan struct{})}
	c.cmd.Stderr = c.log
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.done)
		c.err = c.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may have ended
		<-c.done
	})
	return c
}

// kill ends the child as a power cut would, and fails the test when it had ended by itself.
func (c *child) kill(t testing.TB) {
	t.Helper()
	_ = c.cmd.Process.Kill()
	<-c.done
	ee, ok := errors.AsType[*exec.ExitError](c.err)
	if !ok || ee.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("homeostat ended by itself: %v\n%s", c.err, c.log)
	}
}

// stop asks the child to end, and fails the test when it doesn't do so in good order.
func (c *child) stop(t testing.TB) {
	t.Helper()
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.done:
		if c.err != nil {
			t.Errorf("homeostat ended: %v\n%s", c.err, c.log)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("homeostat didn't stop within 30 s\n%s", c.log)
	}
}

// get reads a document of the API. It returns the status; the document is read where there is one.
func (c *child) get(ctx context.Context, path string, doc any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(doc); err != nil {
		return resp.StatusCode, fmt.Errorf("%s: %s: %w", path, resp.Status, err)
	}
	return resp.StatusCode, nil
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready    bool
	NotReady []struct{ Name, State string }
}

// says reports whether a stage that isn't ready tells so in these words.
func (r *readiness) says(words string) bool {
	for _, s := range r.NotReady {
		if strings.Contains(s.State, words) {
			return true
		}
	}
	return false
}

// awaitReady waits until what /readyz says is as wanted.
func (c *child) awaitReady(t testing.TB, what string, ok func(readiness) bool) {
	t.Helper()
	var last readiness
	c.await(t, what, func() bool {
		last = readiness{}
		_, err := c.get(t.Context(), "/readyz", &last)
		return err == nil && ok(last)
	}, func() string { return fmt.Sprintf("%+v", last) })
}

// await waits for something that the child does.
func (c *child) await(t testing.TB, what string, ok func() bool, state func() string) {
	t.Helper()
	deadline := time.NewTimer(90 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-c.done:
			t.Fatalf("homeostat ended before this: %s: %v\n%s", what, c.err, c.log)
		case <-deadline.C:
			t.Fatalf("not within 90 s: %s: %s\n%s", what, state(), c.log)
		}
	}
}

// points is what one series of a query's matrix holds: Unix milliseconds and values.
type points map[int64]float64

// query asks for a range vector: raw samples, by the value of a label.
func (c *child) query(ctx context.Context, q, by string) (map[string]points, error) {
	var doc struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Values [][2]json.Number
			}
		}
	}
	v := url.Values{"query": {q}}
	if _, err := c.get(ctx, "/prometheus/api/v1/query?"+v.Encode(), &doc); err != nil {
		return nil, err
	}
	if doc.Status != "success" {
		return nil, fmt.Errorf("%s: %s", q, doc.Error)
	}
	out := map[string]points{}
	for _, s := range doc.Data.Result {
		ps := points{}
		for _, p := range s.Values {
			at, err := p[0].Float64()
			if err != nil {
				return nil, err
			}
			if ps[int64(at*1000+0.5)], err = p[1].Float64(); err != nil {
				return nil, err
			}
		}
		out[s.Metric[by]] = ps
	}
	return out, nil
}

// remoteWrite sends one request of version 1.0, as Prometheus encodes it, and returns the status.
func remoteWrite(ctx context.Context, client *http.Client, base string, w *prompb.WriteRequest) (int, string, error) {
	raw, err := w.Marshal()
	if err != nil {
		return 0, "", err
	}
	return remoteWriteRaw(ctx, client, base, snappy.Encode(nil, raw))
}

func remoteWriteRaw(ctx context.Context, client *http.Client, base string, body []byte) (status int, said string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v1/write", bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Encoding", "snappy")
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	return resp.StatusCode, string(text), err
}

// promLabels makes labels for a request, sorted as the protocol wants them where the pairs are.
func promLabels(pairs ...string) []prompb.Label {
	ls := make([]prompb.Label, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		ls = append(ls, prompb.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	return ls
}

// writeFiles writes texts into a folder.
func writeFiles(t testing.TB, dir string, texts map[string]string) {
	t.Helper()
	for name, text := range texts {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
