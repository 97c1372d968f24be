package deepar_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"homeostat/internal/sagemaker"
	"homeostat/internal/sagemaker/deepar"
)

func algorithms() []sagemaker.Algorithm { return []sagemaker.Algorithm{deepar.Algorithm()} }

// record is a row of Parquet and a line of JSON.
type record struct {
	Start   string      `parquet:"start" json:"start"`
	Target  []*float64  `parquet:"target,list" parquet-element:",optional" json:"target"`
	Cat     []int64     `parquet:"cat,list" json:"cat"`
	Dynamic [][]float64 `parquet:"dynamic_feat,list" parquet-element:",list" json:"dynamic_feat"`
}

// records are three series with a category and a dynamic feature each; longer by ahead steps of the feature.
func records(n, ahead int) []record {
	out := make([]record, 3)
	for i := range out {
		out[i] = record{Start: "2026-03-02 00:00:00", Cat: []int64{int64(i % 2)}, Dynamic: [][]float64{{}}}
		for t := range n + ahead {
			if t < n {
				v := float64(i+1) * (10 + 5*math.Sin(float64(t)*math.Pi/12))
				out[i].Target = append(out[i].Target, &v)
			}
			out[i].Dynamic[0] = append(out[i].Dynamic[0], float64(t%24))
		}
		out[i].Target[7] = nil
	}
	return out
}

func lines(t *testing.T, records []record) string {
	t.Helper()
	var b strings.Builder
	for _, r := range records {
		if err := json.NewEncoder(&b).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// zipped is text, compressed.
func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func parquetOf(t *testing.T, records []record) string {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[record](&b, parquet.Compression(&parquet.Snappy))
	if _, err := w.Write(records); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const hyperparameters = `{"time_freq":"H","prediction_length":"6","context_length":"12","epochs":"1","num_cells":"8","mini_batch_size":"8",
	"num_eval_samples":"10","test_quantiles":"[0.1, 0.5, 0.9]","learning_rate":"0.01"}`

// trained runs a job whose channel train is a file of that name and text. It returns the folder that stands for /opt/ml and what was
// printed.
func trained(t *testing.T, hyperparameters, name, text string) (root, out string, err error) {
	t.Helper()
	root = t.TempDir()
	for name, text := range map[string]string{
		"input/config/hyperparameters.json": hyperparameters,
		"input/data/train/" + name:          text,
		"input/data/test/test.json":         lines(t, records(100, 0)),
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

// The three forms of a channel are one: the same records make the same model.
func TestTrainsFromEveryFormat(t *testing.T) {
	text := lines(t, records(120, 0))
	var first []byte
	for _, tt := range []struct{ name, text string }{
		{"part.json", text},
		{"part.json.gz", zipped(t, text)},
		{"part.parquet", parquetOf(t, records(120, 0))},
	} {
		root, out, err := trained(t, hyperparameters, tt.name, tt.text)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		for _, metric := range []string{"train:final_loss=", "test:RMSE=", "test:mean_wQuantileLoss=", "train final_loss <loss>="} {
			if !strings.Contains(out, metric) {
				t.Errorf("%s: no %s in\n%s", tt.name, metric, out)
			}
		}
		b, err := os.ReadFile(filepath.Join(root, "model", "model.deepar"))
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b
		}
		if !bytes.Equal(first, b) {
			t.Errorf("%s makes another model", tt.name)
		}
	}
}

// served trains and returns a server's call: status and body.
func served(t *testing.T) func(kind, accept, body string) (int, string) {
	t.Helper()
	root, _, err := trained(t, hyperparameters, "part.json", lines(t, records(120, 0)))
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := sagemaker.Load(os.DirFS(filepath.Join(root, "model")), algorithms(), "")
	if err != nil {
		t.Fatal(err)
	}
	handler, err := sagemaker.NewServer(p, func(string) string { return "" }, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return func(kind, accept, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/invocations", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
}

type prediction struct {
	Mean      []float64
	Quantiles map[string][]float64
	Samples   [][]float64
}

func TestServesAsSageMakerDoes(t *testing.T) {
	call := served(t)
	instances := strings.Split(strings.TrimSpace(lines(t, records(60, 6))), "\n")
	body := func(configuration string) string {
		return fmt.Sprintf(`{"instances":[%s]%s}`, strings.Join(instances, ","), configuration)
	}
	status, text := call("application/json", "", body(`,"configuration":{"num_samples":7,"output_types":["mean","quantiles","samples"],"quantiles":["0.5","0.90"]}`))
	var got struct{ Predictions []prediction }
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 || len(got.Predictions) != 3 {
		t.Fatalf("%d %s", status, text)
	}
	p := got.Predictions[1]
	if len(p.Mean) != 6 || len(p.Samples) != 7 || len(p.Samples[0]) != 6 || len(p.Quantiles) != 2 || len(p.Quantiles["0.90"]) != 6 {
		t.Errorf("prediction %+v", p)
	}
	status, text = call("application/json", "", body(""))
	got.Predictions = nil
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if p := got.Predictions[0]; len(p.Mean) != 6 || len(p.Quantiles) != 9 || p.Samples != nil {
		t.Errorf("without a configuration: %+v", p)
	}
	status, text = call("application/jsonlines", "", strings.Join(instances, "\n"))
	if status != 200 || strings.Count(text, "\n") != 3 || !strings.HasPrefix(text, `{"quantiles":{"0.1":[`) {
		t.Errorf("lines: %d %.200s", status, text)
	}
}

func TestBatchTakesItsConfigurationFromTheEnvironment(t *testing.T) {
	t.Setenv("DEEPAR_INFERENCE_CONFIG", `{"num_samples":3,"output_types":["samples"]}`)
	call := served(t)
	instance := strings.TrimSpace(lines(t, records(60, 6)[:1]))
	status, text := call("application/jsonlines", "application/jsonlines", instance)
	var got prediction
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 || len(got.Samples) != 3 || got.Mean != nil {
		t.Errorf("%d %s", status, text)
	}
	t.Setenv("DEEPAR_INFERENCE_CONFIG", `{"num_sample":3}`)
	root, _, err := trained(t, hyperparameters, "part.json", lines(t, records(120, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := sagemaker.Load(os.DirFS(filepath.Join(root, "model")), algorithms(), ""); err == nil || !strings.Contains(err.Error(), `DEEPAR_INFERENCE_CONFIG: json: unknown field "num_sample"`) {
		t.Errorf("a misspelt configuration: %v", err)
	}
}

func TestRefusesBadRequests(t *testing.T) {
	call := served(t)
	const good = `"start":"2026-03-02 00:00:00","target":[1,2,3],"cat":[0],"dynamic_feat":[[1,2,3,4,5,6,7,8,9]]`
	for _, tt := range []struct{ body, want string }{
		{`{"instances":[]}`, "no instances"},
		{`{"instances":[{` + good + `},{"target":[1]}]}`, "instance 2: start: missing"},
		{`{"instances":[{"start":"2026-03-02","target":[1,2,3],"cat":[5],"dynamic_feat":[[1,2,3,4,5,6,7,8,9]]}]}`, "cat[0]: 5, the model was trained with 0 to 1"},
		{`{"instances":[{"start":"2026-03-02","target":[1,2,3],"dynamic_feat":[[1,2,3,4,5,6,7,8,9]]}]}`, "cat: 0 categories, the model was trained with 1"},
		{`{"instances":[{"start":"2026-03-02","target":[1,2,3],"cat":[0],"dynamic_feat":[[1,2,3]]}]}`, "dynamic_feat[0]: 3 values, want 9"},
		{`{"instances":[{"start":"2026-03-02","target":[1e300],"cat":[0],"dynamic_feat":[[1,2,3,4,5,6,7]]}]}`, "target[0]: 1e+300 is beyond"},
		{`{"instances":[{` + good + `}],"configuration":{"num_samples":0}}`, "num_samples: 0"},
		{`{"instances":[{` + good + `}],"configuration":{"quantiles":["2"]}}`, `quantiles: "2"`},
		{`{"instances":[{` + good + `}],"configuration":{"output_types":["median"]}}`, `output_types: "median"`},
		{`{"instances":[{` + good + `}],"config":{}}`, "unknown field"},
		{`[`, "unexpected EOF"},
	} {
		if status, text := call("application/json", "", tt.body); status != 400 || !strings.Contains(text, tt.want) {
			t.Errorf("%s: %d %s, want %q", tt.body, status, text, tt.want)
		}
	}
	if status, _ := call("text/csv", "", "1,2"); status != 415 {
		t.Errorf("CSV: %d", status)
	}
}

func TestTrainSaysWhatIsWrong(t *testing.T) {
	good := lines(t, records(120, 0))
	with := func(more string) string { return strings.TrimSuffix(hyperparameters, "}") + more + "}" }
	short := records(120, 0)
	short[2].Dynamic[0] = short[2].Dynamic[0][:100]
	for _, tt := range []struct{ hyperparameters, name, text, want string }{
		{`{"prediction_length":"6"}`, "a.json", good, "hyperparameter time_freq: is required"},
		{with(`,"likelihood":"cauchy"`), "a.json", good, "likelihood"},
		{with(`,"cardinality":"[1]"`), "a.json", good, "train/a.json: line 2: cat[0]: 1, where cardinality allows 0 to 0"},
		{with(`,"cardinality":"two"`), "a.json", good, `cardinality: "two"`},
		{with(`,"num_dynamic_feat":"2"`), "a.json", good, "dynamic_feat: 1 features, where num_dynamic_feat is 2"},
		{with(`,"time_freq":"fortnight"`), "a.json", good, "fortnight"},
		{with(`,"likelihood":"beta"`), "a.json", good, "isn't from 0 to 1"},
		{hyperparameters, "a.json", good + "{\n", "train/a.json: line 4: unexpected end"},
		{hyperparameters, "a.txt", good, "want .json, .json.gz or .parquet"},
		{hyperparameters, "a.json", lines(t, short), "train/a.json: line 3: dynamic_feat[0]: 100 values, want 120"},
		{hyperparameters, "a.json", lines(t, records(30, 0)), "90 observations in all"[3:]},
		{hyperparameters, "a.parquet", parquetOf(t, short), "train/a.parquet: row 3: dynamic_feat[0]: 100 values, want 120"},
		{hyperparameters, "a.parquet", parquetOf(t, short)[:900], "damaged Parquet file"},
	} {
		if _, _, err := trained(t, tt.hyperparameters, tt.name, tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func FuzzParquet(f *testing.F) {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[record](&b)
	if _, err := w.Write([]record{{Start: "2026-03-02", Target: []*float64{new(1.0), nil}, Cat: []int64{0}, Dynamic: [][]float64{{1, 2}}}}); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("PAR1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		_, _, err := trained(t, hyperparameters, "a.parquet", string(b))
		if err == nil {
			t.Fatal("took 300 observations from so little")
		}
	})
}
