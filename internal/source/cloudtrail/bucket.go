package cloudtrail

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// bucketDays is how far back a bucket is read that was not read before: from today, or from the newest day in it, where a trail
// has ended.
const bucketDays = 90

// bucket is a trail's bucket in S3: PREFIX/AWSLogs/[ORGANISATION/]ACCOUNT/CloudTrail/REGION/2006/01/02/*.json.gz.
type bucket struct {
	client *s3.Client
	name   string
	prefix string
}

// NewBucket returns the files of c's bucket, read with cfg's credentials: s3:ListBucket and s3:GetObject are all that is needed.
func NewBucket(c Config, cfg aws.Config) Files {
	prefix := strings.Trim(c.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = cfg.BaseEndpoint != nil           // an emulator answers under one name
		o.DisableLogOutputChecksumValidationSkipped = true // a line for each log file that has no checksum
		if c.Region != "" {
			o.Region = c.Region
		}
	})
	return &bucket{client, c.Bucket, prefix}
}

// List lists each account's regions from two days before the newest file that was read: CloudTrail may deliver late, and in a
// year's trail a look must not cost a thousand requests.
func (b *bucket) List(ctx context.Context, read map[string]string) ([]File, error) {
	var out []File
	regions, err := b.regions(ctx, b.prefix+"AWSLogs/", 0)
	if err != nil {
		return nil, err
	}
	for _, region := range regions {
		newest := ""
		for name := range read {
			if rest, ok := strings.CutPrefix(name, region); ok && len(rest) > 10 {
				newest = max(newest, rest[:10])
			}
		}
		var from time.Time
		if day, err := time.Parse("2006/01/02", newest); err == nil {
			from = day.AddDate(0, 0, -2)
		} else if from, err = b.newest(ctx, region); err != nil {
			return nil, err
		} else if now := time.Now().UTC(); from.After(now) || from.IsZero() {
			from = now.AddDate(0, 0, -bucketDays)
		} else {
			from = from.AddDate(0, 0, -bucketDays)
		}
		err := b.pages(ctx, &s3.ListObjectsV2Input{Prefix: aws.String(region), StartAfter: aws.String(region + from.Format("2006/01/02"))}, func(p *s3.ListObjectsV2Output) {
			for _, o := range p.Contents {
				if name := aws.ToString(o.Key); Wanted(name) {
					out = append(out, File{name, strings.Trim(aws.ToString(o.ETag), `"`)})
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// newest returns the newest day that a region has a folder of, the zero time where it has none.
func (b *bucket) newest(ctx context.Context, region string) (time.Time, error) {
	at := region
	for range 3 { // year, month, day
		last := ""
		err := b.pages(ctx, &s3.ListObjectsV2Input{Prefix: aws.String(at), Delimiter: aws.String("/")}, func(p *s3.ListObjectsV2Output) {
			for _, c := range p.CommonPrefixes {
				last = max(last, aws.ToString(c.Prefix))
			}
		})
		if err != nil || last == "" {
			return time.Time{}, err
		}
		at = last
	}
	day, err := time.Parse("2006/01/02/", strings.TrimPrefix(at, region))
	if err != nil {
		return time.Time{}, nil // folders of other names: no day is known
	}
	return day, nil
}

// regions finds the folders of regions below AWSLogs/.
func (b *bucket) regions(ctx context.Context, at string, depth int) (out []string, err error) {
	var below []string
	err = b.pages(ctx, &s3.ListObjectsV2Input{Prefix: aws.String(at), Delimiter: aws.String("/")}, func(p *s3.ListObjectsV2Output) {
		for _, c := range p.CommonPrefixes {
			below = append(below, aws.ToString(c.Prefix))
		}
	})
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(at, "/CloudTrail/") {
		return below, nil
	}
	for _, folder := range below {
		// An account's other folders (digests, Insights, other services' logs) are not gone into.
		name := path.Base(folder)
		if depth < 3 && (name == "CloudTrail" || strings.HasPrefix(name, "o-") || isAccount(name)) {
			more, err := b.regions(ctx, folder, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
	}
	slices.Sort(out)
	return out, nil
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

// pages calls fn with each page of a listing.
func (b *bucket) pages(ctx context.Context, in *s3.ListObjectsV2Input, fn func(*s3.ListObjectsV2Output)) error {
	in.Bucket = aws.String(b.name)
	p := s3.NewListObjectsV2Paginator(b.client, in)
	for p.HasMorePages() {
		pctx, cancel := context.WithTimeout(ctx, time.Minute)
		page, err := p.NextPage(pctx)
		cancel()
		if err != nil {
			return fmt.Errorf("list s3://%s/%s: %w", b.name, aws.ToString(in.Prefix), err)
		}
		fn(page)
	}
	return nil
}

// Fetch copies an object into a temporary file.
func (b *bucket) Fetch(ctx context.Context, name string) (local string, done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(b.name), Key: aws.String(name)})
	if err != nil {
		return "", nil, err
	}
	defer out.Body.Close()
	f, err := os.CreateTemp("", "homeostat-trail-*"+path.Ext(name))
	if err != nil {
		return "", nil, err
	}
	done = func() { _ = os.Remove(f.Name()) }
	if _, err := io.Copy(f, out.Body); err != nil {
		_ = f.Close()
		done()
		return "", nil, err
	}
	if err := f.Close(); err != nil {
		done()
		return "", nil, err
	}
	return f.Name(), done, nil
}
