package access

import (
	"net/netip"

	"github.com/cespare/xxhash/v2"
)

// Widths of a network round an address, from the address itself outwards. IPv4: /32, /24, /16, /12; IPv6: /64 (addresses
// within it change by the day), /56, /40, /28. The name of a service is its own network at all widths.
const (
	exact = iota
	near
	wide
	region
	widths
)

// networks are the keys of the networks that an address lies in.
type networks [widths]uint64

func networksOf(address string) networks {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		h := xxhash.Sum64String(address)
		return networks{h, h, h, h}
	}
	ip = ip.Unmap()
	if ip.Is4() {
		b := ip.As4()
		v := uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
		return networks{32<<32 | v, 24<<32 | v>>8, 16<<32 | v>>16, 12<<32 | v>>20}
	}
	b := ip.As16()
	var n networks
	for i, bits := range [widths]int{64, 56, 40, 28} {
		p, _ := ip.WithZone("").Prefix(bits)
		b = p.Addr().As16()
		n[i] = xxhash.Sum64(append(b[:], byte(bits))) | 1<<63
	}
	return n
}
