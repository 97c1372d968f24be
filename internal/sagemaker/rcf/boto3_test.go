package rcf_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/sagemaker/sagemakertest"
)

// TestSDKCalls has AWS's own client call: what it asks, and what it makes of the answers, is not ours to imagine.
func TestSDKCalls(t *testing.T) {
	got := sagemakertest.SDK(t, serve(t, model(t), nil).URL)
	want := `text/csv: application/json, 2 scores, strange last: True, variant AllTraffic
application/json: application/json, 2 scores, strange last: True, variant AllTraffic
application/jsonlines: application/json, 2 scores, strange last: True, variant AllTraffic
as lines: application/jsonlines, 2 lines
text/plain: ModelError 424, original 415: content type "text/plain" is not supported
no such accept: ModelError 424, original 406: accept "text/csv" is not supported
bad row: ModelError 424, original 400: line 2: 1 fields
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
