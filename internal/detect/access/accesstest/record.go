package accesstest

import (
	"encoding/json"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// Record returns an access as CloudTrail writes it.
func Record(a *signal.Access) []byte {
	identity := map[string]any{"type": a.Type, "arn": a.ARN, "accountId": a.Account, "accessKeyId": a.Key, "principalId": "AIDA" + a.User}
	if a.Type == "AssumedRole" {
		identity["principalId"] = "AROA:" + a.Session
		identity["sessionContext"] = map[string]any{"sessionIssuer": map[string]any{"type": "Role", "userName": a.Role, "arn": "arn:aws:iam::" + a.Account + ":role/" + a.Role}}
	} else {
		identity["userName"] = a.User
	}
	request := map[string]any{}
	for _, r := range a.Resources {
		if k, v, ok := strings.Cut(r, "="); ok {
			request[k] = v
		}
	}
	r := map[string]any{
		"eventVersion": "1.10", "userIdentity": identity, "eventTime": time.UnixMilli(a.Time).UTC().Format(time.RFC3339), "eventSource": a.Service,
		"eventName": a.API, "awsRegion": a.Region, "sourceIPAddress": a.Address, "userAgent": a.Agent, "requestParameters": request, "responseElements": nil,
		"requestID": a.ID, "eventID": a.ID, "readOnly": a.ReadOnly, "eventType": a.Kind, "managementEvent": true, "recipientAccountId": a.Org,
		"eventCategory": a.Category, "tlsDetails": map[string]any{"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256", "clientProvidedHostHeader": a.Service},
	}
	if a.Error != "" {
		r["errorCode"], r["errorMessage"] = a.Error, "User is not authorized to perform this operation"
	}
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // of strings and booleans
	}
	return b
}
