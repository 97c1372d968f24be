package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/prometheus/client_golang/prometheus"

	"homeostat/internal/action/aws"
	"homeostat/internal/action/aws/awstest"
	"homeostat/internal/signal"
)

// accessCount counts accesses, each by its id.
type accessCount map[string]int

func (c accessCount) AppendAccesses(_ context.Context, rows []signal.Access) error {
	for i := range rows {
		c[rows[i].ID]++
	}
	return nil
}

// TestATrailsBucketIsReadFromS3 reads log files of two regions from an emulator of S3, and what
// comes later; and a trail that ended long ago.
func TestATrailsBucketIsReadFromS3(t *testing.T) {
	url, stop, err := awstest.Run()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	cfg := defaultConfig()
	cfg.AWS.Region, cfg.AWS.Endpoint = "eu-west-1", url
	sessions, err := aws.Open(t.Context(), cfg.AWS)
	if err != nil {
		t.Fatal(err)
	}
	client := s3.NewFromConfig(sessions.Of("", ""), func(o *s3.Options) { o.UsePathStyle = true })
	packed := func(text []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	put := func(bucket, key string, text []byte) {
		t.Helper()
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(text)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		bucket string
		end    time.Time
	}{{"trail", time.Now().UTC()}, {"ended", time.Now().UTC().AddDate(-2, 0, 0)}} {
		t.Run(tt.bucket, func(t *testing.T) {
			_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{
				Bucket: &tt.bucket, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraintEuWest1},
			})
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			trailOf(t, dir, tt.end) // a file a day, 40 of them, of 20 accesses
			files, err := filepath.Glob(filepath.Join(dir, "*.json"))
			if err != nil || len(files) != 40 {
				t.Fatal(files, err)
			}
			key := func(region, date, name string) string {
				return fmt.Sprintf("logs/AWSLogs/111122223333/CloudTrail/%s/%s/%s/%s/%s.gz", region, date[:4], date[4:6], date[6:8], name)
			}
			for _, f := range files {
				text, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				name := filepath.Base(f)
				put(tt.bucket, key("eu-west-1", strings.Split(name, "_")[3], name), packed(text))
			}
			last := strings.Split(filepath.Base(files[39]), "_")[3]
			put(tt.bucket, strings.Replace(key("eu-west-1", last, "digest.json"), "/CloudTrail/", "/CloudTrail-Digest/", 1), packed([]byte(`{}`)))
			put(tt.bucket, key("us-east-1", last, "other.json"), packed([]byte(`{"Records":[{"eventID":"far","eventTime":"`+tt.end.Format(time.RFC3339)+`","recipientAccountId":"111122223333"}]}`)))
			put(tt.bucket, key("eu-west-1", tt.end.AddDate(0, 0, -300).Format("20060102"), "old.json"), packed([]byte(`{"Records":[{"eventID":"old","eventTime":"2020-01-01T00:00:00Z"}]}`)))

			c := cfg
			c.Sources.CloudTrail.Bucket, c.Sources.CloudTrail.Prefix = tt.bucket, "logs"
			source, err := openTrail(t.Context(), &c, filepath.Join(dir, "state.json"), nil, prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			got := accessCount{}
			if err := source.Look(t.Context(), got); err != nil {
				t.Fatal(err)
			}
			if len(got) != 801 || got["far"] != 1 || got["old"] != 0 {
				t.Errorf("%d accesses, that of the other region %d times, that of 300 days ago %d times", len(got), got["far"], got["old"])
			}
			put(tt.bucket, key("eu-west-1", last, "z-late.json"), packed([]byte(`{"Records":[{"eventID":"late","eventTime":"`+tt.end.Format(time.RFC3339)+`","recipientAccountId":"111122223333"}]}`)))
			later := accessCount{}
			if err := source.Look(t.Context(), later); err != nil {
				t.Fatal(err)
			}
			if len(later) != 1 || later["late"] != 1 {
				t.Errorf("later came %v", later)
			}
		})
	}
}
