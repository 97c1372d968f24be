package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	maxStreams = 64                     // browsers that look at once; the next gets 503 and tries again
	tick       = 5 * time.Second        // how often figures are looked at again
	gather     = 250 * time.Millisecond // events that come together make one look
	beat       = 15 * time.Second       // a comment when nothing was sent, so that proxies keep the stream
	drawLimit  = 20 * time.Second
	writeLimit = 10 * time.Second // a browser that takes longer to read is let go
)

// hub wakes the open streams. It carries no data: each stream draws its own page's parts, with its own role.
type hub struct {
	mu      sync.Mutex
	streams map[chan struct{}]struct{}
	stopped bool

	open    prometheus.Gauge
	refused prometheus.Counter
}

func newHub(reg prometheus.Registerer) *hub {
	h := &hub{
		streams: map[chan struct{}]struct{}{},
		open:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "homeostat_console_streams", Help: "Pages that are open and live."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "homeostat_console_streams_refused_total", Help: "Pages that could not be live, as too many are."}),
	}
	if reg != nil {
		reg.MustRegister(h.open, h.refused)
	}
	return h
}

// join returns a channel that says when to look again, closed when the console stops; false when there are too many.
func (h *hub) join() (chan struct{}, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped || len(h.streams) >= maxStreams {
		h.refused.Inc()
		return nil, false
	}
	c := make(chan struct{}, 1) // one wish to look is as good as many
	h.streams[c] = struct{}{}
	h.open.Set(float64(len(h.streams)))
	return c, true
}

func (h *hub) leave(c chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, c)
	h.open.Set(float64(len(h.streams)))
}

func (h *hub) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.streams {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (h *hub) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	for c := range h.streams {
		close(c)
	}
	clear(h.streams)
}

// Run keeps open pages live until ctx ends: it has them look again after each event and every five seconds. Then it ends their
// streams. It returns nil.
func (c *Console) Run(ctx context.Context) error {
	defer c.live.stop()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	if c.loop.Feed == nil {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
				c.live.wake()
			}
		}
	}
	feed, cancel := c.loop.Feed.Subscribe()
	defer cancel()
	var soon <-chan time.Time // set while events are gathered
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			c.live.wake()
		case _, ok := <-feed:
			if !ok {
				feed = nil // the bus has stopped; figures go on
			} else if soon == nil {
				soon = time.After(gather)
			}
		case <-soon:
			soon = nil
			c.live.wake()
		}
	}
}

// partMessage is a part as it is sent.
type partMessage struct {
	ID   string `json:"id"`
	Mark string `json:"mark"`
	HTML string `json:"html"`
}

// stream sends the parts of a page whenever their text has changed. The first time it sends all of them, of which the script
// takes those that differ from what it shows: the page may have been drawn a while ago.
func (c *Console) stream(w http.ResponseWriter, r *http.Request, p page) {
	look, ok := c.live.join()
	if !ok {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	defer c.live.leave(look)
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // the server's limits are for requests that end; a test's recorder has none
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy that gathers would make it late
	send := func(event string, data any) bool {
		_ = rc.SetWriteDeadline(time.Now().Add(writeLimit))
		if event == "" {
			if _, err := fmt.Fprint(w, ": beat\n\n"); err != nil {
				return false
			}
			return rc.Flush() == nil
		}
		text, err := json.Marshal(data) // one line, whatever the HTML holds
		if err != nil {
			return false
		}
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, text); err != nil {
			return false
		}
		return rc.Flush() == nil
	}

	marks := map[string]string{}
	heart := time.NewTimer(beat)
	defer heart.Stop()
	for first := true; ; first = false {
		if !c.sendParts(r, p, marks, send) {
			return
		}
		if first {
			_, _ = fmt.Fprint(w, "retry: 3000\n\n")
		}
		// The script draws charts again at each look, so that they move with the figures.
		if !send("tick", struct{}{}) {
			return
		}
		heart.Reset(beat)
	wait:
		for {
			select {
			case <-r.Context().Done():
				return
			case _, ok := <-look:
				if !ok {
					return
				}
				break wait
			case <-heart.C:
				if !send("", nil) {
					return
				}
				heart.Reset(beat)
			}
		}
	}
}

// sendParts draws the page's parts and sends those whose text is new; false when the stream is over. A page that can't be drawn
// for once is left as it is.
func (c *Console) sendParts(r *http.Request, p page, marks map[string]string, send func(string, any) bool) bool {
	ctx, cancel := context.WithTimeout(r.Context(), drawLimit)
	defer cancel()
	v, err := p.view(ctx, r)
	if err != nil {
		c.log.DebugContext(ctx, "live page not drawn", "source", "console", "err", err)
		return r.Context().Err() == nil
	}
	l := c.layout(ctx, r, v)
	for _, name := range append([]string{"part_switch"}, p.parts...) {
		var view any = v
		if name == "part_switch" {
			view = l
		}
		text, mark, err := drawPart(c.pages[p.file], name, view)
		if err != nil {
			c.log.ErrorContext(ctx, "part not drawn", "source", "console", "err", err)
			return false
		}
		if marks[name] == mark {
			continue
		}
		marks[name] = mark
		if !send("part", partMessage{name, mark, text}) {
			return false
		}
	}
	return true
}
