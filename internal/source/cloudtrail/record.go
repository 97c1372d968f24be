package cloudtrail

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// parser reads records out of a cursor's text. It keeps scratch memory and the strings that repeat; not safe for concurrent
// use.
type parser struct {
	names   *Dictionary
	scratch []byte
	found   []signal.Access // of the value that was read last
	others  int             // values that are JSON and no record, of the value that was read last
	listed  bool            // the value stands in a list of Records: it is one, whatever its members are called

	userName, principal, invokedBy, issuerARN, issuerName, onBehalf, federated string // of the record being read
}

// value reads one value that may hold records: a record, an envelope of EventBridge around one, a list of them, or an object
// that lists them under Records, Events or logEvents. What it finds is appended to p.found.
func (p *parser) value(c *cursor, depth int) error {
	if depth > 8 {
		_, err := c.skip(depth)
		p.others++
		return err
	}
	ch, err := c.peek()
	if err != nil {
		return err
	}
	switch ch {
	case '[':
		more, err := c.open(']')
		for ; more && err == nil; more, err = c.next(']') {
			if err = p.value(c, depth+1); err != nil {
				break
			}
		}
		return err
	case '{':
		return p.object(c, depth)
	}
	_, err = c.skip(depth)
	p.others++
	return err
}

// object reads an object and decides at its end what it was.
func (p *parser) object(c *cursor, depth int) error {
	a := signal.Access{}
	var stamp, envelopeAccount, readOnly string
	var known int
	var detail, extra []byte
	contained := false
	p.userName, p.principal, p.invokedBy, p.issuerARN, p.issuerName, p.onBehalf, p.federated = "", "", "", "", "", "", ""

	more, err := c.open('}')
	for ; more && err == nil; more, err = c.next('}') {
		var name []byte
		if name, err = c.key(); err != nil {
			break
		}
		m := memberOf(name)
		if m >= firstOfRecord {
			known++
		}
		switch m {
		case mEventID:
			a.ID, err = p.fresh(c)
		case mEventTime:
			var raw []byte
			if raw, err = c.skip(0); err == nil {
				a.Time = timeOf(unquote(raw))
			}
		case mTimestamp:
			stamp, err = p.fresh(c)
		case mUserIdentity:
			extra, err = p.identity(c, &a, extra)
		case mEventSource:
			a.Service, err = p.text(c)
		case mEventName:
			a.API, err = p.text(c)
		case mAwsRegion:
			a.Region, err = p.text(c)
		case mSourceIP:
			a.Address, err = p.text(c)
		case mUserAgent:
			a.Agent, err = p.text(c)
		case mErrorCode:
			a.Error, err = p.text(c)
		case mEventType:
			a.Kind, err = p.text(c)
		case mEventCategory:
			a.Category, err = p.text(c)
		case mRecipient:
			a.Org, err = p.text(c)
		case mSharedID:
			a.Shared, err = p.fresh(c)
		case mReadOnly:
			readOnly, err = p.text(c)
		case mResources:
			err = p.resources(c, &a)
		case mRequest:
			err = p.request(c, &a)
		case mResponse:
			err = p.response(c, &a)
		case mAdditional:
			err = p.additional(c, &a)
		case mDetail:
			detail, err = c.skip(0)
		case mAccount:
			envelopeAccount, err = p.text(c)
		case mContainer:
			var raw []byte
			at := c.i
			if raw, err = c.skip(0); err != nil {
				break
			}
			if raw[0] == '[' {
				contained = true
				err = p.value(&cursor{c.b[:c.i], at}, depth+1)
			}
		case mText:
			// A record within a string: LookupEvents, PutAuditEvents, CloudWatch Logs.
			var raw []byte
			if raw, err = c.skip(0); err != nil {
				break
			}
			inner := raw
			if raw[0] == '"' {
				inner = unescape(nil, raw[1:len(raw)-1])
			}
			if inner = bytes.TrimSpace(inner); len(inner) > 0 && inner[0] == '{' {
				contained = true
				if p.value(&cursor{inner, 0}, depth+1) != nil {
					p.others++
				}
			}
		case mUnread:
			_, err = c.skip(0)
		default:
			var raw []byte
			if raw, err = c.skip(0); err == nil {
				extra = appendMember(extra, name, raw)
			}
		}
		if err != nil {
			break
		}
	}
	if err != nil {
		return err
	}
	if known < 2 && !(p.listed && depth == 0 && len(extra) > 0 && detail == nil && !contained) {
		switch {
		case detail != nil:
			before := len(p.found)
			err := p.value(&cursor{detail, 0}, depth+1)
			for i := before; i < len(p.found); i++ {
				if p.found[i].Org == "" {
					p.found[i].Org = envelopeAccount
				}
			}
			return err
		case !contained:
			p.others++
		}
		return nil
	}
	if a.Time == 0 {
		a.Time = timeOf(stamp)
	}
	if len(extra) > 0 {
		a.Extra = append(append(make([]byte, 0, len(extra)+1), extra...), '}')
	}
	p.complete(&a, readOnly)
	p.found = append(p.found, a)
	return nil
}

// complete derives what follows from what was read.
func (p *parser) complete(a *signal.Access, readOnly string) {
	if a.Org == "" {
		a.Org = a.Account
	}
	switch readOnly {
	case "true":
		a.ReadOnly = true
	case "false":
	default:
		a.ReadOnly = reads(a.API)
	}
	if a.Type == "AssumedRole" {
		a.Role, a.Session = p.issuerName, after(a.ARN, ":assumed-role/")
		if role, session, ok := strings.Cut(a.Session, "/"); ok {
			a.Session = session
			if a.Role == "" {
				a.Role = role
			}
		} else if _, session, ok := strings.Cut(p.principal, ":"); ok {
			a.Session = session
		}
	}
	a.User = p.names.get(p.user(a))
}

// user names who it was, by all that the record itself tells. The name is the same whenever the same person or program comes
// again: what is drawn anew for each session is masked.
func (p *parser) user(a *signal.Access) string {
	if a.Origin != "" {
		return a.Origin
	}
	switch a.Type {
	case "Root":
		if a.Account != "" && a.Account != a.Org {
			return "root " + a.Account
		}
		return "root"
	case "AWSService":
		if p.invokedBy != "" {
			return p.invokedBy
		}
	case "AssumedRole":
		session := maskDrawn(a.Session)
		switch {
		case session == "":
			if a.Role != "" {
				return a.Role
			}
		case strings.Contains(session, "@"), strings.HasPrefix(a.Role, "AWSReservedSSO_"), a.Role == "":
			return session
		default:
			return a.Role + "/" + session
		}
	case "FederatedUser":
		if name := after(a.ARN, ":federated-user/"); name != "" {
			return name
		}
	}
	for _, name := range [...]string{p.userName, after(a.ARN, ":user/"), p.onBehalf, a.ARN, p.principal} {
		if name != "" {
			return name
		}
	}
	switch {
	case a.Account != "":
		return "account " + a.Account
	case p.invokedBy != "":
		return p.invokedBy
	case a.Type == "" && a.Kind == "AwsServiceEvent":
		return a.Service
	}
	return "unknown"
}

// after returns what follows mark in s, or "".
func after(s, mark string) string {
	if _, after0, ok := strings.Cut(s, mark); ok {
		return after0
	}
	return ""
}

// maskDrawn puts an asterisk in place of each part of a session's name that is drawn for that session: five digits or more,
// or eight hex digits or more with a digit among them (i-0abc12345678, a build's number, a time, a UUID).
func maskDrawn(s string) string {
	drawn := func(part string) bool {
		digits, hex := 0, len(part) >= 8
		for i := range len(part) {
			switch ch := part[i]; {
			case ch >= '0' && ch <= '9':
				digits++
			case ch >= 'a' && ch <= 'f', ch >= 'A' && ch <= 'F':
			default:
				hex = false
			}
		}
		return digits >= 5 && digits == len(part) || digits >= 1 && hex
	}
	var out []byte
	masked, from := false, 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) {
			ch := s[i]
			if ch >= '0' && ch <= '9' || ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z' {
				continue
			}
		}
		part := s[from:i]
		// A number at the end of a word ("build20251124", "GitHubActions17000000") is drawn too.
		word := strings.TrimRight(part, "0123456789")
		switch {
		case drawn(part):
			out, masked = append(out, '*'), true
		case len(part)-len(word) >= 5:
			out, masked = append(append(out, word...), '*'), true
		default:
			out = append(out, part...)
		}
		if i < len(s) {
			out = append(out, s[i])
		}
		from = i + 1
	}
	if !masked {
		return s
	}
	return string(out)
}

// reads says whether an API only looks, by its name, where the record doesn't say.
func reads(api string) bool {
	for _, p := range [...]string{"Get", "List", "Describe", "Head", "Lookup", "Query", "Scan", "Search", "BatchGet", "Select", "View"} {
		if strings.HasPrefix(api, p) {
			return true
		}
	}
	return false
}

// identity reads userIdentity.
func (p *parser) identity(c *cursor, a *signal.Access, extra []byte) ([]byte, error) {
	return extra, p.members(c, func(name []byte) (err error) {
		switch string(name) {
		case "type":
			a.Type, err = p.text(c)
		case "arn":
			a.ARN, err = p.text(c)
		case "accountId", "accountid":
			a.Account, err = p.text(c)
		case "accessKeyId", "accesskeyid":
			a.Key, err = p.text(c)
		case "userName", "username":
			p.userName, err = p.text(c)
		case "principalId", "principalid":
			p.principal, err = p.text(c)
		case "invokedBy", "invokedby":
			p.invokedBy, err = p.text(c)
		case "sessionContext", "sessioncontext":
			err = p.session(c, a)
		case "onBehalfOf", "onbehalfof":
			err = p.members(c, func(name []byte) (err error) {
				if strings.EqualFold(string(name), "userId") {
					p.onBehalf, err = p.text(c)
					return err
				}
				_, err = c.skip(0)
				return err
			})
		case "identityProvider", "identityprovider", "credentialId", "credentialid", "inScopeOf", "inscopeof":
			_, err = c.skip(0)
		default:
			var raw []byte
			if raw, err = c.skip(0); err == nil {
				extra = appendMember(extra, append([]byte("userIdentity."), name...), raw)
			}
		}
		return err
	})
}

// session reads userIdentity.sessionContext.
func (p *parser) session(c *cursor, a *signal.Access) error {
	return p.members(c, func(name []byte) (err error) {
		switch string(name) {
		case "sessionIssuer", "sessionissuer":
			return p.members(c, func(name []byte) (err error) {
				switch string(name) {
				case "arn":
					p.issuerARN, err = p.text(c)
				case "userName", "username":
					p.issuerName, err = p.text(c)
				default:
					_, err = c.skip(0)
				}
				return err
			})
		case "sourceIdentity", "sourceidentity":
			a.Origin, err = p.text(c)
			return err
		}
		_, err = c.skip(0)
		return err
	})
}

// resources reads the list of what was touched.
func (p *parser) resources(c *cursor, a *signal.Access) error {
	ch, err := c.peek()
	if err != nil {
		return err
	}
	if ch != '[' {
		_, err = c.skip(0)
		return err
	}
	more, err := c.open(']')
	for ; more && err == nil; more, err = c.next(']') {
		err = p.members(c, func(name []byte) error {
			if !strings.EqualFold(string(name), "arn") {
				_, err := c.skip(0)
				return err
			}
			arn, err := p.text(c)
			p.touch(a, "", arn)
			return err
		})
		if err != nil {
			break
		}
	}
	return err
}

// request reads what the call names in requestParameters.
func (p *parser) request(c *cursor, a *signal.Access) error {
	return p.members(c, func(name []byte) error {
		switch string(name) {
		case "instancesSet", "instanceIds", "InstanceIds", "functionNames", "secretIdList":
			raw, err := c.skip(0)
			for rest := raw; err == nil && len(a.Resources) < maxResources; {
				i := bytes.Index(rest, []byte(`"i-`))
				if i < 0 {
					break
				}
				rest = rest[i+1:]
				end := bytes.IndexByte(rest, '"')
				if end < 0 {
					break
				}
				p.touch(a, "", p.names.bytes(rest[:end]))
				rest = rest[end:]
			}
			return err
		case "instanceId", "bucketName", "functionName", "roleName", "roleArn", "userName", "groupName", "policyArn", "tableName",
			"secretId", "keyId", "dBInstanceIdentifier", "dBClusterIdentifier", "dBSnapshotIdentifier", "clusterName", "cluster", "streamName",
			"topicArn", "queueUrl", "documentName", "stackName", "snapshotId", "volumeId", "imageId", "groupId", "vpcId",
			"loadBalancerArn", "targetGroupArn", "autoScalingGroupName", "accessKeyId", "name", "repositoryName", "domainName":
			text, err := p.text(c)
			if text != "" {
				p.touch(a, string(name), text)
			}
			return err
		}
		_, err := c.skip(0)
		return err
	})
}

const maxResources = 8

// touch notes a resource, once.
func (p *parser) touch(a *signal.Access, kind, name string) {
	if name == "" || len(a.Resources) >= maxResources {
		return
	}
	if kind != "" && !strings.HasPrefix(name, "arn:") && kind != "instanceId" {
		name = p.names.join(kind, name)
	}
	if slices.Contains(a.Resources, name) {
		return
	}
	a.Resources = append(a.Resources, name)
}

// response reads what the call gave out: the key of a session, and which session it is.
func (p *parser) response(c *cursor, a *signal.Access) error {
	return p.members(c, func(name []byte) (err error) {
		switch string(name) {
		case "credentials", "accessKey":
			return p.members(c, func(name []byte) (err error) {
				if string(name) == "accessKeyId" {
					a.Granted, err = p.text(c)
					return err
				}
				_, err = c.skip(0)
				return err
			})
		case "assumedRoleUser", "federatedUser":
			return p.members(c, func(name []byte) (err error) {
				switch string(name) {
				case "arn", "federatedUserId":
					if a.GrantARN == "" || string(name) == "arn" {
						a.GrantARN, err = p.text(c)
						return err
					}
				}
				_, err = c.skip(0)
				return err
			})
		case "ConsoleLogin":
			var how string
			if how, err = p.text(c); how == "Failure" && a.Error == "" {
				a.Error = "ConsoleLoginFailure"
			}
			return err
		}
		_, err = c.skip(0)
		return err
	})
}

// additional reads additionalEventData.
func (p *parser) additional(c *cursor, a *signal.Access) error {
	return p.members(c, func(name []byte) error {
		if string(name) == "MFAUsed" {
			used, err := p.text(c)
			a.NoMFA = used == "No"
			return err
		}
		_, err := c.skip(0)
		return err
	})
}

// members calls fn before each member's value, which fn has to step over. A value that is no object is stepped over whole.
func (p *parser) members(c *cursor, fn func(name []byte) error) error {
	ch, err := c.peek()
	if err != nil {
		return err
	}
	if ch != '{' {
		_, err = c.skip(0)
		return err
	}
	more, err := c.open('}')
	for ; more && err == nil; more, err = c.next('}') {
		var name []byte
		if name, err = c.key(); err != nil {
			break
		}
		if err = fn(name); err != nil {
			break
		}
	}
	return err
}

// text reads a string that is likely to come again, and of any other value its text; null is "".
func (p *parser) text(c *cursor) (string, error) {
	b, err := p.raw(c)
	return p.names.bytes(b), err
}

// fresh reads a string that won't come again.
func (p *parser) fresh(c *cursor) (string, error) {
	b, err := p.raw(c)
	return string(b), err
}

func (p *parser) raw(c *cursor) ([]byte, error) {
	ch, err := c.peek()
	if err != nil {
		return nil, err
	}
	if ch == '"' {
		b, escaped, err := c.str()
		if escaped {
			p.scratch = unescape(p.scratch[:0], b)
			b = p.scratch
		}
		return b, err
	}
	b, err := c.skip(0)
	if string(b) == "null" {
		b = nil
	}
	return b, err
}

// unquote returns the inside of a JSON string without escapes, or the text itself.
func unquote(raw []byte) string {
	if len(raw) >= 2 && raw[0] == '"' {
		raw = raw[1 : len(raw)-1]
	}
	return string(raw)
}

// timeOf reads a time as CloudTrail, its tables and log shippers write it, as Unix milliseconds; 0 where it can't.
func timeOf(s string) int64 {
	if len(s) == 20 && s[19] == 'Z' && s[10] == 'T' { // 2006-01-02T15:04:05Z, nearly always
		num := func(from, to int) int {
			n := 0
			for _, ch := range []byte(s[from:to]) {
				if ch < '0' || ch > '9' {
					return -1
				}
				n = n*10 + int(ch-'0')
			}
			return n
		}
		y, mo, d, h, mi, sec := num(0, 4), num(5, 7), num(8, 10), num(11, 13), num(14, 16), num(17, 19)
		if s[4] == '-' && s[7] == '-' && s[13] == ':' && s[16] == ':' && y >= 0 && mo >= 1 && mo <= 12 && d >= 1 && d <= 31 &&
			h >= 0 && h < 24 && mi >= 0 && mi < 60 && sec >= 0 && sec <= 60 {
			return time.Date(y, time.Month(mo), d, h, mi, sec, 0, time.UTC).UnixMilli()
		}
		return 0
	}
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999 MST"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixMilli()
		}
	}
	var n int64
	for _, ch := range []byte(s) {
		if ch < '0' || ch > '9' || n > 1e15 {
			return 0
		}
		n = n*10 + int64(ch-'0')
	}
	if n < 1e11 {
		n *= 1000 // seconds
	}
	return n
}

func appendMember(extra, name, raw []byte) []byte {
	if len(extra)+len(raw) > 64<<10 {
		return extra // nobody needs more of what nobody knows
	}
	if extra == nil {
		extra = append(extra, '{')
	} else {
		extra = append(extra, ',')
	}
	extra = appendQuoted(extra, name)
	extra = append(extra, ':')
	return append(extra, raw...)
}

func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	for _, ch := range s {
		switch {
		case ch == '"' || ch == '\\':
			dst = append(dst, '\\', ch)
		case ch < 0x20:
			const digits = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', digits[ch>>4], digits[ch&15])
		default:
			dst = append(dst, ch)
		}
	}
	return append(dst, '"')
}
