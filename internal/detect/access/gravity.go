package access

import (
	"strings"

	"homeostat/internal/signal"
)

// meaning is what an API may mean in the hands of an intruder.
type meaning struct {
	gravity   uint8 // 0 nothing much, 1 looking round, 2 secrets, data or running code, 3 staying, more power, hiding, destroying
	technique signal.Technique
}

// meanings are APIs that ATT&CK's techniques for the cloud are made of. What isn't here is weighed by its verb.
//
// Source: MITRE ATT&CK, matrix for IaaS; the names of AWS's API.
var meanings = map[string]meaning{}

func weigh(a *signal.Access) meaning {
	switch {
	case strings.HasPrefix(a.API, "Get") || strings.HasPrefix(a.API, "List") || strings.HasPrefix(a.API, "Describe"):
		if a.Service == "iam.amazonaws.com" || a.Service == "organizations.amazonaws.com" || a.API == "GetCallerIdentity" {
			return meaning{gravity: 1}
		}
		if strings.Contains(a.API, "Secret") || strings.Contains(a.API, "Password") || a.API == "GetParameters" || a.API == "GetSessionToken" || a.API == "GetFederationToken" {
			return meaning{gravity: 2}
		}
		return meaning{}
	case a.Service == "iam.amazonaws.com" || a.Service == "cloudtrail.amazonaws.com" || a.Service == "guardduty.amazonaws.com" || a.Service == "organizations.amazonaws.com":
		return meaning{gravity: 3}
	case strings.HasPrefix(a.API, "Delete") || strings.HasPrefix(a.API, "Stop") || strings.HasPrefix(a.API, "Disable"):
		return meaning{gravity: 2}
	}
	return meaning{}
}
