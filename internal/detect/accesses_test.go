package detect

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"homeostat/internal/signal"
)

// officeTape is an office's life, a batch a day, and a stolen key at its end.
func officeTape(days int) []*signal.Batch {
	begin := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	n := 0
	row := func(at time.Time, user int, address, api string) signal.Access {
		n++
		return signal.Access{
			ID: fmt.Sprint("e", n), Time: at.UnixMilli(), Org: "1", Type: "IAMUser", User: fmt.Sprint("user", user), Address: address, Service: "iam.amazonaws.com", API: api,
			Region: "eu-west-1", Agent: "aws-cli/2.15", ReadOnly: strings.HasPrefix(api, "Get"),
		}
	}
	var tape []*signal.Batch
	for d := range days {
		b := &signal.Batch{ID: fmt.Sprint("ba-3-", d+1)}
		for u := range 10 {
			b.Accesses = append(b.Accesses, row(begin.AddDate(0, 0, d).Add(time.Duration(u)*time.Minute), u, fmt.Sprint("198.51.100.", u%4), "GetUser"))
		}
		tape = append(tape, b)
	}
	night := begin.AddDate(0, 0, days-1).Add(14 * time.Hour)
	return append(tape, &signal.Batch{ID: fmt.Sprint("ba-3-", days+1), Accesses: []signal.Access{
		row(night, 3, "203.0.113.9", "CreateUser"), row(night.Add(time.Second), 3, "203.0.113.9", "CreateAccessKey"),
	}})
}

func TestAFindingIsMutedAndReplayAgrees(t *testing.T) {
	config := func(dir string) RunnerConfig {
		return RunnerConfig{Detectors: []Config{{Name: "who", Kind: kindAccess}}, Dir: dir, Every: time.Hour}
	}
	dir := t.TempDir()
	first, days := newBook(), officeTape(40)
	r := play(t, config(dir), days, first, nil)
	found := told[signal.Finding](t, first, signal.UnusualAccess)
	if len(found) == 0 {
		t.Fatal("nothing was told")
	}
	f := found[len(found)-1]
	if _, err := r.JudgeAccess(signal.Finding{Detector: "host"}, signal.Mute, "", ""); !errors.Is(err, signal.ErrNotFound) {
		t.Errorf("a detector that isn't there: %v", err)
	}
	o, err := r.JudgeAccess(f, signal.Mute, "ana", "a contractor")
	if err != nil {
		t.Fatal(err)
	}
	tape := append(days, &signal.Batch{ID: "ba-9-1", Orders: []signal.Order{o}})

	b := newBook()
	play(t, config(dir), tape, b, nil)
	judged := told[signal.Judgement](t, b, signal.AnomalyJudged)
	if len(judged) != 1 || judged[0].Anomaly != f.ID || judged[0].Judgement != "muted" || judged[0].By != "ana" || judged[0].After != judged[0].Before+1 ||
		!slices.Equal(judged[0].Cause, []string{f.ID, "ba-9-1"}) || !strings.Contains(judged[0].Reason, "learnt as ordinary") || !strings.HasSuffix(judged[0].Reason, ": a contractor") {
		t.Errorf("judged %+v", judged)
	}
	ended := told[signal.Finding](t, b, signal.UnusualAccess)
	if len(ended) != 1 || ended[0].ID != f.ID || ended[0].Ended.IsZero() || !slices.Contains(ended[0].Cause, o.ID) {
		t.Errorf("ended %+v", ended)
	}
	// Read on from its checkpoint it passes over the order; from the beginning it tells the same with the same ids.
	again := newBook()
	if play(t, config(dir), tape, again, nil); len(again.ids) != 0 {
		t.Errorf("after a restart: told %v", again.ids)
	}
	whole := newBook()
	if play(t, config(""), tape, whole, nil); !slices.Equal(whole.ids[len(whole.ids)-2:], b.ids) {
		t.Errorf("read again: %v, want %v at the end", whole.ids, b.ids)
	}
}
