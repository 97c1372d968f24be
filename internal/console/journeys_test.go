package console

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"homeostat/internal/signal"
)

// steps runs actions in the browser.
func steps(t *testing.T, ctx context.Context, what string, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, actions...); err != nil {
		untroubled(t, ctx, what)
		t.Fatalf("%s: %v", what, err)
	}
}

// until waits for a condition in the page.
func until(t *testing.T, ctx context.Context, what, condition string) {
	t.Helper()
	wctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if _, err := chromedp.Run(wctx, chromedp.Poll[bool](condition)); err != nil {
		shoot(t, ctx, "stuck")
		untroubled(t, ctx, what)
		t.Fatalf("%s: not so: %s: %v", what, condition, err)
	}
}

// in returns the condition that an element's text contains words.
func in(selector, words string) string {
	return fmt.Sprintf(`document.querySelector(%q)?.textContent.includes(%q) ?? false`, selector, words)
}

// TestJourneyApprove: a person sees what needs them, approves it, and sees it go on, without loading a page again.
func TestJourneyApprove(t *testing.T) {
	w := troubledWorld(time.Now())
	ctx, address := browse(t, w, somebody)
	steps(t, ctx, "open", chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS(".go")))
	until(t, ctx, "live", in("#live", "live"))
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("(window.same = true)")); err != nil {
		t.Fatal(err)
	}
	shoot(t, ctx, "before")
	steps(t, ctx, "approve", chromedp.Click(chromedp.CSS(".go")))
	until(t, ctx, "told", in("#notice", "Approved. It goes on."))
	until(t, ctx, "gone on", in("#part_now", "runs at step end"))
	until(t, ctx, "said", in("#part_verdict", "It is being seen to: 1 execution in progress."))
	until(t, ctx, "the same page", "window.same === true")
	shoot(t, ctx, "after")
	untroubled(t, ctx, "approve")
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.did) != 1 || !strings.HasPrefix(w.did[0], "approve "+w.executions[1].ID+" by local") {
		t.Errorf("did %v", w.did)
	}
}

// TestJourneyTroubleArrives: the quiet page changes by itself when something goes wrong.
func TestJourneyTroubleArrives(t *testing.T) {
	w := quietWorld(time.Now())
	ctx, address := browse(t, w, somebody)
	steps(t, ctx, "open", chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS("main h1")))
	until(t, ctx, "quiet", in("#part_verdict", "Nothing is wrong."))
	until(t, ctx, "live", in("#live", "live"))
	shoot(t, ctx, "quiet")
	later := troubledWorld(time.Now())
	w.mu.Lock()
	w.incidents, w.executions = later.incidents, later.executions
	w.mu.Unlock()
	w.publish(later.events[0])
	until(t, ctx, "trouble", in("#part_verdict", "1 thing is wrong."))
	until(t, ctx, "trouble", in("#part_lately", "Anomaly Detected"))
	until(t, ctx, "needed", in("#part_now", "End process 4242"))
	untroubled(t, ctx, "trouble")
}

// TestJourneyEntity: from the overview to a host's charts, another span, a look at one moment.
func TestJourneyEntity(t *testing.T) {
	ctx, address := browse(t, troubledWorld(time.Now()), somebody)
	steps(t, ctx, "open", chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS(".entity h3 a")), chromedp.Click(chromedp.CSS(".entity h3 a")), chromedp.WaitVisible(chromedp.CSS(".chart canvas")))
	until(t, ctx, "charts", `document.querySelectorAll(".chart canvas").length === 5`)
	until(t, ctx, "figures", in(".chart.outside .chart-value", "97 %"))
	until(t, ctx, "bands", in(".chart .chart-note", "expected 13 % to 2"))
	steps(t, ctx, "another span", chromedp.Click(chromedp.CSS(`.choices a[href$="range=24h"]`)), chromedp.WaitVisible(chromedp.CSS(".chart canvas")))
	until(t, ctx, "another span", `document.querySelector('.choices a[aria-current]').textContent === "24h" && document.querySelectorAll(".chart canvas").length === 5`)
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(() => { const o = document.querySelector(".chart .u-over"), b = o.getBoundingClientRect();
		o.dispatchEvent(new MouseEvent("mousemove", {clientX: b.left + b.width / 3, clientY: b.top + 20, bubbles: true})); return true })()`)); err != nil {
		t.Fatal(err)
	}
	until(t, ctx, "one moment", `/\d\d:\d\d:\d\d · expected/.test(document.querySelector(".chart .chart-note").textContent)`)
	untroubled(t, ctx, "entity")
}

// TestJourneyKeyboard: everything can be reached and done without a mouse, and one sees where one is.
func TestJourneyKeyboard(t *testing.T) {
	w := troubledWorld(time.Now())
	ctx, address := browse(t, w, somebody)
	steps(t, ctx, "open", chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS("main h1")))
	until(t, ctx, "live", in("#live", "live"))
	steps(t, ctx, "first", chromedp.KeyEvent("\t"))
	until(t, ctx, "the skip link is first", `document.activeElement.className === "skip" && document.activeElement.getBoundingClientRect().left >= 0`)
	steps(t, ctx, "skip", chromedp.KeyEvent("\r"))
	until(t, ctx, "skipped", `location.hash === "#main"`)
	found := false
	for range 12 {
		steps(t, ctx, "on", chromedp.KeyEvent("\t"))
		at, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.activeElement.id + "|" + getComputedStyle(document.activeElement).outlineStyle`))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(at, "|solid") {
			t.Errorf("one doesn't see where one is: %s", at)
		}
		if strings.HasPrefix(at, "approve-") {
			found = true
			break
		}
	}
	if !found {
		t.Fatal("the approve button was not reached")
	}
	steps(t, ctx, "press", chromedp.KeyEvent("\r"))
	until(t, ctx, "pressed", in("#notice", "Approved."))
	untroubled(t, ctx, "keyboard")
}

// TestJourneyEvents: older events are added below, and the list is narrowed down.
func TestJourneyEvents(t *testing.T) {
	now := time.Now()
	w := troubledWorld(now)
	for i := range 120 {
		w.events = append(w.events, must(signal.NewEvent("history", signal.AlertResolved, fmt.Sprint("al-", i), now.Add(time.Duration(i-200)*time.Second), signal.Alert{Head: signal.Head{ID: fmt.Sprint("al-", i), Entity: "host:db-1"}, Reason: fmt.Sprint("alert ", i)})))
	}
	ctx, address := browse(t, w, somebody)
	steps(t, ctx, "open", chromedp.Navigate(address+"/events"), chromedp.WaitVisible(chromedp.CSS(".older a")))
	// A link that htmx has not met yet leads to a page of its own.
	const met = ` && "htmx-internal-data" in document.querySelector(".older a")`
	until(t, ctx, "the newest", `document.querySelectorAll(".row").length === 50`+met)
	steps(t, ctx, "older", chromedp.Click(chromedp.CSS(".older a")))
	until(t, ctx, "100", `document.querySelectorAll(".row").length === 100`+met)
	steps(t, ctx, "older still", chromedp.Click(chromedp.CSS(".older a")))
	until(t, ctx, "all", `document.querySelectorAll(".row").length === 127 && !document.querySelector(".older")`)
	steps(t, ctx, "narrow", chromedp.Navigate(address+"/events?type="+strings.ReplaceAll(signal.AlertFiring, " ", "+")), chromedp.WaitVisible(chromedp.CSS(".row")))
	until(t, ctx, "narrowed", `document.querySelectorAll(".row").length === 1 && document.getElementById("type").value === "Alert Firing"`)
	steps(t, ctx, "look", chromedp.Click(chromedp.CSS(".row a")), chromedp.WaitVisible(chromedp.CSS("pre")))
	until(t, ctx, "an event", in("main h1", "Alert Firing"))
	untroubled(t, ctx, "events")
}

// TestJourneyWithoutScripts: a browser that runs none can still see and decide.
func TestJourneyWithoutScripts(t *testing.T) {
	w := troubledWorld(time.Now())
	ctx, address := browse(t, w, somebody)
	if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	steps(t, ctx, "decide", chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS(".go")), chromedp.Click(chromedp.CSS(".go")), chromedp.WaitVisible(chromedp.CSS("#now-needs + .empty")))
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.did) != 1 || !strings.HasPrefix(w.did[0], "approve ") {
		t.Errorf("did %v", w.did)
	}
}

// TestJourneyMute: a person reads why access is unusual, mutes it with a word why, and stays where they were.
func TestJourneyMute(t *testing.T) {
	w := stolenWorld(time.Now())
	id := w.incidents[0].Members[0].ID
	ctx, address := browse(t, w, somebody)
	steps(t, ctx, "open", chromedp.Navigate(address+"/incidents/"+w.incidents[0].ID), chromedp.WaitVisible(chromedp.CSS("#mute-"+id)))
	until(t, ctx, "live", in("#live", "live"))
	steps(t, ctx, "mute", chromedp.SendKeys(chromedp.CSS("#note-"+id), "a contractor"), chromedp.Click(chromedp.CSS("#mute-"+id)))
	until(t, ctx, "told", in("#notice", "Muted. The same again is not told."))
	untroubled(t, ctx, "mute")
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.did) != 1 || w.did[0] != "mute "+id+" by local: a contractor" {
		t.Errorf("did %v", w.did)
	}
}
