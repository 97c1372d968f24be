package ipinsights_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"homeostat/internal/sagemaker"
	"homeostat/internal/sagemaker/ipinsights"
)

func algorithms() []sagemaker.Algorithm { return []sagemaker.Algorithm{ipinsights.Algorithm()} }

// trained runs a job on text and returns the folder that stands for /opt/ml, and what was printed.
func trained(t *testing.T, hyperparameters, text string) (root, out string, err error) {
	t.Helper()
	root = t.TempDir()
	for name, text := range map[string]string{
		"input/config/hyperparameters.json":    hyperparameters,
		"input/config/inputdataconfig.json":    `{"train":{"ContentType":"text/csv"},"validation":{"ContentType":"text/csv"}}`,
		"input/config/resourceconfig.json":     `{"current_host":"algo-1","hosts":["algo-1"]}`,
		"input/data/train/part-0.csv":          text,
		"input/data/validation/validation.csv": text,
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var metrics bytes.Buffer
	err = sagemaker.Train(t.Context(), sagemaker.TrainConfig{Root: root, Algorithms: algorithms(), Metrics: &metrics}, nil)
	return root, metrics.String(), err
}

func pairs() string {
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "ana,198.51.100.%d\nbob,203.0.113.%d\n\"eve, too\",2001:db8::%x\n", i, i, i)
	}
	return b.String()
}

const small = `{"num_entity_vectors":"100","vector_dim":"8","epochs":"30","mini_batch_size":"100","learning_rate":"0.01","batch_metrics_publish_interval":"10"}`

func TestTrainsAndServesAsSageMakerDoes(t *testing.T) {
	root, out, err := trained(t, small, pairs())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out, "validation:discriminator_auc"); n != 30 {
		t.Errorf("%d lines of the metric in\n%s", n, out)
	}
	p, name, err := sagemaker.Load(os.DirFS(filepath.Join(root, "model")), algorithms(), "")
	if err != nil || name != "ipinsights" {
		t.Fatal(name, err)
	}
	handler, err := sagemaker.NewServer(p, func(string) string { return "" }, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	type prediction struct {
		Dot    float64   `json:"dot_product"`
		Entity []float64 `json:"entity_embedding"`
		IP     []float64 `json:"ip_embedding"`
	}
	call := func(kind, accept, body string) (int, string) {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/invocations", strings.NewReader(body))
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	var first string
	for _, r := range []struct{ kind, body string }{
		{"text/csv", "ana,198.51.100.7\nana, 203.0.113.7\n"},
		{"application/json", `{"instances":[{"features":["ana","198.51.100.7"]},{"data":{"features":{"values":["ana","203.0.113.7"]}}}]}`},
		{"application/jsonlines", "{\"features\":[\"ana\",\"198.51.100.7\"]}\n{\"features\":[\"ana\",\"203.0.113.7\"]}\n"},
	} {
		status, text := call(r.kind, "application/json", r.body)
		var got struct{ Predictions []prediction }
		if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 || len(got.Predictions) != 2 {
			t.Fatalf("%s: %d %s", r.kind, status, text)
		}
		if got.Predictions[0].Dot <= got.Predictions[1].Dot {
			t.Errorf("%s: her own address is not more usual: %s", r.kind, text)
		}
		if first == "" {
			first = text
		}
		if text != first {
			t.Errorf("%s answers %s, not %s", r.kind, text, first)
		}
	}
	_, text := call("text/csv", "application/json;verbose=True", "ana,198.51.100.7\n")
	var got struct{ Predictions []prediction }
	if err := json.Unmarshal([]byte(text), &got); err != nil || len(got.Predictions) != 1 || len(got.Predictions[0].Entity) != 8 || len(got.Predictions[0].IP) != 8 {
		t.Errorf("verbose: %s", text)
	}
	if _, text := call("text/csv", "application/jsonlines", "ana,198.51.100.7\nbob,2001:db8::1\n"); strings.Count(text, "\n") != 2 || !strings.HasPrefix(text, `{"dot_product":`) {
		t.Errorf("lines: %q", text)
	}
	for _, r := range []struct {
		kind, body string
		status     int
	}{
		{"text/csv", "ana,here\n", 400},
		{"text/csv", "ana\n", 400},
		{"text/csv", "", 400},
		{"application/json", `{"instances":[{"features":["ana",7]}]}`, 400},
		{"application/x-recordio-protobuf", "x", 415},
	} {
		if status, text := call(r.kind, "", r.body); status != r.status {
			t.Errorf("%s %s: %d %s, want %d", r.kind, r.body, status, text, r.status)
		}
	}
}

func TestTrainSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct{ hyperparameters, text, want string }{
		{`{"num_entity_vectors":"0"}`, "", "hyperparameter vector_dim: is required"},
		{small, "", "channel train: no rows"},
		{small, "ana,198.51.100.7\nana,nowhere\n", "line 2: "},
		{small, "ana\n", "line 1: want two columns"},
	} {
		if _, _, err := trained(t, tt.hyperparameters, tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %q: %v, want %s", tt.hyperparameters, tt.text, err, tt.want)
		}
	}
}
