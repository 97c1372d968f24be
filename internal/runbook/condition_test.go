package runbook

import (
	"testing"
	"time"

	"homeostat/internal/signal"
)

// FuzzCondition: whatever is written as a condition, to compile and to ask it ends soon, and it allows only what is true.
func FuzzCondition(f *testing.F) {
	for _, text := range []string{
		"entity.tags.env != 'prod' || time.hour >= 8", "history.since > 60.0 && history.acting < 2", "event.detail.list.all(x, x > 1)",
		"[1, 2, 3].exists(x, [4, 5].all(y, x + y > 4))", "'%s %.3f'.format([runbook, 1.5]).matches('(a+)+$')", "has(event.detail.rule)",
		"runbook.split('-').map(p, p.upperAscii()).join('+').size() > 3", "dyn(1) == dyn('1')", "timestamp('2026-01-01T00:00:00Z').getHours() == 0",
		"duration('1h') > duration('1m')", "event['detail']['rule'] == 'x' ? true : false", "1 / 0 == 1", "b'\\xff' == b''", "'a'.replace('', 'bb', -1) == ''",
	} {
		f.Add(text, "prod", 5)
	}
	f.Fuzz(func(t *testing.T, text, env string, acted int) {
		began := time.Now()
		c, err := NewCondition(text)
		if err == nil {
			a := Act{
				Runbook: "HighCPU-Host", Entity: "host:a", Mode: signal.Auto, Acted: acted,
				Outside: Outside{Labels: map[string]string{"tag_env": env}, Event: map[string]any{"detail": map[string]any{"rule": env, "list": []any{1.0, "x", nil, true}}}},
			}
			first, _ := c.Check(a)
			if again, why := c.Check(a); again != first && time.Since(began) < time.Second {
				t.Errorf("%q: %v, then %v (%s)", text, first, again, why)
			}
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%q took %v", text, took)
		}
	})
}
