package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"homeostat/internal/api"
)

// client asks a running loop over its API.
type client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// maxAnswer bounds what the client reads of one answer, in bytes.
const maxAnswer = 256 << 20

// clientFlags are the flags of every command that asks a running loop.
type clientFlags struct {
	server string
	asJSON bool
}

func (f *clientFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.server, "server", "", "the loop's `URL` (else HOMEOSTAT_SERVER, else http://"+api.DefaultListen+"); a token comes from HOMEOSTAT_TOKEN")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print one JSON document")
}

// client returns the client that the flags and the environment ask for.
func (f *clientFlags) client() (*client, error) {
	where := f.server
	if where == "" {
		where = os.Getenv("HOMEOSTAT_SERVER")
	}
	if where == "" {
		where = "http://" + api.DefaultListen
	}
	u, err := url.Parse(where)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, &exitError{2, fmt.Errorf("--server: %q is not a URL such as http://%s", where, api.DefaultListen)}
	}
	return &client{base: u, token: os.Getenv("HOMEOSTAT_TOKEN"), http: &http.Client{Timeout: time.Minute}}, nil
}

// do sends a request and decodes the answer into out, which may be nil. body is sent as JSON unless it is nil.
func (c *client) do(ctx context.Context, method, path string, q url.Values, body, out any) error {
	var sent io.Reader
	if raw, ok := body.([]byte); ok {
		sent = bytes.NewReader(raw)
	} else if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(text)
	}
	u := *c.base
	u.Path, u.RawPath = joinPath(u.Path, path)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), sent)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer res.Body.Close() // what could be read has been
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", u.Redacted(), err)
	}
	if res.StatusCode >= 300 {
		return c.refused(path, res.StatusCode, text)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s does not answer as Homeostat does: %w", c.base.Redacted(), err)
	}
	return nil
}

// joinPath puts an escaped path behind a base's.
func joinPath(base, escaped string) (path, raw string) {
	raw = strings.TrimSuffix(base, "/") + escaped
	path, err := url.PathUnescape(raw)
	if err != nil {
		return raw, raw
	}
	return path, raw
}

// unreachable says in words why nothing answered.
func (c *client) unreachable(err error) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing answers at %s; is the loop running? Start it with 'homeostat run', or name another with --server or HOMEOSTAT_SERVER", c.base.Redacted())
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return fmt.Errorf("%s did not answer in time", c.base.Redacted())
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	return fmt.Errorf("%s can't be reached: %w", c.base.Redacted(), err)
}

// refused turns an answer that isn't a success into an error. What is missing is configuration where it is a token, and a query
// or a body that can't be is what somebody typed.
func (c *client) refused(path string, code int, text []byte) error {
	var p struct {
		Detail string `json:"detail"`
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}
	if json.Unmarshal(text, &p) != nil || p.Detail == "" {
		return fmt.Errorf("%s answers with status %d, not as Homeostat does", c.base.Redacted(), code)
	}
	lines := strings.Split(p.Detail, "\n")
	usage := code == http.StatusUnauthorized
	for i, e := range p.Errors {
		if i == 0 {
			lines = nil // the detail is "validation failed"
		}
		// Flags are called as the API calls what they set.
		_, flag, typed := strings.Cut(e.Location, ".")
		usage = usage || typed
		if typed {
			e.Location = "--" + flag + ":"
		}
		lines = append(lines, strings.TrimSpace(e.Location+" "+e.Message))
	}
	err := errors.New(clean(strings.Join(lines, "; ")) + wayOut(path, code))
	if usage {
		return &exitError{2, err}
	}
	return err
}

// wayOut says where to find the id or the name that the API doesn't know, and how a runbook is given what it lacks.
func wayOut(path string, code int) string {
	if code == http.StatusUnprocessableEntity && strings.HasPrefix(path, "/api/runbooks/") {
		return "; parameters are given by --param NAME=VALUE"
	}
	if code != http.StatusNotFound {
		return ""
	}
	for prefix, way := range map[string]string{
		"/api/why/":        "lists show the ids that there are ('homeostat event list'); what is older than data.keep is forgotten",
		"/api/incidents/":  "'homeostat incident list' shows those that there are",
		"/api/executions/": "'homeostat runbook executions' shows those that there are",
		"/api/runbooks/":   "'homeostat runbook list' shows those that the loop has",
		"/api/anomalies/":  "'homeostat anomaly list' shows those that there are",
		"/api/models/":     "'homeostat model list' shows those that there are",
	} {
		if strings.HasPrefix(path, prefix) {
			return "; " + way
		}
	}
	return ""
}

// list fetches up to limit items of a list, the newest, and returns them oldest first; 0 fetches all.
func list[T any](ctx context.Context, c *client, path string, q url.Values, limit int) ([]T, error) {
	items := []T{}
	q.Set("order", "newest")
	for {
		n := 1000
		if limit > 0 {
			n = min(n, limit-len(items))
		}
		q.Set("limit", strconv.Itoa(n))
		var page struct {
			Items []T    `json:"items"`
			Next  string `json:"next"`
		}
		if err := c.do(ctx, http.MethodGet, path, q, nil, &page); err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if page.Next == "" || limit > 0 && len(items) >= limit {
			break
		}
		q.Set("after", page.Next)
	}
	slices.Reverse(items)
	return items, nil
}

// listOut is what a list prints with --json.
type listOut[T any] struct {
	Items []T `json:"items"`
}

// escape writes a text as one segment of a path.
func escape(s string) string { return url.PathEscape(s) }
