package cloudtrail

// Dictionary keeps one copy of each string that repeats (users, addresses, agents): a record then costs little more than its
// own id. What is there is forgotten when it has grown to a quarter of a million. The zero value works; not safe for
// concurrent use.
type Dictionary struct {
	m    map[string]string
	pair []byte
}

const dictionarySize = 250_000

// bytes returns b as a string, a copy that is shared with all who ask for the same.
func (d *Dictionary) bytes(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := d.m[string(b)]; ok {
		return s
	}
	return d.add(string(b))
}

// get returns the shared copy of s.
func (d *Dictionary) get(s string) string {
	if s == "" {
		return ""
	}
	if kept, ok := d.m[s]; ok {
		return kept
	}
	return d.add(s)
}

// join returns kind=name, shared.
func (d *Dictionary) join(kind, name string) string {
	d.pair = append(append(append(d.pair[:0], kind...), '='), name...)
	return d.bytes(d.pair)
}

func (d *Dictionary) add(s string) string {
	if d.m == nil || len(d.m) >= dictionarySize {
		d.m = make(map[string]string)
	}
	d.m[s] = s
	return s
}
