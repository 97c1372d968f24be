package aws

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Config says where AWS is, and as whom. Without a region there is no AWS: nothing of it is called.
type Config struct {
	// Region in which runbooks act, unless the event that started one names another of an account below. Empty means that
	// runbooks can't act on AWS.
	Region string `yaml:"region"`
	// Role to assume for what names none itself; empty means Homeostat's own credentials, which are found as the AWS CLI finds them.
	Role string `yaml:"role"`
	// Accounts besides the own one in which runbooks may act, and the role to assume in each.
	Accounts []Account `yaml:"accounts"`
	// Endpoint that takes the place of all services' own: an emulator's, in tests.
	Endpoint string `yaml:"endpoint"`
}

// Account is one AWS account that events may name.
type Account struct {
	// ID of the account, 12 digits.
	ID string `yaml:"id"`
	// Role to assume there.
	Role string `yaml:"role"`
	// Regions of it in which runbooks may act; the configuration's region when empty.
	Regions []string `yaml:"regions"`
}

var (
	accountID  = regexp.MustCompile(`^[0-9]{12}$`)
	regionName = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
	roleARN    = regexp.MustCompile(`^arn:aws[a-z-]*:iam::([0-9]{12}):role/[\w+=,.@/-]+$`)
)

// Check returns all mistakes; each begins with the key that it is about.
func (c Config) Check() []error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Region != "" && !regionName.MatchString(c.Region) {
		fail("region: want one such as eu-west-1, not %q", c.Region)
	}
	if c.Region == "" && (c.Role != "" || c.Endpoint != "" || len(c.Accounts) > 0) {
		fail("region: it is needed")
	}
	if c.Role != "" && !roleARN.MatchString(c.Role) {
		fail("role: want the ARN of a role, not %q", c.Role)
	}
	for i, a := range c.Accounts {
		at := fmt.Sprintf("accounts[%d]", i)
		if !accountID.MatchString(a.ID) {
			fail("%s.id: want 12 digits, not %q", at, a.ID)
		}
		if !roleARN.MatchString(a.Role) {
			fail("%s.role: want the ARN of a role, not %q", at, a.Role)
		}
		for j, r := range a.Regions {
			if !regionName.MatchString(r) {
				fail("%s.regions[%d]: want one such as eu-west-1, not %q", at, j, r)
			}
		}
	}
	return errs
}

// Sessions hands out the SDK's configuration for a role and region: credentials that renew themselves, and retries that slow
// down as a service throttles, shared by all calls to it. Safe for concurrent use.
type Sessions struct {
	cfg  Config
	base aws.Config

	mu   sync.Mutex
	open map[place]aws.Config
}

// place is as whom, and where.
type place struct{ role, region string }

// callTime bounds one call of an API, retries included; a step's own time-out may be shorter.
const callTime = 2 * time.Minute

// Open finds credentials as the AWS CLI does. It calls nobody.
func Open(ctx context.Context, c Config) (*Sessions, error) {
	opts := []func(*config.LoadOptions) error{
		config.WithRegion(c.Region),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
				o.StandardOptions = append(o.StandardOptions, func(s *retry.StandardOptions) { s.MaxAttempts = 5 })
			})
		}),
	}
	if c.Endpoint != "" {
		opts = append(opts, config.WithBaseEndpoint(c.Endpoint))
	}
	base, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("AWS: %w", err)
	}
	return &Sessions{cfg: c, base: base, open: map[place]aws.Config{}}, nil
}

// Of returns the configuration for a role, "" being the configured one, and a region, "" being the configured one.
func (s *Sessions) Of(role, region string) aws.Config {
	p := place{role, region}
	if p.role == "" {
		p.role = s.cfg.Role
	}
	if p.region == "" {
		p.region = s.cfg.Region
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.open[p]; ok {
		return c
	}
	c := s.base.Copy()
	c.Region = p.region
	retryer := c.Retryer()
	c.Retryer = func() aws.Retryer { return retryer } // one rate for all who call from here
	if p.role != "" {
		c.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(c), p.role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "homeostat"
		}))
	}
	s.open[p] = c
	return c
}

// whose returns the role and region for what happens in an account and region as an event names them. The own account, and
// what is outside AWS, have the configured ones; an account or region that isn't in the configuration is an error.
func (s *Sessions) whose(account, region string) (place, error) {
	if account == "" || account == "000000000000" {
		return place{}, nil
	}
	for _, a := range s.cfg.Accounts {
		if a.ID != account {
			continue
		}
		switch {
		case region == "" || region == "local" || region == s.cfg.Region && len(a.Regions) == 0:
			return place{role: a.Role}, nil
		case slices.Contains(a.Regions, region):
			return place{role: a.Role, region: region}, nil
		}
		return place{}, fmt.Errorf("aws.accounts lets runbooks act in account %s, but not in its region %s", account, region)
	}
	if m := roleARN.FindStringSubmatch(s.cfg.Role); m != nil && m[1] == account || len(s.cfg.Accounts) == 0 {
		if region != "" && region != "local" && region != s.cfg.Region {
			return place{}, fmt.Errorf("runbooks act in region %s only, not in %s", s.cfg.Region, region)
		}
		return place{}, nil
	}
	return place{}, fmt.Errorf("aws.accounts has no account %s", account)
}
