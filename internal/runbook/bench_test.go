package runbook

import (
	"context"
	"database/sql"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"homeostat/internal/signal"
)

// BenchmarkExecutions carries 1,000 executions of ten steps each, all in flight at once, two steps of each changing something:
// real database (SQLite, synchronous FULL), real River. steps/s counts the documents' own steps; MB is what the heap grew to.
func BenchmarkExecutions(b *testing.B) {
	const executions, steps = 1000, 10
	var doc strings.Builder
	doc.WriteString("schemaVersion: \"0.3\"\nparameters:\n  Entity: {type: String}\nmainSteps:\n")
	for i := range steps {
		api := "Read"
		if i == 4 || i == 8 {
			api = "Change"
		}
		fmt.Fprintf(&doc, "  - {name: s%d, action: aws:executeAwsApi, inputs: {Service: test, Api: %s, Key: \"{{ Entity }}\"}}\n", i, api)
	}
	c := quick()
	c.Guards = signal.Guards{Cooldown: time.Nanosecond, Concurrent: 2 * executions, BlastRadius: "1000000"}
	for b.Loop() {
		b.StopTimer()
		ctx, cancel := context.WithCancel(context.Background())
		s, stop, err := startWith(ctx, QueueConfig(), b.TempDir(), c, fstest.MapFS{"Ten.yaml": {Data: []byte(doc.String())}}, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		began := time.Now()
		for n := range executions {
			ev := alert(n, "")
			if err := s.inTx(ctx, func(tx *sql.Tx) error {
				return s.Start(ctx, tx, ev, "r", Target{Runbook: "Ten", Mode: signal.Auto, Repeat: true})
			}); err != nil {
				b.Fatal(err)
			}
		}
		begun := time.Since(began)
		var most uint64
		for left := 1; left > 0; time.Sleep(20 * time.Millisecond) {
			if err := s.store.Read.QueryRowContext(ctx, `SELECT COUNT(*) FROM executions WHERE ended = 0`).Scan(&left); err != nil {
				b.Fatal(err)
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
		}
		took := time.Since(began)
		b.ReportMetric(executions*steps/took.Seconds(), "steps/s")
		b.ReportMetric(executions/begun.Seconds(), "begun/s")
		b.ReportMetric(float64(most)/(1<<20), "MB")
		b.StopTimer()
		var good int
		if err := s.store.Read.QueryRowContext(ctx, `SELECT COUNT(*) FROM executions WHERE state = 'Success'`).Scan(&good); err != nil || good != executions {
			b.Fatalf("%d of %d succeeded, %v", good, executions, err)
		}
		if err := stop(); err != nil {
			b.Fatal(err)
		}
		cancel()
		b.StartTimer()
	}
}
