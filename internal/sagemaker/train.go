package sagemaker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// DefaultRoot is where SageMaker lays a container's files out.
const DefaultRoot = "/opt/ml"

// TrainConfig says what to train.
type TrainConfig struct {
	Root       string // DefaultRoot when empty
	Algorithm  string // by name; by the hyperparameters when empty
	Algorithms []Algorithm
	Metrics    io.Writer // standard output: SageMaker reads metrics from it
}

// Train runs one training job. When it fails the reason is in output/failure too, of which SageMaker shows the first 1024
// characters. A mistake in the job's own files is a [*ConfigError], one in its data a [*BodyError].
func Train(ctx context.Context, c TrainConfig, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c.Root = cmp.Or(c.Root, DefaultRoot)
	err := train(ctx, c, log)
	if err == nil {
		return nil
	}
	return errors.Join(err, writeFailure(c.Root, err))
}

func train(ctx context.Context, c TrainConfig, log *slog.Logger) (err error) {
	began := time.Now()
	j, err := readJob(c.Root, c.Metrics, log)
	if err != nil {
		return err
	}
	a, err := choose(c.Algorithms, c.Algorithm, j.Has)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "training begins", "algorithm", a.Name, "job", j.Name, "host", j.Host)
	defer func() {
		if r := recover(); r != nil { // a bug: the job's owner reads of it where all failures are
			err = fmt.Errorf("internal error: %v", r)
		}
	}()
	// A folder that holds an older model must not be taken for this job's if this one fails.
	if err := os.Remove(filepath.Join(j.ModelDir, manifestName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err = a.Train(ctx, j)
	if _, stopped := errors.AsType[*StoppedError](err); err != nil && !stopped {
		return err
	}
	b, merr := json.Marshal(manifest{Algorithm: a.Name, Format: 1})
	if merr == nil {
		merr = writeFile(filepath.Join(j.ModelDir, manifestName), append(b, '\n'))
	}
	if err == nil && merr == nil {
		log.InfoContext(ctx, "training has ended", "algorithm", a.Name, "took", time.Since(began).Round(time.Millisecond).String())
	}
	return errors.Join(err, merr)
}

// writeFile puts b at path so that it is there whole or not at all.
func writeFile(path string, b []byte) error {
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path+".new"))
	}
	return os.Rename(path+".new", path)
}

// maxReason is how many characters of a failure SageMaker shows.
const maxReason = 1024

// writeFailure writes why the job failed where SageMaker looks for it.
func writeFailure(root string, reason error) error {
	dir := filepath.Join(root, "output")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text := strings.ToValidUTF8(reason.Error(), "?")
	if utf8.RuneCountInString(text) > maxReason {
		text = string([]rune(text)[:maxReason-3]) + "..."
	}
	return os.WriteFile(filepath.Join(dir, "failure"), []byte(text+"\n"), 0o644)
}
