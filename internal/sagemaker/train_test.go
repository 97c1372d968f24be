package sagemaker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/sagemaker"
)

// root is a folder that stands for /opt/ml, with files below its input.
func root(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, "input", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// counting is an algorithm that learns how many bytes its channel has, and serves that.
func counting(train func(ctx context.Context, j *sagemaker.Job) error) sagemaker.Algorithm {
	return sagemaker.Algorithm{Name: "counting", Parameter: "size", Train: train, Load: func(fs.FS) (sagemaker.Predictor, error) {
		return nil, errors.New("not served here")
	}}
}

// trained runs one training job and returns its standard output.
func trained(ctx context.Context, dir string, algs ...sagemaker.Algorithm) (string, error) {
	var out bytes.Buffer
	err := sagemaker.Train(ctx, sagemaker.TrainConfig{Root: dir, Algorithms: algs, Metrics: &out}, nil)
	return out.String(), err
}

func TestJobIsWhatTheFilesSay(t *testing.T) {
	dir := root(t, map[string]string{
		"config/hyperparameters.json": `{"size":"3","names":"[\"a\",\"b\"]","rate":"0.5","_tuning_objective_metric":"x"}`,
		"config/resourceconfig.json":  `{"current_host":"algo-2","hosts":["algo-2","algo-1"],"network_interface_name":"eth0"}`,
		"config/inputdataconfig.json": `{"train":{"ContentType":"text/csv;label_size=0","TrainingInputMode":"FastFile","S3DistributionType":"ShardedByS3Key","RecordWrapperType":"None"}}`,
		"data/train/b/two.csv":        "22",
		"data/train/a.csv":            "1",
		"data/train/_SUCCESS":         "",
		"data/train/.hidden/x":        "x",
	})
	out, err := trained(t.Context(), dir, counting(func(ctx context.Context, j *sagemaker.Job) error {
		p := j.Parameters()
		p.Require("size")
		size, rate := p.Int("size", 0, 1, 10), p.Float("rate", 1, 0, 1)
		names := p.Strings("names", nil, "a", "b")
		if err := p.Err(); err != nil {
			return err
		}
		if size != 3 || rate != 0.5 || !cmp.Equal(names, []string{"a", "b"}) || j.Host != "algo-2" || j.Leads() {
			t.Errorf("read %v, %v, %v on %v of %v", size, rate, names, j.Host, j.Hosts)
		}
		ch, ok := j.Channel("train")
		if labels, stated, err := ch.Type.LabelSize(); !ok || !ch.Sharded || ch.Type.Name != sagemaker.CSV || labels != 0 || !stated || err != nil {
			t.Errorf("channel %+v", ch)
		}
		var got []string
		if err := ch.Read(ctx, func(name string, r io.Reader) error {
			b, err := io.ReadAll(r)
			got = append(got, name+"="+string(b))
			return err
		}); err != nil {
			return err
		}
		if diff := cmp.Diff([]string{"train/a.csv=1", "train/b/two.csv=22"}, got); diff != "" {
			t.Error(diff)
		}
		j.Metric("test:f1", "score", 0.5)
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if want := "#quality_metric: host=algo-2, test f1 <score>=0.5\ntest:f1=0.5\n"; out != want {
		t.Errorf("standard output %q, want %q", out, want)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "model", "homeostat-model.json")); err != nil || string(b) != `{"algorithm":"counting","format":1}`+"\n" {
		t.Errorf("manifest %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "output", "failure")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a failure was written: %v", err)
	}
}

func TestFailureSaysWhy(t *testing.T) {
	reads := func(ctx context.Context, j *sagemaker.Job) error {
		p := j.Parameters()
		p.Require("size")
		p.Int("size", 0, 1, 10)
		p.Choice("kind", "a", "a", "b")
		if err := p.Err(); err != nil {
			return err
		}
		ch, ok := j.Channel("train")
		if !ok {
			return errors.New("no channel train")
		}
		return ch.Read(ctx, func(_ string, r io.Reader) error {
			return sagemaker.CSVRows(r, func(line int, fields []string) error {
				_, err := sagemaker.Floats(nil, line, 0, fields)
				return err
			})
		})
	}
	const hyper, input, resource = "config/hyperparameters.json", "config/inputdataconfig.json", "config/resourceconfig.json"
	for _, tt := range []struct {
		name  string
		files map[string]string
		train func(context.Context, *sagemaker.Job) error
		want  string
	}{
		{"no hyperparameters", nil, reads, "no hyperparameters.json in"},
		{"not JSON", map[string]string{hyper: "{\n\"size\" 3}"}, reads, "hyperparameters.json:2:8: invalid character"},
		{"a number for a string", map[string]string{hyper: `{"size":3}`}, reads, "hyperparameters.json: hyperparameter size is 3; want a string"},
		{"a list", map[string]string{hyper: `[1]`}, reads, "hyperparameters.json:1:1: it is a array; want a"},
		{"no algorithm", map[string]string{hyper: `{"sizes":"3"}`}, reads, "the hyperparameters don't tell which algorithm is meant: want one of size (counting), or --algorithm"},
		{
			"all mistakes at once",
			map[string]string{hyper: `{"size":"11","kind":"c","sizes":"1"}`},
			reads,
			"hyperparameter size: \"11\": want a whole number from 1 to 10\nhyperparameter kind: \"c\": want one of a, b\nhyperparameter sizes: there is none of that name; there is kind, size\n",
		},
		{"unknown input mode", map[string]string{hyper: `{"size":"3"}`, input: `{"train":{"TrainingInputMode":"Stream"}}`}, reads, `inputdataconfig.json: channel train: TrainingInputMode "Stream": want File`},
		{"a channel out of the folder", map[string]string{hyper: `{"size":"3"}`, input: `{"../x":{}}`}, reads, `inputdataconfig.json: channel "../x"`},
		{"a host of another job", map[string]string{hyper: `{"size":"3"}`, resource: `{"current_host":"algo-3","hosts":["algo-1"]}`}, reads, `resourceconfig.json: current_host "algo-3"`},
		{"no such channel folder", map[string]string{hyper: `{"size":"3"}`, input: `{"train":{}}`}, reads, "channel train: "},
		{"an empty channel", map[string]string{hyper: `{"size":"3"}`, "data/train/_SUCCESS": ""}, reads, "channel train: no files"},
		{"a bad row", map[string]string{hyper: `{"size":"3"}`, "data/train/a.csv": "1\nx\n"}, reads, `train/a.csv: line 2, field 1: "x" is not a finite number`},
		{"a bug", map[string]string{hyper: `{"size":"3"}`}, func(context.Context, *sagemaker.Job) error { panic("out of luck") }, "internal error: out of luck"},
		{"a long story", map[string]string{hyper: `{"size":"3"}`}, func(context.Context, *sagemaker.Job) error { return errors.New(strings.Repeat("é", 2000)) }, strings.Repeat("é", 1021) + "...\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := root(t, tt.files)
			if _, err := trained(t.Context(), dir, counting(tt.train)); err == nil {
				t.Fatal("no error")
			}
			b, err := os.ReadFile(filepath.Join(dir, "output", "failure"))
			if err != nil || !strings.HasPrefix(string(b), tt.want) {
				t.Errorf("failure %q, %v, want it to begin with %q", b, err, tt.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "model", "homeostat-model.json")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the model folder has a manifest: %v", err)
			}
		})
	}
}

func TestStoppedTrainingKeepsItsModel(t *testing.T) {
	dir := root(t, map[string]string{"config/hyperparameters.json": `{"size":"3"}`})
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := trained(ctx, dir, counting(func(ctx context.Context, j *sagemaker.Job) error {
		cancel(errors.New("terminated signal received"))
		return &sagemaker.StoppedError{Cause: context.Cause(ctx)}
	}))
	if want := "stopped; the model holds what was learnt until then: terminated signal received"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "model", "homeostat-model.json")); err != nil {
		t.Error(err)
	}
}

func TestModelThatIsNotServed(t *testing.T) {
	alg := counting(nil)
	for _, tt := range []struct{ name, manifest, want string }{
		{"not finished", "", "no homeostat-model.json in the model folder"},
		{"not JSON", "{", "homeostat-model.json: unexpected end"},
		{"a later format", `{"algorithm":"counting","format":2}`, "homeostat-model.json: format 2, where this is 1"},
		{"another algorithm", `{"algorithm":"other","format":1}`, `no algorithm "other"; there is counting`},
		{"refused by its algorithm", `{"algorithm":"counting","format":1}`, "model of counting: not served here"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.manifest != "" {
				if err := os.WriteFile(filepath.Join(dir, "homeostat-model.json"), []byte(tt.manifest), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			_, _, err := sagemaker.Load(os.DirFS(dir), []sagemaker.Algorithm{alg}, "")
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// passes reads a Pipe channel that many times and returns what came.
func passes(ctx context.Context, j *sagemaker.Job, n int) (got []string, err error) {
	ch, _ := j.Channel("train")
	for range n {
		err = errors.Join(err, ch.Read(ctx, func(name string, r io.Reader) error {
			b, err := io.ReadAll(r)
			got = append(got, fmt.Sprintf("%s=%s", name, b))
			return err
		}))
	}
	return got, err
}
