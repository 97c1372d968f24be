// Package sagemakertest calls served models as their users do: with AWS's own client.
package sagemakertest

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"homeostat/internal/sagemaker"
)

// Serve serves the model of a job's root until the test ends. env stands for the environment of the container.
func Serve(t *testing.T, root string, a sagemaker.Algorithm, env map[string]string) *httptest.Server {
	t.Helper()
	p, name, err := sagemaker.Load(os.DirFS(filepath.Join(root, "model")), []sagemaker.Algorithm{a}, "")
	if err != nil || name != a.Name {
		t.Fatalf("%q, %v", name, err)
	}
	s, err := sagemaker.NewServer(p, func(name string) string { return env[name] }, nil)
	if err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(s)
	t.Cleanup(hs.Close)
	return hs
}

// SDK runs testdata/invoke.py, which calls url with boto3's sagemaker-runtime client, and returns what it printed. `make test`
// sees to it that there is a boto3 (deploy/test-needs.sh).
func SDK(t *testing.T, url string) string {
	t.Helper()
	python, err := filepath.Abs(filepath.Join("..", "..", "..", ".venv", "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.CommandContext(t.Context(), python, "-c", "import boto3").Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("CI has no .venv with boto3: deploy/test-needs.sh should have made one")
		}
		t.Skip("no .venv with boto3 is here: `make test` makes one")
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "invoke.py"), url)
	// Nothing of this machine's configuration: the client is pointed at the server alone.
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH="+filepath.Join("..", "sagemakertest", "testdata"),
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_CONFIG_FILE=/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true", "NO_PROXY=127.0.0.1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
