package console

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestPagesFitEveryScreen looks at every page in light, dark and on a phone: nothing may stick out at 360 pixels, no script
// may fail, nothing may be refused by the content security policy. With -artifacts it leaves the pictures.
func TestPagesFitEveryScreen(t *testing.T) {
	troubled, stolen := troubledWorld(time.Now()), stolenWorld(time.Now())
	fit(t, troubled, allPages(troubled))
	fit(t, stolen, stolenPages(stolen))
}

func fit(t *testing.T, w *world, pages map[string]string) {
	t.Helper()
	ctx, address := browse(t, w, somebody)
	for name, path := range pages {
		for _, s := range []struct {
			name, scheme string
			width        int64
		}{{"light", "light", 1360}, {"dark", "dark", 1360}, {"phone", "light", 360}} {
			if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.scheme}},
			}); err != nil {
				t.Fatal(err)
			}
			if err := chromedp.Do(ctx,
				chromedp.EmulateViewport(s.width, 860),
				chromedp.Navigate(address+path),
				chromedp.WaitVisible(chromedp.CSS("main h1")),
			); err != nil {
				t.Fatalf("%s, %s: %v", name, s.name, err)
			}
			if err := settle(ctx); err != nil {
				untroubled(t, ctx, name+", "+s.name)
				t.Fatalf("%s, %s: not settled: %v", name, s.name, err)
			}
			untroubled(t, ctx, name+", "+s.name)
			wide, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > innerWidth`))
			if err != nil {
				t.Fatal(err)
			}
			shoot(t, ctx, strings.Join([]string{name, s.name}, "-"))
			if wide {
				t.Errorf("%s sticks out on %s", name, s.name)
			}
		}
	}
}

// allPages are the addresses of all pages of a troubled world.
func allPages(w *world) map[string]string {
	return map[string]string{
		"overview": "/", "entities": "/entities", "entity": "/entities/host:web-1", "incidents": "/incidents", "incident": "/incidents/" + w.incidents[1].ID,
		"executions": "/executions", "execution": "/executions/" + w.executions[1].ID, "events": "/events", "event": "/events/" + w.events[0].ID,
		"event-hostile": "/events/ev-outside", "runbooks": "/runbooks", "runbook": "/runbooks/HighCPU-Host",
		"why": "/why/" + w.chain[3].ID, "health": "/health", "error": "/nowhere",
	}
}

// settle waits for the fonts, and for the charts where there are any.
func settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](`document.fonts.status === "loaded" && (!document.getElementById("charts") || document.getElementById("charts").dataset.drawn !== undefined)`))
	return err
}
