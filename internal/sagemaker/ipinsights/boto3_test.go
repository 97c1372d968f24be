package ipinsights_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/sagemaker/ipinsights"
	"homeostat/internal/sagemaker/sagemakertest"
)

// TestSDKCalls has AWS's own client call a model that was trained here.
func TestSDKCalls(t *testing.T) {
	root, _, err := trained(t, small, pairs())
	if err != nil {
		t.Fatal(err)
	}
	want := `text/csv: application/json, 2 predictions, her own address fits better: True, variant AllTraffic
application/json: application/json, 2 predictions, her own address fits better: True, variant AllTraffic
application/jsonlines: application/json, 2 predictions, her own address fits better: True, variant AllTraffic
verbose: ['dot_product', 'entity_embedding', 'ip_embedding'], 8 and 8
as lines: application/jsonlines, 2 lines
text/plain: ModelError 424, original 415: content type "text/plain" is not supported
no address: ModelError 424, original 400: line 2: ParseAddr("here"): unable to parse IP
one column: ModelError 424, original 400: line 1: want two columns: an entity and an address
`
	if diff := cmp.Diff(want, sagemakertest.SDK(t, sagemakertest.Serve(t, root, ipinsights.Algorithm(), nil).URL)); diff != "" {
		t.Error(diff)
	}
}
