package sagemaker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Channel is a named input of a training job: files, or in Pipe mode a FIFO for each pass over the data.
type Channel struct {
	Name    string
	Type    MediaType // of what is in it; without a name where the job doesn't say
	Pipe    bool
	Sharded bool // each host sees a part of it (S3DistributionType ShardedByS3Key)

	dir     string // input/data
	wrapped bool   // Pipe mode with RecordWrapperType RecordIO: each frame is a file
	pass    int
}

// readChannels reads inputdataconfig.json. Outside a container it may be missing: then each folder of input/data is a channel.
func readChannels(root string) (map[string]*Channel, error) {
	dir := filepath.Join(root, "input", "data")
	var described map[string]struct {
		ContentType        string
		TrainingInputMode  string
		S3DistributionType string
		RecordWrapperType  string
		CompressionType    string
	}
	channels := map[string]*Channel{}
	ok, err := readConfig(root, "inputdataconfig.json", &described)
	if err != nil {
		return nil, err
	}
	if !ok {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() {
				channels[e.Name()] = &Channel{Name: e.Name(), dir: dir}
			}
		}
		return channels, nil
	}
	for name, d := range described {
		if name == "" || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
			return nil, badConfig("inputdataconfig.json: channel %q: not a name", name)
		}
		c := &Channel{Name: name, dir: dir, Sharded: d.S3DistributionType == "ShardedByS3Key"}
		if d.ContentType != "" {
			c.Type = parseMedia(d.ContentType)
		}
		switch d.TrainingInputMode {
		case "", "File", "FastFile":
		case "Pipe":
			c.Pipe = true
		default:
			return nil, badConfig("inputdataconfig.json: channel %s: TrainingInputMode %q: want File, FastFile or Pipe", name, d.TrainingInputMode)
		}
		switch d.RecordWrapperType {
		case "", "None":
		case "RecordIO":
			c.wrapped = c.Pipe
		default:
			return nil, badConfig("inputdataconfig.json: channel %s: RecordWrapperType %q: want None or RecordIO", name, d.RecordWrapperType)
		}
		channels[name] = c
	}
	return channels, nil
}

// Read makes one pass over the channel: fn is called with each file, in the order of their names, or with what comes through
// the next FIFO. name is relative to input/data. A file whose name begins with "." and a _SUCCESS are left out. An error of fn
// ends the pass and is returned with the file's name before it.
func (c *Channel) Read(ctx context.Context, fn func(name string, r io.Reader) error) error {
	if c.Pipe {
		return c.readPipe(ctx, fn)
	}
	top := filepath.Join(c.dir, c.Name)
	files := 0
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case path != top && (strings.HasPrefix(d.Name(), ".") || d.Name() == "_SUCCESS"):
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		// A channel's files may be links; what they lead to is opened as SageMaker laid it out.
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		files++
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return c.hand(ctx, path, f, fn)
	})
	if err == nil && files == 0 {
		return badConfig("channel %s: no files", c.Name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return badConfig("channel %s: %w", c.Name, err)
	}
	return err
}

// hand calls fn with a reader that ends with ctx.
func (c *Channel) hand(ctx context.Context, path string, r io.Reader, fn func(string, io.Reader) error) error {
	name := path
	if rel, err := filepath.Rel(c.dir, path); err == nil {
		name = filepath.ToSlash(rel)
	}
	br := bufio.NewReaderSize(&untilDone{ctx, r}, 1<<16)
	if c.wrapped {
		frames := NewFrames(br)
		for i := 0; ; i++ {
			frame, err := frames.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if err := fn(fmt.Sprintf("%s[%d]", name, i), strings.NewReader(string(frame))); err != nil {
				return fmt.Errorf("%s[%d]: %w", name, i, err)
			}
		}
	}
	if err := fn(name, br); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// untilDone reads from r until ctx ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	n, err := u.r.Read(p)
	if err != nil && u.ctx.Err() != nil {
		err = context.Cause(u.ctx) // the FIFO was closed under the reader
	}
	return n, err
}

// fifoWait is between two looks for a FIFO that SageMaker has not made yet.
const fifoWait = 100 * time.Millisecond

// readPipe reads the FIFO of the next pass to its end.
func (c *Channel) readPipe(ctx context.Context, fn func(string, io.Reader) error) error {
	path := filepath.Join(c.dir, fmt.Sprintf("%s_%d", c.Name, c.pass))
	c.pass++
	f, err := openFIFO(ctx, path)
	for ; errors.Is(err, fs.ErrNotExist); f, err = openFIFO(ctx, path) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(fifoWait):
		}
	}
	if err != nil {
		return fmt.Errorf("channel %s: %w", c.Name, err)
	}
	stop := context.AfterFunc(ctx, func() { f.Close() }) // a read that waits for the writer returns
	defer stop()
	defer f.Close()
	return c.hand(ctx, path, f, fn)
}
