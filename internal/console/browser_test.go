package console

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"homeostat/internal/signal"
)

// chromium returns a browser's path. `make test` sees to it that there is one (deploy/test-needs.sh).
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("HOMEOSTAT_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("CI has no Chromium: deploy/test-needs.sh should have installed one")
	}
	t.Skip("no Chromium is here: `make test` installs one, or set HOMEOSTAT_CHROMIUM to a browser's path")
	return ""
}

// browse serves a world and opens a browser on it. The console is live for as long as the test lasts.
func browse(t *testing.T, w *world, a signal.Actor) (ctx context.Context, address string) {
	t.Helper()
	return browseLoop(t, w.loop(), a)
}

func browseLoop(t *testing.T, l Loop, a signal.Actor) (ctx context.Context, address string) {
	t.Helper()
	path := chromium(t)
	c := newConsole(t, l)
	run, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(run) }()
	srv := httptest.NewServer(strict(acting(c, a)))
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true))
	actx, cancelBrowser := chromedp.NewExecAllocator(t.Context(), opts...)
	bctx, cancelTab := chromedp.NewContext(actx)
	if err := chromedp.Do(bctx); err != nil { // the first call starts the browser, which must not end with a deadline
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(bctx, 90*time.Second)
	if _, err := chromedp.Call(ctx, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: listen}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cancelTab()
		cancelBrowser()
		stop()
		<-done
		srv.Close()
	})
	return ctx, srv.URL
}

// strict sets the content security policy that the server sets, so that a page that needs more fails here.
func strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "+
			"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

// listen gathers what goes wrong in a page, from before its first script.
const listen = `window.trouble = [];
addEventListener("error", (e) => trouble.push("error: " + e.message));
addEventListener("unhandledrejection", (e) => trouble.push("rejected: " + e.reason));
document.addEventListener("securitypolicyviolation", (e) => trouble.push("policy: " + e.violatedDirective + " " + e.blockedURI));
console.error = (...a) => trouble.push("console: " + a.join(" "));`

// untroubled fails the test when something went wrong in the page.
func untroubled(t *testing.T, ctx context.Context, where string) {
	t.Helper()
	trouble, err := chromedp.Run(ctx, chromedp.Evaluate[[]string]("window.trouble"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range trouble {
		t.Errorf("%s: %s", where, s)
	}
}

// shoot keeps a screenshot of the whole page with the test's artifacts.
func shoot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(t.ArtifactDir(), name+".png"), png, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}
