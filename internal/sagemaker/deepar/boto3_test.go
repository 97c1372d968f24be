package deepar_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/sagemaker/deepar"
	"homeostat/internal/sagemaker/sagemakertest"
)

// TestSDKCalls has AWS's own client call a model that was trained here.
func TestSDKCalls(t *testing.T) {
	root, _, err := trained(t, hyperparameters, "part.json", lines(t, records(120, 0)))
	if err != nil {
		t.Fatal(err)
	}
	want := `application/json: application/json, 2 predictions, 6 steps, 20 samples, quantiles ['0.1', '0.9'], in order True, variant AllTraffic
the same again: True
as configured: ['mean', 'quantiles'], 9 quantiles
application/jsonlines: application/jsonlines, 3 lines
text/csv: ModelError 424, original 415: content type "text/csv" is not supported
category: ModelError 424, original 400: instance 1: series doesn't fit: cat[0]: 9, the model was trained with 0 to 1
feature: ModelError 424, original 400: instance 1: series doesn't fit: dynamic_feat[0]: 65 values, want 66
huge: ModelError 424, original 400: instance 1: target[1]: 1e+300 is beyond 1e+30
`
	if diff := cmp.Diff(want, sagemakertest.SDK(t, sagemakertest.Serve(t, root, deepar.Algorithm(), nil).URL)); diff != "" {
		t.Error(diff)
	}
}
