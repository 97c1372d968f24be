package rcf_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/sagemaker"
	"homeostat/internal/sagemaker/rcf"
	"homeostat/internal/sagemaker/sagemakertest"
)

// write puts files below dir.
func write(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// cloud is n points around (0, 5) as CSV; with labels, one in twenty lies far off and is labelled 1.
func cloud(seed uint64, n int, labels bool) string {
	rng := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for range n {
		x, y := rng.NormFloat64(), 5+2*rng.NormFloat64()
		if labels {
			anomaly := rng.IntN(20) == 0
			if anomaly {
				x += 9
			}
			fmt.Fprintf(&b, "%d,", map[bool]int{true: 1}[anomaly])
		}
		fmt.Fprintf(&b, "%v,%v\n", x, y)
	}
	return b.String()
}

// asRecords is CSV of cloud as RecordIO-protobuf.
func asRecords(t *testing.T, text string, labels bool) string {
	t.Helper()
	var b []byte
	for line := range strings.Lines(text) {
		var row []float64
		for field := range strings.SplitSeq(strings.TrimSpace(line), ",") {
			v, err := strconv.ParseFloat(field, 64)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, v)
		}
		rec := &sagemaker.Record{}
		if labels {
			rec.Label = map[string]sagemaker.Tensor{"values": {Values: row[:1]}}
			row = row[1:]
		}
		rec.Features = map[string]sagemaker.Tensor{"values": {Values: row}}
		b = sagemaker.AppendRecord(b, rec)
	}
	return string(b)
}

const (
	hyperparameters = "input/config/hyperparameters.json"
	channels        = "input/config/inputdataconfig.json"
	hosts           = "input/config/resourceconfig.json"
)

func train(t *testing.T, dir string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := sagemaker.Train(t.Context(), sagemaker.TrainConfig{
		Root: dir, Algorithms: []sagemaker.Algorithm{rcf.Algorithm()}, Metrics: &out,
	}, nil)
	return out.String(), err
}

// metric finds a figure on a job's standard output as a job's own regular expression would.
func metric(t *testing.T, out, pattern string) float64 {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no %s in %q", pattern, out)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTrainedForestFindsWhatIsLabelled(t *testing.T) {
	for _, tt := range []struct {
		name, channels string
		files          func() map[string]string
	}{
		{
			"CSV", `{"train":{"ContentType":"text/csv;label_size=0"},"test":{"ContentType":"text/csv;label_size=1"}}`,
			func() map[string]string {
				return map[string]string{"input/data/train/a": cloud(1, 2000, false), "input/data/train/b": cloud(2, 1000, false), "input/data/test/a": cloud(3, 600, true)}
			},
		},
		{
			"RecordIO", `{"train":{"ContentType":"application/x-recordio-protobuf"},"test":{"ContentType":"application/x-recordio-protobuf"}}`,
			func() map[string]string {
				return map[string]string{"input/data/train/a": asRecords(t, cloud(1, 3000, false), false), "input/data/test/a": asRecords(t, cloud(3, 600, true), true)}
			},
		},
		{
			"by the files' names, with labels passed over", "", func() map[string]string {
				return map[string]string{"input/data/train/a.csv": "0," + strings.ReplaceAll(strings.TrimSpace(cloud(1, 3000, false)), "\n", "\n0,"), "input/data/test/a.csv": cloud(3, 600, true)}
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := write(t, t.TempDir(), tt.files())
			write(t, dir, map[string]string{hyperparameters: `{"feature_dim":"2","num_trees":"50","mini_batch_size":"1000"}`})
			if tt.channels != "" {
				write(t, dir, map[string]string{channels: tt.channels})
			}
			out, err := train(t, dir)
			if err != nil {
				t.Fatal(err)
			}
			if f1 := metric(t, out, `#quality_metric: host=algo-1, test f1 <score>=(\S+)`); f1 < 0.6 {
				t.Errorf("f1 is %v\n%s", f1, out)
			}
			if a := metric(t, out, `(?m)^test:accuracy=(\S+)$`); a < 0.9 {
				t.Errorf("accuracy is %v\n%s", a, out)
			}
		})
	}
}

func TestOnlyTheMetricsThatWereAskedFor(t *testing.T) {
	dir := write(t, t.TempDir(), map[string]string{
		hyperparameters:          `{"feature_dim":"2","num_trees":"50","eval_metrics":"[\"accuracy\"]"}`,
		"input/data/train/a.csv": cloud(1, 500, false), "input/data/test/a.csv": cloud(2, 100, true),
	})
	out, err := train(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "f1") || !strings.Contains(out, "test:accuracy=") {
		t.Error(out)
	}
}

func TestTrainingRefuses(t *testing.T) {
	good := `{"feature_dim":"2","num_trees":"50"}`
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"hyperparameters out of range", map[string]string{hyperparameters: `{"feature_dim":"10001","num_trees":"49","num_samples_per_tree":"2049","eval_metrics":"f1"}`}, "hyperparameter feature_dim: \"10001\": want a whole number from 1 to 10000\nhyperparameter num_samples_per_tree: \"2049\": want a whole number from 1 to 2048\nhyperparameter num_trees: \"49\": want a whole number from 50 to 1000\nhyperparameter eval_metrics: \"f1\": want a list of accuracy, precision_recall_fscore"},
		{"no train channel", map[string]string{hyperparameters: good}, "no channel train"},
		{"a row of another width", map[string]string{hyperparameters: good, "input/data/train/a.csv": "1,2\n1,2,3,4\n"}, "train/a.csv: line 2: 4 fields; want 0 of labels and 2 of features"},
		{"a header", map[string]string{hyperparameters: good, "input/data/train/a.csv": "x,y\n1,2\n"}, `train/a.csv: line 1, field 1: "x" is not a finite number`},
		{"no rows", map[string]string{hyperparameters: good, "input/data/train/a.csv": ""}, "channel train: no rows"},
		{"another content type", map[string]string{hyperparameters: good, channels: `{"train":{"ContentType":"text/plain"}}`, "input/data/train/a.csv": "1,2\n"}, `train/a.csv: channel train: content type "text/plain"; want text/csv`},
		{"a test without labels", map[string]string{hyperparameters: good, channels: `{"train":{"ContentType":"text/csv"},"test":{"ContentType":"text/csv;label_size=0"}}`, "input/data/train/a": "1,2\n3,4\n", "input/data/test/a": "1,2\n"}, "test/a: channel test: text/csv;label_size=0; want 1"},
		{"a label that is none", map[string]string{hyperparameters: good, "input/data/train/a.csv": "1,2\n3,4\n", "input/data/test/a.csv": "0,1,2\n2,1,2\n"}, `test/a.csv: line 2, field 1: label "2"; want 1`},
		{"a cut record", map[string]string{hyperparameters: good, "input/data/train/a": asRecords(t, "1,2\n3,4\n", false)[:40]}, "train/a: record 2, byte 40: cut short"},
		{"a record without a label", map[string]string{hyperparameters: good, "input/data/train/a": asRecords(t, "1,2\n3,4\n", false), "input/data/test/a": asRecords(t, "1,2\n", false)}, "test/a: record 1: label []"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := train(t, write(t, t.TempDir(), tt.files))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

// serve trains on a cloud and serves the model.
func serve(t *testing.T, dir string, env map[string]string) *httptest.Server {
	t.Helper()
	return sagemakertest.Serve(t, dir, rcf.Algorithm(), env)
}

func model(t *testing.T) string {
	t.Helper()
	dir := write(t, t.TempDir(), map[string]string{hyperparameters: `{"feature_dim":"2","num_trees":"50"}`, "input/data/train/a.csv": cloud(1, 2000, false)})
	if _, err := train(t, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// call posts body and returns the status, the answer's type and its body.
func call(t *testing.T, url, contentType, accept, body string) (int, string, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	req.Header.Set("X-Amzn-SageMaker-Custom-Attributes", "trace=1")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), string(b)
}

func scoresOf(t *testing.T, answer string) []float64 {
	t.Helper()
	var doc struct{ Scores []struct{ Score float64 } }
	if err := json.Unmarshal([]byte(answer), &doc); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	var out []float64
	for _, s := range doc.Scores {
		out = append(out, s.Score)
	}
	return out
}

// TestEveryFormatGivesTheSameScores asks in each type of request and each type of answer.
func TestEveryFormatGivesTheSameScores(t *testing.T) {
	url := serve(t, model(t), nil).URL + "/invocations"
	_, _, first := call(t, url, "text/csv", "", "0,5\n9,0\n")
	want := scoresOf(t, first)
	if len(want) != 2 || want[1] < 2*want[0] {
		t.Fatalf("scores %v: the second point lies far off", want)
	}
	for _, tt := range []struct{ contentType, body string }{
		{"text/csv;label_size=0", "0, 5\r\n9,0"},
		{"text/csv; label_size=1", "1,0,5\n0,9,0"},
		{"application/json", `{"instances":[{"features":[0,5]},{"data":{"features":{"keys":[0],"shape":[2],"values":[9]}}}]}`},
		{"application/jsonlines", "{\"features\":[0,5]}\n{\"data\":{\"features\":{\"values\":[9,0]}}}\n"},
		{"application/x-recordio-protobuf", asRecords(t, "0,5\n9,0\n", false)},
	} {
		status, kind, answer := call(t, url, tt.contentType, "*/*", tt.body)
		if diff := cmp.Diff(want, scoresOf(t, answer)); status != 200 || kind != sagemaker.JSON || diff != "" {
			t.Errorf("%s: %d %s\n%s", tt.contentType, status, kind, diff)
		}
	}
	_, kind, lines := call(t, url, "text/csv", "application/jsonlines", "0,5\n9,0\n")
	if want := fmt.Sprintf("{\"score\":%v}\n{\"score\":%v}\n", want[0], want[1]); kind != sagemaker.JSONLines || lines != want {
		t.Errorf("%s: %q, want %q", kind, lines, want)
	}
	_, kind, frames := call(t, url, "text/csv", "application/x-recordio-protobuf", "0,5\n9,0\n")
	err := sagemaker.Records(strings.NewReader(frames), func(n int, rec *sagemaker.Record) error {
		if got := rec.Label["score"].Values; kind != sagemaker.RecordIO || len(rec.Features) != 0 || len(got) != 1 || got[0] != float64(float32(want[n-1])) {
			t.Errorf("%s: record %d is %v, want score %v", kind, n, rec, want[n-1])
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	url := serve(t, model(t), nil).URL
	for _, tt := range []struct {
		name, contentType, accept, body string
		status                          int
		want                            string
	}{
		{"type", "text/plain", "", "0,5", 415, `content type "text/plain" is not supported; want one of text/csv`},
		{"no type", "", "", "0,5", 415, `content type ""`},
		{"accept", "text/csv", "text/csv", "0,5", 406, `accept "text/csv" is not supported; want one of application/json`},
		{"accept, refused by quality", "text/csv", "application/json;q=0", "0,5", 406, `accept`},
		{"width", "text/csv", "", "0,5,1", 400, "line 1: 3 fields; want 2"},
		{"not a number", "text/csv", "", "0,5\n0,x", 400, `line 2, field 2: "x"`},
		{"label_size", "text/csv;label_size=x", "", "0,5", 400, "content type text/csv;label_size=x"},
		{"nothing", "text/csv", "", "", 400, "no rows"},
		{"no JSON", "application/json", "", "{", 400, "line 1, column 1: unexpected end"},
		{"JSON of another width", "application/json", "", `{"instances":[{"features":[1]}]}`, 400, "instance 1: 1 features; want 2"},
		{"not RecordIO", "application/x-recordio-protobuf", "", "0,5\n0,5\n0,5", 400, "record 1, byte 0: no RecordIO frame"},
		{"too large", "text/csv", "", strings.Repeat("0,5\n", 7<<20), 413, "the body is larger than 26214400 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, _, answer := call(t, url+"/invocations", tt.contentType, tt.accept, tt.body)
			if status != tt.status || !strings.HasPrefix(answer, tt.want) {
				t.Errorf("%d %s, want %d %s", status, answer, tt.status, tt.want)
			}
		})
	}
	// As SageMaker Runtime passes it on.
	status, kind, answer := call(t, url+"/endpoints/any/invocations", "text/plain", "", "0,5")
	if status != 424 || kind != sagemaker.JSON || !strings.Contains(answer, `"OriginalStatusCode":415`) || !strings.Contains(answer, "Received client error (415) from primary") {
		t.Errorf("%d %s %s", status, kind, answer)
	}
}

func TestHostsShareTheTreesAndServeTogether(t *testing.T) {
	together := t.TempDir()
	for i, host := range []string{"algo-1", "algo-2", "algo-3"} {
		dir := write(t, t.TempDir(), map[string]string{
			hyperparameters:         `{"feature_dim":"2","num_trees":"50"}`,
			hosts:                   `{"current_host":"` + host + `","hosts":["algo-1","algo-2","algo-3"]}`,
			channels:                `{"train":{"ContentType":"text/csv","S3DistributionType":"ShardedByS3Key"}}`,
			"input/data/train/part": cloud(uint64(i), 700, false),
		})
		if _, err := train(t, dir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(together, "model", host), os.DirFS(filepath.Join(dir, "model"))); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"forest-" + host + ".rcf", "homeostat-model.json"} {
			if err := os.Rename(filepath.Join(together, "model", host, name), filepath.Join(together, "model", name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, _, answer := call(t, serve(t, together, nil).URL+"/invocations", "text/csv", "", "0,5\n9,0\n")
	if s := scoresOf(t, answer); len(s) != 2 || s[1] < 2*s[0] {
		t.Errorf("scores %v: the second point lies far off", s)
	}
}

func TestTrainingTwiceGivesTheSameModel(t *testing.T) {
	read := func() []byte {
		b, err := os.ReadFile(filepath.Join(model(t), "model", "forest-algo-1.rcf"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !bytes.Equal(read(), read()) {
		t.Error("the same job gave two models")
	}
}

func TestBatchTransformEnvironment(t *testing.T) {
	dir := model(t)
	url := serve(t, dir, map[string]string{
		"SAGEMAKER_BATCH": "true", "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "1", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "3",
	}).URL
	res, err := http.Get(url + "/execution-parameters")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if want := `{"MaxConcurrentTransforms":3,"BatchStrategy":"MULTI_RECORD","MaxPayloadInMB":6}`; err != nil || string(b) != want {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
	if status, _, _ := call(t, url+"/invocations", "text/csv", "", strings.Repeat("0,5\n", 1<<18+1)); status != 413 {
		t.Errorf("more than SAGEMAKER_MAX_PAYLOAD_IN_MB: %d, want 413", status)
	}
	p, _, err := sagemaker.Load(os.DirFS(filepath.Join(dir, "model")), []sagemaker.Algorithm{rcf.Algorithm()}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sagemaker.NewServer(p, func(name string) string {
		return map[string]string{"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "much"}[name]
	}, nil); err == nil {
		t.Error("SAGEMAKER_MAX_PAYLOAD_IN_MB=much was taken")
	}
}

func TestDamagedModelIsNotServed(t *testing.T) {
	dir := model(t)
	path := filepath.Join(dir, "model", "forest-algo-1.rcf")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2]++
	write(t, dir, map[string]string{"model/forest-algo-1.rcf": string(b)})
	_, _, err = sagemaker.Load(os.DirFS(filepath.Join(dir, "model")), []sagemaker.Algorithm{rcf.Algorithm()}, "")
	if want := "model of rcf: forest-algo-1.rcf: not a usable random cut forest model: the checksum is wrong"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestManyAskAtOnce(t *testing.T) {
	url := serve(t, model(t), nil).URL + "/invocations"
	_, _, want := call(t, url, "text/csv", "", "0,5\n9,0\n")
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, _, got := call(t, url, "text/csv", "", "0,5\n9,0\n"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	wg.Wait()
}

func TestServerStopsWithItsContext(t *testing.T) {
	p, _, err := sagemaker.Load(os.DirFS(filepath.Join(model(t), "model")), []sagemaker.Algorithm{rcf.Algorithm()}, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := sagemaker.NewServer(p, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := httptest.NewUnstartedServer(nil).Listener
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l) }()
	res, err := http.Get("http://" + l.Addr().String() + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 || res.ContentLength != 0 {
		t.Errorf("/ping: %s with %d bytes", res.Status, res.ContentLength)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
