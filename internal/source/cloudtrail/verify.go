package cloudtrail

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// digest is a digest file: what was delivered within an hour, chained to the digest before.
//
// Source: "CloudTrail digest file structure", AWS CloudTrail user guide.
type digest struct {
	Account     string    `json:"awsAccountId"`
	Start       string    `json:"digestStartTime"`
	End         string    `json:"digestEndTime"`
	Bucket      string    `json:"digestS3Bucket"`
	Object      string    `json:"digestS3Object"`
	Fingerprint string    `json:"digestPublicKeyFingerprint"`
	Algorithm   string    `json:"digestSignatureAlgorithm"`
	PrevObject  string    `json:"previousDigestS3Object"`
	PrevHash    string    `json:"previousDigestHashValue"`
	PrevSign    *string   `json:"previousDigestSignature"`
	Logs        []logFile `json:"logFiles"`

	path string
	sum  string // SHA-256 of its unpacked text, in hex
	sign string // its signature in hex, where one is at hand
}

type logFile struct {
	Bucket string `json:"s3Bucket"`
	Object string `json:"s3Object"`
	Hash   string `json:"hashValue"`
}

// Keys are public keys of CloudTrail, by fingerprint; those without one are tried for every digest.
type Keys struct {
	byFingerprint map[string]*rsa.PublicKey
	others        []*rsa.PublicKey
}

// ReadKeys reads public keys: the answer of ListPublicKeys as JSON, PEM, or DER (PKCS #1 or PKIX).
func ReadKeys(text []byte) (*Keys, error) {
	k := &Keys{byFingerprint: map[string]*rsa.PublicKey{}}
	if t := bytes.TrimSpace(text); len(t) > 0 && t[0] == '{' {
		var doc struct {
			PublicKeyList []struct{ Value, Fingerprint string }
		}
		if err := json.Unmarshal(t, &doc); err != nil {
			return nil, err
		}
		for i, e := range doc.PublicKeyList {
			der, err := base64.StdEncoding.DecodeString(e.Value)
			if err != nil {
				return nil, fmt.Errorf("key %d: %w", i+1, err)
			}
			key, err := keyOf(der)
			if err != nil {
				return nil, fmt.Errorf("key %d: %w", i+1, err)
			}
			k.byFingerprint[e.Fingerprint] = key
		}
		if len(k.byFingerprint) == 0 {
			return nil, errors.New("no PublicKeyList with keys")
		}
		return k, nil
	}
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		key, err := keyOf(block.Bytes)
		if err != nil {
			return nil, err
		}
		k.others = append(k.others, key)
	}
	if len(k.others) == 0 {
		key, err := keyOf(text)
		if err != nil {
			return nil, errors.New("neither the JSON of ListPublicKeys, nor PEM, nor DER with an RSA public key")
		}
		k.others = append(k.others, key)
	}
	return k, nil
}

func keyOf(der []byte) (*rsa.PublicKey, error) {
	if key, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return key, nil
	}
	any, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := any.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T, want RSA", any)
	}
	return key, nil
}

// Report says what Verify found. What is wrong is in Problems, each with its file.
type Report struct {
	Digests  int      `json:"digests"`
	Signed   int      `json:"signed"`   // of them, those whose signature was checked and holds
	Unsigned int      `json:"unsigned"` // those whose signature or key is not at hand
	Logs     int      `json:"logs"`     // log files that digests name
	Verified int      `json:"verified"` // of them, those that are as they were delivered
	Extra    int      `json:"extra"`    // log files that no digest names: the newest have none yet
	Problems []string `json:"problems"`
}

// Verify checks log files against the digests beside them: that each log file a digest names is there and has its hash, that
// each digest is the one that the next one names, and, with keys, that its signature is CloudTrail's. A digest's signature is
// in the next one; the newest's, which S3 keeps as metadata of the object, is taken from a file of its name with .signature
// behind it, where there is one.
func Verify(ctx context.Context, paths []string, keys *Keys) (*Report, error) {
	r := &Report{Problems: []string{}}
	logs := map[string]string{} // base name -> path: CloudTrail draws a part of it
	var digests []*digest
	for _, root := range paths {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil || d.IsDir() {
				return err
			}
			base := filepath.Base(name)
			switch {
			case !strings.HasSuffix(base, ".json.gz") && !strings.HasSuffix(base, ".json"):
			case strings.Contains(base, "_CloudTrail-Digest_"):
				g, err := readDigest(name)
				if err != nil {
					r.problem("%s: %v", name, err)
					return nil
				}
				digests = append(digests, g)
			default:
				logs[base] = name
			}
			return nil
		})
		if err != nil {
			return r, err
		}
	}
	slices.SortFunc(digests, func(a, b *digest) int { return cmp.Or(cmp.Compare(a.End, b.End), cmp.Compare(a.Object, b.Object)) })
	byObject := map[string]*digest{}
	for _, g := range digests {
		byObject[g.Object] = g
	}
	for _, g := range digests {
		prev := byObject[g.PrevObject]
		if prev == nil || g.PrevObject == "" {
			continue
		}
		if prev.sum != g.PrevHash {
			r.problem("%s: it is not the digest that %s names as the one before: altered", prev.path, filepath.Base(g.path))
		}
		if g.PrevSign != nil {
			prev.sign = *g.PrevSign
		}
	}
	named := map[string]bool{}
	for i, g := range digests {
		if err := ctx.Err(); err != nil {
			return r, context.Cause(ctx)
		}
		r.Digests++
		r.signature(g, keys)
		// Where an older digest of this trail and region is at hand, the one before has to be there too.
		if g.PrevObject != "" && byObject[g.PrevObject] == nil && slices.ContainsFunc(digests[:i], func(o *digest) bool { return chain(o.Object) == chain(g.Object) }) {
			r.problem("%s: the digest before it, %s, is missing", g.path, g.PrevObject)
		}
		for _, l := range g.Logs {
			r.Logs++
			base := path.Base(l.Object)
			named[base] = true
			name, ok := logs[base]
			if !ok {
				r.problem("%s: log file %s is missing", filepath.Base(g.path), l.Object)
				continue
			}
			sum, err := sumOf(name)
			switch {
			case err != nil:
				r.problem("%s: %v", name, err)
			case sum != l.Hash:
				r.problem("%s: its hash is not the one in %s: altered", name, filepath.Base(g.path))
			default:
				r.Verified++
			}
		}
	}
	for base := range logs {
		if !named[base] {
			r.Extra++
		}
	}
	return r, nil
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// signature checks a digest's signature.
func (r *Report) signature(g *digest, keys *Keys) {
	if g.sign == "" {
		if b, err := os.ReadFile(g.path + ".signature"); err == nil {
			g.sign = strings.TrimSpace(string(b))
		}
	}
	if g.sign == "" || keys == nil {
		r.Unsigned++
		return
	}
	candidates := keys.others
	if key := keys.byFingerprint[g.Fingerprint]; key != nil {
		candidates = []*rsa.PublicKey{key}
	}
	if len(candidates) == 0 {
		r.Unsigned++
		return
	}
	sign, err := hex.DecodeString(g.sign)
	if err != nil || g.Algorithm != "SHA256withRSA" {
		r.problem("%s: a signature that is not SHA256withRSA in hex", g.path)
		return
	}
	before := "null"
	if g.PrevSign != nil {
		before = *g.PrevSign
	}
	sum := sha256.Sum256([]byte(g.End + "\n" + g.Bucket + "/" + g.Object + "\n" + g.sum + "\n" + before))
	for _, key := range candidates {
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sign) == nil {
			r.Signed++
			return
		}
	}
	r.problem("%s: its signature is not CloudTrail's: altered, or of another key", g.path)
}

// chain is what the digests of one trail and region have in common: their object's name without the time.
func chain(object string) string {
	base := path.Base(object)
	if i := strings.LastIndexByte(base, '_'); i >= 0 {
		return base[:i]
	}
	return base
}

func readDigest(name string) (*digest, error) {
	var text bytes.Buffer
	sum, err := unpack(&text, name)
	if err != nil {
		return nil, err
	}
	g := &digest{path: name, sum: sum}
	if err := json.Unmarshal(text.Bytes(), g); err != nil {
		return nil, err
	}
	if _, err := time.Parse(time.RFC3339, g.End); err != nil || g.Object == "" {
		return nil, errors.New("not a digest of CloudTrail: no digestEndTime and digestS3Object")
	}
	return g, nil
}

// maxDigest bounds the unpacked text of a digest.
const maxDigest = 256 << 20

// unpack copies the unpacked text of a file to w and returns its SHA-256 in hex.
func unpack(w io.Writer, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var in io.Reader = f
	var magic [2]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if magic == [2]byte{0x1f, 0x8b} {
		z, err := gzip.NewReader(f)
		if err != nil {
			return "", err
		}
		in = z
	}
	h := sha256.New()
	if n, err := io.Copy(io.MultiWriter(h, w), io.LimitReader(in, maxDigest+1)); err != nil {
		return "", err
	} else if n > maxDigest {
		return "", fmt.Errorf("more than %d bytes unpacked", maxDigest)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func sumOf(name string) (string, error) { return unpack(io.Discard, name) }
