package detect

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

// ticking is samples of any host, one every half hour, whose time goes on from from to to: what the clock of accesses goes by.
func ticking(from, to time.Time) []*signal.Batch {
	s := signal.MakeSeries(signal.MakeLabels(map[string]string{signal.MetricName: "up", "host_name": "web-1"}))
	var tape []*signal.Batch
	for at := from; !at.After(to); at = at.Add(30 * time.Minute) {
		b := &signal.Batch{ID: fmt.Sprint("ba-5-", at.Unix())}
		b.Add(b.AddSeries(s), at.UnixMilli(), 1)
		tape = append(tape, b)
	}
	return tape
}

// TestAFindingEndsThoughNothingMoreComes lets an organisation fall silent after a finding: no later access ends it.
func TestAFindingEndsThoughNothingMoreComes(t *testing.T) {
	config := func(dir string) RunnerConfig {
		return RunnerConfig{Detectors: []Config{{Name: "who", Kind: kindAccess}}, Dir: dir, Every: time.Hour}
	}
	office := officeTape(40)
	stolen := office[len(office)-1]
	night := time.UnixMilli(stolen.Accesses[0].Time).UTC().Truncate(time.Hour)
	late := &signal.Batch{ID: "ba-3-99", Accesses: []signal.Access{{
		ID: "late", Time: stolen.Accesses[1].Time + 2000, Org: "1", Type: "IAMUser", User: "user3", Address: "203.0.113.9", Service: "cloudtrail.amazonaws.com", API: "StopLogging",
		Region: "eu-west-1", Agent: "aws-cli/2.15",
	}}}
	next := &signal.Batch{ID: "ba-3-100", Accesses: []signal.Access{{
		ID: "next", Time: night.Add(50 * time.Hour).UnixMilli(), Org: "1", Type: "IAMUser", User: "user1", Address: "198.51.100.1", Service: "iam.amazonaws.com", API: "GetUser", Region: "eu-west-1", Agent: "aws-cli/2.15", ReadOnly: true,
	}}}
	join := func(parts ...[]*signal.Batch) (tape []*signal.Batch) {
		for _, p := range parts {
			tape = append(tape, p...)
		}
		return tape
	}
	before := join(office[:40], ticking(night.Add(-2*time.Hour), night), office[40:])
	hours := func(from, to int) []*signal.Batch {
		return ticking(night.Add(time.Duration(from)*time.Hour), night.Add(time.Duration(to)*time.Hour))
	}
	at := func(h int) string { return fmt.Sprint("ba-5-", night.Add(time.Duration(h)*time.Hour).Unix()) }
	for _, tt := range []struct {
		name string
		tape []*signal.Batch
		want []string // the batches that brought about its ends, and what was told after the first
	}{
		{"after a day", join(before, hours(1, 48)), []string{"end " + at(24)}},
		{"and not before", join(before, hours(1, 23)), nil},
		{"the clock stood still for a while, as nobody listened", join(before, hours(1, 3), hours(60, 90)), []string{"end " + at(84)}},
		{"an access of the next day comes first", join(before, hours(1, 20), []*signal.Batch{next}, hours(20, 60)), []string{"end ba-3-100"}},
		{"or after it", join(before, hours(1, 50), []*signal.Batch{next}, hours(50, 90)), []string{"end " + at(24)}},
		{"it is told again by what comes late, and ends again", join(before, hours(1, 30), []*signal.Batch{late}, hours(30, 70)), []string{"end " + at(24), "told ba-3-99", "end " + at(54)}},
	} {
		whole := newBook()
		play(t, config(""), tt.tape, whole, nil)
		var got []string
		for _, f := range told[signal.Finding](t, whole, signal.UnusualAccess) {
			switch cause := f.Cause[len(f.Cause)-1]; {
			case f.User != "user3":
				t.Errorf("%s: %+v", tt.name, f)
			case !f.Ended.IsZero():
				got = append(got, "end "+cause)
			case len(got) > 0:
				got = append(got, "told "+cause)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		// Read on from a checkpoint, wherever it is, the stream says the same at the same places.
		for _, cut := range []int{41, 46, len(tt.tape) - 20, len(tt.tape) - 1} {
			dir, parts := t.TempDir(), newBook()
			play(t, config(dir), tt.tape[:cut], parts, nil)
			play(t, config(dir), tt.tape, parts, nil)
			if d := cmp.Diff(whole.events, parts.events); d != "" {
				t.Errorf("%s, cut at %d: %s", tt.name, cut, d)
			}
		}
	}
}
