package cloudtrail

import (
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"
)

// bucketServer answers ListObjectsV2 and GetObject as S3 does, a page of two keys at a time.
func bucketServer(t *testing.T, objects map[string]string, asked *[]string) aws.Config {
	t.Helper()
	type object struct {
		Key  string
		ETag string
	}
	type prefix struct{ Prefix string }
	type answer struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []object
		CommonPrefixes        []prefix
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("list-type") != "2" {
			text, ok := objects[strings.TrimPrefix(r.URL.Path, "/trail/")]
			if !ok {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			_, _ = w.Write([]byte(text))
			return
		}
		*asked = append(*asked, q.Get("start-after"))
		var a answer
		seen := map[string]bool{}
		n := 0
		for _, key := range slices.Sorted(mapOf(objects)) {
			rest, ok := strings.CutPrefix(key, q.Get("prefix"))
			if !ok || key <= max(q.Get("start-after"), q.Get("continuation-token")) {
				continue
			}
			if folder, _, nested := strings.Cut(rest, "/"); nested && q.Get("delimiter") == "/" {
				if p := q.Get("prefix") + folder + "/"; !seen[p] {
					seen[p] = true
					a.CommonPrefixes = append(a.CommonPrefixes, prefix{p})
				}
				continue
			}
			if n == 2 {
				a.IsTruncated, a.NextContinuationToken = true, a.Contents[1].Key
				break
			}
			a.Contents = append(a.Contents, object{key, `"1"`})
			n++
		}
		_ = xml.NewEncoder(w).Encode(a)
	}))
	t.Cleanup(s.Close)
	return aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(s.URL), Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
}

func mapOf(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestSourceReadsABucket(t *testing.T) {
	day := func(n int) string { return time.Now().UTC().AddDate(0, 0, n).Format("2006/01/02/") }
	root := "logs/AWSLogs/111122223333/"
	name := func(n int, id string) string {
		return "111122223333_CloudTrail_eu-west-1_" + strings.ReplaceAll(strings.TrimSuffix(day(n), "/"), "/", "") + "T0905Z_" + id + ".json.gz"
	}
	objects := map[string]string{
		root + "CloudTrail/eu-west-1/" + day(-200) + name(-200, "old"):                  packed(record("long ago", 1)),
		root + "CloudTrail/eu-west-1/" + day(-3) + name(-3, "a"):                        packed(record("a", 1)),
		root + "CloudTrail/eu-west-1/" + day(-2) + name(-2, "b"):                        packed(record("b", 2)),
		root + "CloudTrail/eu-west-1/" + day(-1) + name(-1, "c"):                        packed(record("c", 3)),
		root + "CloudTrail/us-east-1/" + day(-1) + name(-1, "d"):                        packed(record("d", 4)),
		root + "CloudTrail-Digest/eu-west-1/" + day(-1) + "d.json.gz":                   packed("{}"),
		"logs/AWSLogs/o-abc/444455556666/CloudTrail/eu-west-1/" + day(-1) + "x.json.gz": packed(record("e", 5)),
		"logs/AWSLogs/111122223333/elasticloadbalancing/eu-west-1/x.log.gz":             packed("no json"),
	}
	var asked []string
	cfg := bucketServer(t, objects, &asked)
	c := Config{Bucket: "trail", Prefix: "/logs/"}
	state := filepath.Join(t.TempDir(), "state.json")
	sink := &memory{}
	look := func() {
		t.Helper()
		s, err := New(c, NewBucket(c, cfg), state, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Look(t.Context(), sink); err != nil {
			t.Fatal(err)
		}
	}
	look()
	slices.Sort(sink.ids)
	if diff := cmp.Diff([]string{"a", "b", "c", "d", "e"}, sink.ids); diff != "" {
		t.Error(diff)
	}
	sink.ids, asked = nil, nil
	objects[root+"CloudTrail/eu-west-1/"+day(0)+name(0, "new")] = packed(record("f", 6))
	look() // by another, after a restart
	if diff := cmp.Diff([]string{"f"}, sink.ids); diff != "" {
		t.Error(diff)
	}
	if want := root + "CloudTrail/eu-west-1/" + strings.TrimSuffix(day(-3), "/"); !slices.Contains(asked, want) {
		t.Errorf("asked from %q, want from %s on", asked, want)
	}
}
