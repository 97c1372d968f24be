package cloudtrail

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// delivery writes three hours of a trail with digests as CloudTrail does, signed with key.
func delivery(t *testing.T, key *rsa.PrivateKey) (dir string) {
	t.Helper()
	dir = t.TempDir()
	var prevObject, prevSum, prevSign string
	for h := range 3 {
		var logs []map[string]any
		for i := range 2 {
			name := fmt.Sprintf("1_CloudTrail_eu_20260102T%02d0%dZ_x%d%d.json.gz", h, i, h, i)
			text := `{"Records":[` + record(fmt.Sprint(h, i), h) + `]}`
			put(t, filepath.Join(dir, "AWSLogs/1/CloudTrail/eu/2026/01/02", name), packed(text))
			sum := sha256.Sum256([]byte(text))
			logs = append(logs, map[string]any{"s3Bucket": "b", "s3Object": "AWSLogs/1/CloudTrail/eu/2026/01/02/" + name, "hashValue": hex.EncodeToString(sum[:]), "hashAlgorithm": "SHA-256"})
		}
		end := fmt.Sprintf("2026-01-02T%02d:05:00Z", h+1)
		object := fmt.Sprintf("AWSLogs/1/CloudTrail-Digest/eu/2026/01/02/1_CloudTrail-Digest_eu_trail_eu_20260102T%02d0500Z.json.gz", h+1)
		d := map[string]any{
			"awsAccountId": "1", "digestEndTime": end, "digestS3Bucket": "b", "digestS3Object": object, "digestPublicKeyFingerprint": "f",
			"digestSignatureAlgorithm": "SHA256withRSA", "previousDigestS3Object": nil, "previousDigestHashValue": nil, "previousDigestSignature": nil, "logFiles": logs,
		}
		before := "null"
		if h > 0 {
			d["previousDigestS3Object"], d["previousDigestHashValue"], d["previousDigestSignature"] = prevObject, prevSum, prevSign
			before = prevSign
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		prevObject, prevSum = object, hex.EncodeToString(sum[:])
		signed := sha256.Sum256([]byte(end + "\nb/" + object + "\n" + prevSum + "\n" + before))
		sign, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, signed[:])
		if err != nil {
			t.Fatal(err)
		}
		prevSign = hex.EncodeToString(sign)
		put(t, filepath.Join(dir, object), packed(string(text)))
		if h == 2 {
			put(t, filepath.Join(dir, object+".signature"), prevSign+"\n")
		}
	}
	return dir
}

func TestVerifyHoldsLogFilesToTheirDigests(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	list := fmt.Sprintf(`{"PublicKeyList":[{"Value":%q,"Fingerprint":"f"}]}`, base64.StdEncoding.EncodeToString(public))
	const logs, digests = "AWSLogs/1/CloudTrail/eu/2026/01/02/", "AWSLogs/1/CloudTrail-Digest/eu/2026/01/02/"
	for _, tt := range []struct {
		name  string
		keys  string
		spoil func(t *testing.T, dir string)
		want  Report // Problems: a part of each
	}{
		{"whole", list, nil, Report{Digests: 3, Signed: 3, Logs: 6, Verified: 6}},
		{"PEM", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: public})), nil, Report{Digests: 3, Signed: 3, Logs: 6, Verified: 6}},
		{"without keys", "", nil, Report{Digests: 3, Unsigned: 3, Logs: 6, Verified: 6}},
		{"the newest signature is not at hand", list, func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, digests+"1_CloudTrail-Digest_eu_trail_eu_20260102T030500Z.json.gz.signature")); err != nil {
				t.Fatal(err)
			}
		}, Report{Digests: 3, Signed: 2, Unsigned: 1, Logs: 6, Verified: 6}},
		{"a log altered", list, func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, logs+"1_CloudTrail_eu_20260102T0100Z_x10.json.gz"), packed(`{"Records":[]}`))
		}, Report{Digests: 3, Signed: 3, Logs: 6, Verified: 5, Problems: []string{"x10.json.gz: its hash is not the one"}}},
		{"a log missing", list, func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, logs+"1_CloudTrail_eu_20260102T0000Z_x00.json.gz")); err != nil {
				t.Fatal(err)
			}
		}, Report{Digests: 3, Signed: 3, Logs: 6, Verified: 5, Problems: []string{"x00.json.gz is missing"}}},
		{"a log that nobody names", list, func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, logs+"1_CloudTrail_eu_20260102T0900Z_new.json.gz"), packed(`{"Records":[]}`))
		}, Report{Digests: 3, Signed: 3, Logs: 6, Verified: 6, Extra: 1}},
		{"a digest altered", list, func(t *testing.T, dir string) {
			name := filepath.Join(dir, digests+"1_CloudTrail-Digest_eu_trail_eu_20260102T020500Z.json.gz")
			put(t, name, packed(`{"digestEndTime":"2026-01-02T02:05:00Z","digestS3Object":"`+digests+`1_CloudTrail-Digest_eu_trail_eu_20260102T020500Z.json.gz","digestPublicKeyFingerprint":"f","digestSignatureAlgorithm":"SHA256withRSA","logFiles":[]}`))
		}, Report{Digests: 3, Signed: 1, Unsigned: 1, Logs: 4, Verified: 4, Extra: 2, Problems: []string{"it is not the digest that", "its signature is not CloudTrail's"}}},
		{"a digest missing", list, func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, digests+"1_CloudTrail-Digest_eu_trail_eu_20260102T020500Z.json.gz")); err != nil {
				t.Fatal(err)
			}
		}, Report{Digests: 2, Signed: 1, Unsigned: 1, Logs: 4, Verified: 4, Extra: 2, Problems: []string{"T020500Z.json.gz, is missing"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := delivery(t, key)
			if tt.spoil != nil {
				tt.spoil(t, dir)
			}
			var keys *Keys
			if tt.keys != "" {
				if keys, err = ReadKeys([]byte(tt.keys)); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Verify(t.Context(), []string{dir}, keys)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Problems) != len(tt.want.Problems) {
				t.Fatalf("problems %q, want %q", got.Problems, tt.want.Problems)
			}
			for i, p := range tt.want.Problems {
				if !strings.Contains(got.Problems[i], p) {
					t.Errorf("problem %q, want %q", got.Problems[i], p)
				}
			}
			got.Problems, tt.want.Problems = nil, nil
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, bad := range []string{"", "{}", "no key", `{"PublicKeyList":[{"Value":"!"}]}`} {
		if _, err := ReadKeys([]byte(bad)); err == nil {
			t.Errorf("%q is taken for keys", bad)
		}
	}
}
