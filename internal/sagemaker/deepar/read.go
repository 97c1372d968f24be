package deepar

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"github.com/parquet-go/parquet-go"

	"homeostat/deepar"
	"homeostat/internal/sagemaker"
)

// maxParquet bounds a Parquet file, which is read whole: its index is at its end. In bytes.
const maxParquet = 2 << 30

// readSeries reads a channel whole.
func readSeries(ctx context.Context, ch *sagemaker.Channel) ([]deepar.Series, error) {
	var out []deepar.Series
	err := ch.Read(ctx, func(name string, r io.Reader) error {
		in := bufio.NewReader(r)
		head, err := in.Peek(4)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if ext := path.Ext(strings.TrimSuffix(name, ".gz")); ch.Type.Name == "" && !ch.Pipe && ext != ".json" && ext != ".jsonl" && ext != ".parquet" {
			return &sagemaker.ConfigError{Err: errors.New("want .json, .json.gz or .parquet, or a content type of the channel")}
		}
		var series []deepar.Series
		switch {
		case string(head) == "PAR1":
			series, err = readParquet(in)
		case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
			var z *gzip.Reader
			if z, err = gzip.NewReader(in); err == nil {
				series, err = deepar.ReadJSONLines("", z)
			}
		default:
			series, err = deepar.ReadJSONLines("", in)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return &sagemaker.BodyError{Err: err}
		}
		for i := range series {
			series[i].Place = name + ": " + series[i].Place
		}
		out = append(out, series...)
		return nil
	})
	return out, err
}

// readParquet reads a file with a row a record: start a string, target and cat lists, dynamic_feat a list of lists.
func readParquet(r io.Reader) (out []deepar.Series, err error) {
	b, err := io.ReadAll(io.LimitReader(r, maxParquet+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxParquet {
		return nil, fmt.Errorf("a Parquet file of more than %d bytes", maxParquet)
	}
	defer func() {
		if p := recover(); p != nil { // the library's way with some damaged files
			err = fmt.Errorf("damaged Parquet file: %v", p)
		}
	}()
	f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("damaged Parquet file: %w", err)
	}
	cols, err := findColumns(f.Schema())
	if err != nil {
		return nil, err
	}
	rows := make([]parquet.Row, 64)
	for _, group := range f.RowGroups() {
		in := group.Rows()
		for {
			n, rerr := in.ReadRows(rows)
			for _, row := range rows[:n] {
				place := fmt.Sprintf("row %d", len(out)+1)
				s, err := cols.series(row)
				if err != nil {
					return nil, errors.Join(fmt.Errorf("%s: %w", place, err), in.Close())
				}
				s.Place = place
				out = append(out, s)
			}
			if errors.Is(rerr, io.EOF) {
				break
			}
			if rerr != nil {
				return nil, errors.Join(fmt.Errorf("damaged Parquet file: after row %d: %w", len(out), rerr), in.Close())
			}
		}
		if err := in.Close(); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no rows")
	}
	return out, nil
}

// columns are the leaves that a record is read from; of one that isn't there, at is -1.
type columns struct{ itemID, start, target, cat, dynamic column }

type column struct {
	name     string
	at       int
	most     int  // the level of definition of a value that is there
	repeats  int  // lists that it lies in
	nullable bool // a value may be missing, the list being there
}

func findColumns(schema *parquet.Schema) (columns, error) {
	none := func(name string) column { return column{name: name, at: -1} }
	c := columns{none("item_id"), none("start"), none("target"), none("cat"), none("dynamic_feat")}
	for _, p := range schema.Columns() {
		leaf, ok := schema.Lookup(p...)
		if !ok {
			continue
		}
		for _, want := range []*column{&c.itemID, &c.start, &c.target, &c.cat, &c.dynamic} {
			if p[0] == want.name {
				*want = column{p[0], leaf.ColumnIndex, leaf.MaxDefinitionLevel, leaf.MaxRepetitionLevel, leaf.Node.Optional()}
			}
		}
	}
	for _, want := range []struct {
		column
		lists    int
		required bool
	}{{c.itemID, 0, false}, {c.start, 0, true}, {c.target, 1, true}, {c.cat, 1, false}, {c.dynamic, 2, false}} {
		switch {
		case want.at < 0 && want.required:
			return c, fmt.Errorf("no column %s", want.name)
		case want.at >= 0 && want.repeats != want.lists:
			return c, fmt.Errorf("column %s: %d lists in one another, want %d", want.name, want.repeats, want.lists)
		}
	}
	return c, nil
}

// series reads a row.
func (c *columns) series(row parquet.Row) (deepar.Series, error) {
	var s deepar.Series
	var failed error
	row.Range(func(at int, values []parquet.Value) bool {
		switch at {
		case c.itemID.at:
			if !values[0].IsNull() {
				s.ItemID = values[0].String()
			}
		case c.start.at:
			if values[0].IsNull() || values[0].Kind() != parquet.ByteArray {
				failed = errors.New("start: want a string, YYYY-MM-DD HH:MM:SS")
				return false
			}
			s.Start, failed = deepar.ParseStart(string(values[0].ByteArray()))
		case c.target.at:
			s.Target, failed = c.target.numbers(values, true)
		case c.cat.at:
			var list []float64
			if list, failed = c.cat.numbers(values, false); failed == nil {
				for _, v := range list {
					if v < 0 || v != math.Trunc(v) || v > 1e9 {
						failed = fmt.Errorf("cat: %v, want integers from 0", v)
						return false
					}
					s.Cat = append(s.Cat, int(v))
				}
			}
		case c.dynamic.at:
			begin := 0
			for i := 1; i <= len(values) && failed == nil; i++ {
				if i < len(values) && values[i].RepetitionLevel() == 2 {
					continue // the same inner list goes on
				}
				var list []float64
				if list, failed = c.dynamic.numbers(values[begin:i], false); len(list) > 0 {
					s.DynamicFeat = append(s.DynamicFeat, list)
				}
				begin = i
			}
		}
		return failed == nil
	})
	return s, failed
}

// numbers reads a list. One that is empty or null has a single value of a lower level of definition.
func (c *column) numbers(values []parquet.Value, missing bool) ([]float64, error) {
	out := []float64{}
	for i, v := range values {
		if v.IsNull() {
			if !c.nullable || v.DefinitionLevel() < c.most-1 {
				continue
			}
			if !missing {
				return nil, fmt.Errorf("%s[%d]: missing", c.name, i)
			}
			out = append(out, math.NaN())
			continue
		}
		var x float64
		switch v.Kind() {
		case parquet.Double:
			x = v.Double()
		case parquet.Float:
			x = float64(v.Float())
		case parquet.Int32:
			x = float64(v.Int32())
		case parquet.Int64:
			x = float64(v.Int64())
		default:
			return nil, fmt.Errorf("%s: a list of %v, want numbers", c.name, v.Kind())
		}
		if math.IsNaN(x) && !missing {
			return nil, fmt.Errorf("%s[%d]: missing", c.name, i)
		}
		out = append(out, x)
	}
	return out, nil
}
