package rcf_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// python returns an interpreter that has boto3. `make test` sees to it that there is one (deploy/test-needs.sh).
func python(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "..", ".venv", "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.CommandContext(t.Context(), path, "-c", "import boto3").Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("CI has no .venv with boto3: deploy/test-needs.sh should have made one")
		}
		t.Skip("no .venv with boto3 is here: `make test` makes one")
	}
	return path
}

// TestSDKCalls has AWS's own client call: what it asks, and what it makes of the answers, is not ours to imagine.
func TestSDKCalls(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), python(t), filepath.Join("testdata", "invoke.py"), serve(t, model(t), nil).URL)
	// Nothing of this machine's configuration: the client is pointed at the server alone.
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_CONFIG_FILE=/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true", "NO_PROXY=127.0.0.1")
	cmd.Stderr = os.Stderr
	got, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := `text/csv: application/json, 2 scores, strange last: True, variant AllTraffic
application/json: application/json, 2 scores, strange last: True, variant AllTraffic
application/jsonlines: application/json, 2 scores, strange last: True, variant AllTraffic
as lines: application/jsonlines, 2 lines
text/plain: ModelError 424, original 415: content type "text/plain" is not supported
no such accept: ModelError 424, original 406: accept "text/csv" is not supported
bad row: ModelError 424, original 400: line 2: 1 fields
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}
