package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"homeostat/internal/signal"
)

// querier asks the Prometheus API, within the process: the same door as Grafana's, so that what the console shows is what
// anybody can ask for.
type querier struct{ h http.Handler }

// line is one series of an answer.
type line struct {
	Labels signal.Labels
	Times  []int64 // Unix milliseconds
	Values []float64
}

// last returns the last value, NaN when there is none.
func (l line) last() float64 {
	if len(l.Values) == 0 {
		return math.NaN()
	}
	return l.Values[len(l.Values)-1]
}

// queryRange evaluates a PromQL expression from from to to, both inclusive, every step. Without history it returns nothing.
func (q querier) queryRange(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]line, error) {
	if q.h == nil {
		return nil, nil
	}
	form := url.Values{
		"query": {expr}, "start": {unix(from)}, "end": {unix(to)},
		"step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/query_range?"+form.Encode(), nil)
	if err != nil {
		return nil, err
	}
	var w answer
	q.h.ServeHTTP(&w, r)
	var out struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   struct {
			Result []struct {
				Metric map[string]string    `json:"metric"`
				Values [][2]json.RawMessage `json:"values"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(w.body.Bytes(), &out); err != nil {
		return nil, fmt.Errorf("query %s: status %d: %w", expr, w.code, err)
	}
	if out.Status != "success" {
		return nil, fmt.Errorf("query %s: %s", expr, out.Error)
	}
	lines := make([]line, 0, len(out.Data.Result))
	for _, res := range out.Data.Result {
		l := line{Labels: signal.MakeLabels(res.Metric)}
		for _, v := range res.Values {
			t, err1 := strconv.ParseFloat(string(v[0]), 64)
			s, err2 := strconv.Unquote(string(v[1]))
			x, err3 := strconv.ParseFloat(s, 64)
			if err1 != nil || err2 != nil || err3 != nil {
				return nil, fmt.Errorf("query %s: sample %s is not one", expr, v)
			}
			l.Times = append(l.Times, int64(math.Round(t*1000)))
			l.Values = append(l.Values, x)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func unix(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// answer is a response in memory.
type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

func (a *answer) WriteHeader(code int) { a.code = code }

func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
