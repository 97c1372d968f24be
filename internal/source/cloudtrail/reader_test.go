package cloudtrail

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/signal"
)

const plain = `{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDA1","arn":"arn:aws:iam::111122223333:user/ana","accountId":"111122223333","accessKeyId":"AKIA1","userName":"ana"},"eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"eu-west-1","sourceIPAddress":"192.0.2.7","userAgent":"aws-cli/2.15","errorCode":"AccessDenied","requestParameters":{"bucketName":"pay","key":"a/b"},"responseElements":null,"requestID":"r","eventID":"e1","readOnly":true,"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::pay/a/b"}],"eventType":"AwsApiCall","managementEvent":false,"recipientAccountId":"111122223333","eventCategory":"Data"}`

var plainAccess = signal.Access{
	ID: "e1", Time: 1767323045000, Org: "111122223333", Account: "111122223333", Type: "IAMUser", User: "ana",
	ARN: "arn:aws:iam::111122223333:user/ana", Key: "AKIA1", Address: "192.0.2.7", Service: "s3.amazonaws.com", API: "GetObject",
	Region: "eu-west-1", Agent: "aws-cli/2.15", Error: "AccessDenied", Kind: "AwsApiCall", Category: "Data", ReadOnly: true,
	Resources: []string{"bucketName=pay", "arn:aws:s3:::pay/a/b"},
}

func readAll(t *testing.T, name string, in io.Reader) ([]signal.Access, *Reader) {
	t.Helper()
	r, err := NewReader(name, in, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []signal.Access
	for {
		var a signal.Access
		err := r.Next(&a)
		if errors.Is(err, io.EOF) {
			return all, r
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
}

func packed(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

func TestReaderReadsEveryShape(t *testing.T) {
	quoted := strings.ReplaceAll(strings.ReplaceAll(plain, `\`, `\\`), `"`, `\"`)
	for _, tt := range []struct{ name, text string }{
		{"log file", `{"Records":[` + plain + `]}`},
		{"log file with another member first", `{"x":{"y":[1]},"Records":[` + plain + `]}`},
		{"list", "[" + plain + "]"},
		{"one record", plain},
		{"JSON Lines", plain + "\n"},
		{"byte order mark", "\xef\xbb\xbf" + plain},
		{"packed", packed(plain)},
		{"packed twice", packed(packed(plain))},
		{"EventBridge", `{"version":"0","id":"x","detail-type":"AWS API Call via CloudTrail","source":"aws.s3","account":"111122223333","time":"2026-01-02T03:04:05Z","region":"eu-west-1","resources":[],"detail":` + plain + `}`},
		{"a list of envelopes", `[{"detail-type":"AWS API Call via CloudTrail","detail":` + plain + `}]`},
		{"LookupEvents", `{"Events":[{"EventId":"e1","EventName":"GetObject","CloudTrailEvent":"` + quoted + `"}]}`},
		{"CloudWatch Logs", `{"messageType":"DATA_MESSAGE","logEvents":[{"id":"1","timestamp":1,"message":"` + quoted + `"}]}`},
		{"Lake, one column", "eventJson\n\"" + strings.ReplaceAll(plain, `"`, `""`) + "\"\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, in := range []io.Reader{strings.NewReader(tt.text), iotest.OneByteReader(strings.NewReader(tt.text))} {
				got, r := readAll(t, "f", in)
				if diff := cmp.Diff([]signal.Access{plainAccess}, got); diff != "" {
					t.Error(diff)
				}
				if r.Broken+r.Others > 0 {
					t.Errorf("%d broken, %d others: %v", r.Broken, r.Others, r.Problems())
				}
			}
		})
	}
}

func TestReaderReadsTablesOfLake(t *testing.T) {
	const text = "eventversion,useridentity,eventtime,eventsource,eventname,awsregion,sourceipaddress,useragent,errorcode,eventid,readonly,recipientaccountid,resources\n" +
		`1.08,"{type=AssumedRole, principalid=AROA:ana, arn=arn:aws:sts::1:assumed-role/Dev/ana, accountid=1, accesskeyid=ASIA1, username=null, sessioncontext={attributes={creationdate=x, mfaauthenticated=false}, sessionissuer={type=Role, arn=arn:aws:iam::1:role/Dev, username=Dev}, sourceidentity=null}, invokedby=null}",2026-01-02 03:04:05.000,s3.amazonaws.com,GetObject,eu-west-1,192.0.2.7,"Mozilla/5.0 (X11; Linux, like = Gecko)",,e1,true,1,null` + "\n"
	got, _ := readAll(t, "f", strings.NewReader(text))
	want := []signal.Access{{
		ID: "e1", Time: 1767323045000, Org: "1", Account: "1", Type: "AssumedRole", User: "Dev/ana", Session: "ana", Role: "Dev",
		ARN: "arn:aws:sts::1:assumed-role/Dev/ana", Key: "ASIA1", Address: "192.0.2.7", Service: "s3.amazonaws.com", API: "GetObject",
		Region: "eu-west-1", Agent: "Mozilla/5.0 (X11; Linux, like = Gecko)", ReadOnly: true,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReaderKeepsWhatIsNullMissingOrUnknown(t *testing.T) {
	const text = `{"Records":[{"eventVersion":"1.1","userIdentity":null,"eventTime":null,"eventName":null,"eventID":null},
		{"eventTime":"2026-01-02T03:04:05Z","eventName":"A","novel":{"a":[1]},"userIdentity":{"type":"IAMUser","userName":"ana","colour":"red"}},
		{"allNew1":"x","allNew2":{}}]}`
	got, r := readAll(t, "f", strings.NewReader(text))
	want := []signal.Access{
		{User: "unknown"},
		{Time: 1767323045000, API: "A", Type: "IAMUser", User: "ana", Extra: []byte(`{"novel":{"a":[1]},"userIdentity.colour":"red"}`)},
		{User: "unknown", Extra: []byte(`{"allNew1":"x","allNew2":{}}`)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if r.Broken+r.Others > 0 {
		t.Errorf("%d broken, %d others", r.Broken, r.Others)
	}
}

func TestReaderCountsWhatIsBrokenAndGoesOn(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		records    int
		problem    string
	}{
		{"a brace is missing", "{\"Records\":[\n{\"eventTime\":\"2026-01-02T03:04:05Z\",\"userIdentity\":{\"type\":\"a\",\"eventName\":\"A\"},\n" + plain + "]}", 1, "f:3:1: expected the name of a member"},
		{"a line that isn't closed", "{\"eventID\":\"x,\n" + plain + "\n", 1, "f:1:15: a string is not closed on its line"},
		{"words between lines", plain + "\noops\n" + plain + "\n", 2, "f:2:1: expected a value"},
		{"cut short", `{"Records":[` + plain + `,{"eventID":"x","eventTi`, 1, fmt.Sprintf("f:1:%d: the text ends within a record", len(plain)+len(`{"Records":[,{"eventID":"x","eventTi`)+1)},
		{"list not closed", "[" + plain, 1, fmt.Sprintf("f:1:%d: the file ends within a list", len(plain)+2)},
		{"value missing", `[{"eventID":,"eventTime":1},` + plain + `]`, 1, "f:1:13: expected a value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, r := readAll(t, "f", iotest.HalfReader(strings.NewReader(tt.text)))
			if len(got) != tt.records || r.Broken != 1 {
				t.Errorf("%d records, %d broken places: %v", len(got), r.Broken, r.Problems())
			}
			if len(r.Problems()) == 0 || r.Problems()[0].String() != tt.problem {
				t.Errorf("got %v, want %s", r.Problems(), tt.problem)
			}
		})
	}
}

func TestReaderNamesEveryIdentity(t *testing.T) {
	for _, tt := range []struct{ identity, want string }{
		{`{"type":"Root","arn":"arn:aws:iam::1:root","accountId":"1"}`, "root"},
		{`{"type":"IAMUser","userName":"ana"}`, "ana"},
		{`{"type":"IAMUser","arn":"arn:aws:iam::1:user/team/ana"}`, "team/ana"},
		{`{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/Dev/ana","principalId":"AROA:ana","sessionContext":{"sessionIssuer":{"userName":"Dev"}}}`, "Dev/ana"},
		{`{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/Dev/x","sessionContext":{"sourceIdentity":"ana"}}`, "ana"},
		{`{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/ana@example.com"}`, "ana@example.com"},
		{`{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/Web/i-0123456789abcdef0"}`, "Web/i-*"},
		{`{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/CI/GitHubActions"}`, "CI/GitHubActions"},
		{`{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/CI/botocore-session-1700000000"}`, "CI/botocore-session-*"},
		{`{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/CI/3f0e8f7a-9d7a-4b0c-8a53-0a2f6c1d2e3f"}`, "CI/*-9d7a-4b0c-8a53-*"},
		{`{"type":"FederatedUser","arn":"arn:aws:sts::1:federated-user/bob"}`, "bob"},
		{`{"type":"SAMLUser","principalId":"x:ana","userName":"ana"}`, "ana"},
		{`{"type":"WebIdentityUser","principalId":"accounts.google.com:app.apps:123","userName":"123"}`, "123"},
		{`{"type":"IdentityCenterUser","accountId":"1","onBehalfOf":{"userId":"544894e8","identityStoreArn":"a"},"credentialId":"c"}`, "544894e8"},
		{`{"type":"AWSService","invokedBy":"autoscaling.amazonaws.com"}`, "autoscaling.amazonaws.com"},
		{`{"type":"AWSAccount","accountId":"9"}`, "account 9"},
		{`{"type":"AWSAccount","principalId":"AIDA9","accountId":"9"}`, "AIDA9"},
		{`{"type":"Unknown"}`, "unknown"},
		{`"somebody"`, "unknown"},
	} {
		got, _ := readAll(t, "f", strings.NewReader(`{"eventName":"A","eventTime":"2026-01-02T03:04:05Z","userIdentity":`+tt.identity+`}`))
		if len(got) != 1 || got[0].User != tt.want {
			t.Errorf("%s: got %+v, want user %q", tt.identity, got, tt.want)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, s := range []string{
		plain, `{"Records":[` + plain + `]}`, `[{"a":1}`, packed(plain), "eventName,useridentity\nA,{type=x}\n", `{"Records":[{"userIdentity":{"a":"\ud83d\ude00\u12"}}]}`,
		`{"Events":[{"CloudTrailEvent":"{\"eventID\":1}"}]}`, "{\"a\":\n{{{", `{"detail":{"detail":[]}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader("f", bytes.NewReader(b), nil)
		if err != nil {
			return
		}
		for n := 0; ; n++ {
			var a signal.Access
			if err := r.Next(&a); err != nil {
				break
			}
			if n > len(b)+1000 && len(b) > 0 && b[0] != 0x1f {
				t.Fatalf("%d records out of %d bytes", n, len(b))
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	var text bytes.Buffer
	text.WriteString(`{"Records":[`)
	const n = 10_000
	for i := range n {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(strings.ReplaceAll(plain, `"e1"`, fmt.Sprintf(`"%08d-5c4d-4b0c-8a53-0a2f6c1d2e3f"`, i)))
	}
	text.WriteString("]}")
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewReader("f", bytes.NewReader(text.Bytes()), nil)
		if err != nil {
			b.Fatal(err)
		}
		var a signal.Access
		for err == nil {
			err = r.Next(&a)
		}
		if r.Records != n {
			b.Fatal(r.Records)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "records/s")
}
