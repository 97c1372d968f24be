package console

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestPagesFitEveryScreen looks at every page in light, dark and on a phone: nothing may stick out at 360 pixels, no script
// may fail, nothing may be refused by the content security policy. With -artifacts it leaves the pictures.
func TestPagesFitEveryScreen(t *testing.T) {
	w := troubledWorld()
	ctx, address := browse(t, w, somebody)
	pages := map[string]string{"overview": "/"}
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
