package sagemaker

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Job is one training as SageMaker describes it below its root, /opt/ml in a container.
type Job struct {
	Name     string          // TRAINING_JOB_NAME
	Has      Hyperparameters // as given; algorithms read them through Parameters
	Host     string          // this one: algo-1
	Hosts    []string        // all of them, sorted
	ModelDir string          // results, which SageMaker packs and keeps
	DataDir  string          // further output, packed beside the model
	Log      *slog.Logger

	channels map[string]*Channel
	metrics  io.Writer
}

// Parameters returns a reader of the hyperparameters.
func (j *Job) Parameters() *Parameters { return &Parameters{has: j.Has} }

// Channel returns the channel of that name. It is false where the job has none.
func (j *Job) Channel(name string) (*Channel, bool) {
	c, ok := j.channels[name]
	return c, ok
}

// Require returns the channel of that name, or the error that the job has none.
func (j *Job) Require(name string) (*Channel, error) {
	c, ok := j.channels[name]
	if !ok {
		return nil, &ConfigError{Err: fmt.Errorf("no channel %s", name)}
	}
	return c, nil
}

// Save puts a model into the folder of models, whole or not at all, and returns its size in bytes.
func (j *Job) Save(name string, m encoding.BinaryMarshaler) (size int, err error) {
	b, err := m.MarshalBinary()
	if err != nil {
		return 0, err
	}
	return len(b), writeFile(filepath.Join(j.ModelDir, name), b)
}

// Leads says that this host speaks for the job: the first of its hosts.
func (j *Job) Leads() bool { return len(j.Hosts) == 0 || j.Host == j.Hosts[0] }

// Metric reports a figure of the training's quality under its documented name, such as "test:f1". kind is what built-in
// algorithms write before the value: score (more is better), loss (less is) or, for IP Insights' and DeepAR's progress, theirs.
// Two lines go to standard output: the built-in algorithms' own, which regular expressions of existing jobs look for, and a
// plain NAME=VALUE.
func (j *Job) Metric(name, kind string, value float64) {
	fmt.Fprintf(j.metrics, "#quality_metric: host=%s, %s <%s>=%v\n", j.Host, strings.Replace(name, ":", " ", 1), kind, value)
	fmt.Fprintf(j.metrics, "%s=%v\n", name, value)
}

// maxConfig bounds a file of input/config.
const maxConfig = 1 << 20

// readConfig decodes input/config/name into v. It is false where there is no such file.
func readConfig(root, name string, v any) (bool, error) {
	path := filepath.Join(root, "input", "config", name)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return false, err
	}
	if len(b) > maxConfig {
		return false, badConfig("%s: more than %d bytes", name, maxConfig)
	}
	if err := json.Unmarshal(b, v); err != nil {
		if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			line, column := place(b, te.Offset)
			return false, badConfig("%s:%d:%d: %s is a %s; want a %s", name, line, column, cmp.Or(te.Field, "it"), te.Value, te.Type)
		}
		if se, ok := errors.AsType[*json.SyntaxError](err); ok {
			line, column := place(b, se.Offset)
			return false, badConfig("%s:%d:%d: %w", name, line, column, err)
		}
		return false, badConfig("%s: %w", name, err)
	}
	return true, nil
}

// place turns an offset of encoding/json into a line and a column, both from 1.
func place(b []byte, offset int64) (line, column int) {
	b = b[:min(max(int(offset), 0), len(b))]
	return bytes.Count(b, []byte("\n")) + 1, len(b) - bytes.LastIndexByte(b, '\n') - 1
}

// readJob reads what SageMaker says of a job, and makes the folders that its results go to.
func readJob(root string, metrics io.Writer, log *slog.Logger) (*Job, error) {
	j := &Job{
		Name: os.Getenv("TRAINING_JOB_NAME"), Host: "algo-1",
		ModelDir: filepath.Join(root, "model"), DataDir: filepath.Join(root, "output", "data"),
		Log: log, metrics: metrics,
	}
	for _, dir := range [...]string{j.ModelDir, j.DataDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if ok, err := readConfig(root, "hyperparameters.json", &j.Has); err != nil {
		return nil, err
	} else if !ok {
		return nil, badConfig("no hyperparameters.json in %s", filepath.Join(root, "input", "config"))
	}
	var resources struct {
		CurrentHost string   `json:"current_host"`
		Hosts       []string `json:"hosts"`
	}
	if ok, err := readConfig(root, "resourceconfig.json", &resources); err != nil {
		return nil, err
	} else if ok {
		j.Host, j.Hosts = resources.CurrentHost, resources.Hosts
		slices.Sort(j.Hosts)
		if !slices.Contains(j.Hosts, j.Host) || strings.ContainsAny(j.Host, `/\`) || len(slices.Compact(j.Hosts)) != len(resources.Hosts) {
			return nil, badConfig("resourceconfig.json: current_host %q is not one of hosts %q", j.Host, j.Hosts)
		}
	}
	var err error
	j.channels, err = readChannels(root)
	return j, err
}
