package sagemaker_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"homeostat/internal/sagemaker"
)

// bad holds err to be a mistake of the body whose text begins with want.
func bad(t *testing.T, err error, want string) {
	t.Helper()
	if _, ok := errors.AsType[*sagemaker.BodyError](err); !ok || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want a BodyError that begins with %q", err, want)
	}
}

func TestFramesReadWhatWasWritten(t *testing.T) {
	var b []byte
	payloads := []string{"", "a", "four", "five5", strings.Repeat("x", 1000)}
	for _, p := range payloads {
		b = sagemaker.AppendFrame(b, []byte(p))
	}
	frames := sagemaker.NewFrames(bytes.NewReader(b))
	for _, want := range payloads {
		got, err := frames.Next()
		if err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if _, err := frames.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v, want EOF", err)
	}
}

// frame is one part of a payload as a RecordIO writer lays it out.
func frame(part uint32, payload string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0xCED7230A)
	b = binary.LittleEndian.AppendUint32(b, part<<29|uint32(len(payload)))
	b = append(b, payload...)
	return append(b, make([]byte, (4-len(payload)%4)%4)...)
}

func TestFrameInPartsGetsItsMagicNumberBack(t *testing.T) {
	b := bytes.Join([][]byte{frame(1, "abcd"), frame(2, ""), frame(3, "xyz")}, nil)
	got, err := sagemaker.NewFrames(bytes.NewReader(b)).Next()
	if want := "abcd\x0a\x23\xd7\xce\x0a\x23\xd7\xcexyz"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestDamagedFramesNameTheirPlace(t *testing.T) {
	whole := frame(0, "12345")
	for _, tt := range []struct {
		name string
		b    []byte
		want string
	}{
		{"no magic number", []byte("timestamp,value\n"), "record 1, byte 0: no RecordIO frame"},
		{"cut in the head", whole[:5], "record 1, byte 0: cut short"},
		{"cut in the payload", whole[:10], "record 1, byte 10: cut short"},
		{"cut in the padding", whole[:14], "record 1, byte 14: cut short"},
		{"second one cut", append(bytes.Clone(whole), whole[:9]...), "record 2, byte 25: cut short"},
		{"a length that never comes", frame(0, "")[:4:4], "record 1, byte 0: cut short"},
		{"begins with a middle", frame(2, "a"), "record 1, byte 0: a frame of part 2"},
		{"two first parts", append(frame(1, "abcd"), frame(1, "abcd")...), "record 1, byte 12: a frame of part 1"},
		{"unknown part", frame(5, "a"), "record 1, byte 0: a frame of part 5"},
		{"never ends", frame(1, "abcd"), "record 1, byte 12: cut short"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := sagemaker.NewFrames(bytes.NewReader(tt.b))
			_, err := f.Next()
			if err == nil {
				_, err = f.Next()
			}
			bad(t, err, tt.want)
		})
	}
}

func TestRecordsReadWhatWasWritten(t *testing.T) {
	want := &sagemaker.Record{
		Features: map[string]sagemaker.Tensor{"values": {Values: []float64{1, -2.5}, Keys: []uint64{3, 300}, Shape: []uint64{1000}}},
		Label:    map[string]sagemaker.Tensor{"values": {Values: []float64{1}}, "more": {Values: []float64{2}}},
	}
	err := sagemaker.Records(bytes.NewReader(sagemaker.AppendRecord(nil, want)), func(n int, got *sagemaker.Record) error {
		if diff := cmp.Diff(want, got); n != 1 || diff != "" {
			t.Errorf("record %d (-want +got):\n%s", n, diff)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tensor is a record whose features hold one tensor of that kind, with values as the protocol buffer has them.
func tensor(kind protowire.Number, values func([]byte) []byte) []byte {
	message := func(num protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), b)
	}
	value := message(kind, values(nil))
	entry := append(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "values"), message(2, value)...)
	return sagemaker.AppendFrame(nil, message(1, entry))
}

func TestTensorsOfEveryKind(t *testing.T) {
	for _, tt := range []struct {
		name   string
		kind   protowire.Number
		values func([]byte) []byte
	}{
		{"float32, one by one", 2, func(b []byte) []byte {
			for _, bits := range []uint32{0x3f800000, 0xc0000000} {
				b = protowire.AppendFixed32(protowire.AppendTag(b, 1, protowire.Fixed32Type), bits)
			}
			return b
		}},
		{"float64, packed", 3, func(b []byte) []byte {
			p := protowire.AppendFixed64(protowire.AppendFixed64(nil, 0x3ff0000000000000), 0xc000000000000000)
			return protowire.AppendBytes(protowire.AppendTag(b, 1, protowire.BytesType), p)
		}},
		{"int32, packed", 7, func(b []byte) []byte {
			p := protowire.AppendVarint(protowire.AppendVarint(nil, 1), 0xfffffffffffffffe)
			return protowire.AppendBytes(protowire.AppendTag(b, 1, protowire.BytesType), p)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := sagemaker.Records(bytes.NewReader(tensor(tt.kind, tt.values)), func(_ int, rec *sagemaker.Record) error {
				if diff := cmp.Diff([]float64{1, -2}, rec.Features["values"].Values); diff != "" {
					t.Error(diff)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestTensorAsDense(t *testing.T) {
	type tensor = sagemaker.Tensor
	for _, tt := range []struct {
		name string
		t    tensor
		want []float64
		err  string
	}{
		{"dense", tensor{Values: []float64{1, 2, 3}}, []float64{1, 2, 3}, ""},
		{"sparse", tensor{Values: []float64{5}, Keys: []uint64{1}, Shape: []uint64{3}}, []float64{0, 5, 0}, ""},
		{"sparse, all zeros", tensor{Shape: []uint64{3}}, []float64{0, 0, 0}, ""},
		{"a matrix", tensor{Values: []float64{5}, Keys: []uint64{2}, Shape: []uint64{3, 1}}, []float64{0, 0, 5}, ""},
		{"too few", tensor{Values: []float64{1}}, nil, "1 features; want 3"},
		{"none", tensor{}, nil, "0 features; want 3"},
		{"key beyond", tensor{Values: []float64{5}, Keys: []uint64{3}}, nil, "key 3; want less than 3"},
		{"keys without values", tensor{Keys: []uint64{1}}, nil, "1 keys for 0 values"},
		{"another shape", tensor{Values: []float64{1, 2, 3}, Shape: []uint64{4}}, nil, "a tensor of shape [4]; want 3"},
		{"a shape beyond counting", tensor{Shape: []uint64{1 << 40, 1 << 40}}, nil, "a tensor of shape"},
		{"NaN", tensor{Values: []float64{1, nan(), 3}}, nil, "feature 2 is NaN"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.t.Dense(nil, 3)
			if tt.err != "" {
				bad(t, err, tt.err)
				return
			}
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func nan() float64 { z := 0.0; return z / z }

func TestInstances(t *testing.T) {
	for _, tt := range []struct {
		name, kind, body string
		want             [][]float64
		err              string
	}{
		{"features", sagemaker.JSON, `{"instances":[{"features":[1,2e0]},{"features":[-3 , 4.5]}]}`, [][]float64{{1, 2}, {-3, 4.5}}, ""},
		{"data", sagemaker.JSON, `{"instances":[{"data":{"features":{"values":[1,2]}}}]}`, [][]float64{{1, 2}}, ""},
		{"sparse", sagemaker.JSON, `{"instances":[{"data":{"features":{"keys":[1],"shape":[2],"values":[7]}}}]}`, [][]float64{{0, 7}}, ""},
		{"lines", sagemaker.JSONLines, "{\"features\":[1,2]}\n\n{\"data\":{\"features\":{\"values\":[3,4]}}}", [][]float64{{1, 2}, {3, 4}}, ""},
		{"no instances", sagemaker.JSON, `{"rows":[]}`, nil, `no instances`},
		{"no JSON", sagemaker.JSON, "{\n \"instances\": [x]}", nil, "line 2, column 16:"},
		{"a null", sagemaker.JSON, `{"instances":[{"features":[1,null]}]}`, nil, `instance 1: feature 2: "null" is not a number`},
		{"a string", sagemaker.JSON, `{"instances":[{"features":[1,"NaN"]}]}`, nil, `instance 1: feature 2:`},
		{"a list in a list", sagemaker.JSON, `{"instances":[{"features":[[1,2]]}]}`, nil, `instance 1: feature 1:`},
		{"too large a number", sagemaker.JSON, `{"instances":[{"features":[1e999,2]}]}`, nil, `instance 1: feature 1:`},
		{"both", sagemaker.JSON, `{"instances":[{"features":[1],"data":{}}]}`, nil, "instance 1: both"},
		{"neither", sagemaker.JSONLines, "{\"features\":[1,2]}\n{}", nil, "line 2: want"},
		{"a broken line", sagemaker.JSONLines, "{\"features\":[1,2]}\n{\"features\":[1,}", nil, "line 2, column 16:"},
		{"too few", sagemaker.JSON, `{"instances":[{"features":[1]}]}`, nil, "1 features; want 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := instanceRows(tt.kind, []byte(tt.body))
			if tt.err != "" {
				bad(t, err, tt.err)
				return
			}
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func instanceRows(kind string, body []byte) ([][]float64, error) {
	ins, err := sagemaker.Instances(kind, body)
	var rows [][]float64
	for i := range ins {
		if _, err := ins[i].Strings(); err != nil {
			if _, ok := errors.AsType[*sagemaker.BodyError](err); !ok {
				return nil, err
			}
		}
		tensor, err := ins[i].Tensor()
		if err != nil {
			return nil, err
		}
		row, err := tensor.Dense(nil, 2)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, err
}

func csvRows(body string) ([][]float64, error) {
	var rows [][]float64
	err := sagemaker.CSVRows(strings.NewReader(body), func(line int, fields []string) error {
		row, err := sagemaker.Floats(nil, line, 0, fields)
		rows = append(rows, row)
		return err
	})
	return rows, err
}

func TestCSVRows(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       [][]float64
		err        string
	}{
		{"plain", "1,2\n3,4\n", [][]float64{{1, 2}, {3, 4}}, ""},
		{"no newline at the end, spaces, quotes, CRLF", "1, 2\r\n\"3\",4", [][]float64{{1, 2}, {3, 4}}, ""},
		{"nothing", "", nil, ""},
		{"a header", "a,b\n1,2\n", nil, `line 1, field 1: "a" is not a finite number (SageMaker's CSV has no header)`},
		{"a gap", "1,2\n3,\n", nil, `line 2, field 2: "" is not a finite number`},
		{"infinite", "1,inf\n", nil, `line 1, field 2: "inf" is not a finite number`},
		{"a quote left open", "1,2\n\"3,4\n", nil, "line 2, column"},
		{"a line without end", strings.Repeat("1,", 9<<20), nil, "line 1: longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := csvRows(tt.body)
			if tt.err != "" {
				bad(t, err, tt.err)
				return
			}
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

// fuzzed holds a reader to giving rows of finite numbers, or a mistake with its place.
func fuzzed(t *testing.T, rows [][]float64, err error) {
	t.Helper()
	if err != nil {
		if _, ok := errors.AsType[*sagemaker.BodyError](err); !ok {
			t.Fatalf("%v is no BodyError", err)
		}
		return
	}
	for _, row := range rows {
		for _, v := range row {
			if v-v != 0 {
				t.Fatalf("a row holds %v", v)
			}
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("1,2\n3,4\n")
	f.Add("\"1\",\"2\n")
	f.Fuzz(func(t *testing.T, body string) {
		rows, err := csvRows(body)
		fuzzed(t, rows, err)
	})
}

func FuzzInstances(f *testing.F) {
	f.Add(false, []byte(`{"instances":[{"features":[1,2]},{"data":{"features":{"keys":[0],"shape":[2],"values":[1]}}}]}`))
	f.Add(true, []byte("{\"features\":[1,2]}\n{\"features\":[\"a\",\"b\"]}"))
	f.Fuzz(func(t *testing.T, lines bool, body []byte) {
		kind := sagemaker.JSON
		if lines {
			kind = sagemaker.JSONLines
		}
		rows, err := instanceRows(kind, body)
		fuzzed(t, rows, err)
	})
}

func FuzzRecords(f *testing.F) {
	f.Add(sagemaker.AppendRecord(nil, &sagemaker.Record{Features: map[string]sagemaker.Tensor{
		"values": {Values: []float64{1, 2}, Keys: []uint64{0, 1}, Shape: []uint64{2}},
	}}))
	f.Add(append(frame(1, "abcd"), frame(3, "xyz")...))
	f.Fuzz(func(t *testing.T, body []byte) {
		var rows [][]float64
		err := sagemaker.Records(bytes.NewReader(body), func(_ int, rec *sagemaker.Record) error {
			values := rec.Features["values"]
			row, err := values.Dense(nil, 2)
			rows = append(rows, row)
			return err
		})
		fuzzed(t, rows, err)
	})
}
