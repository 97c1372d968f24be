package signal

import (
	"encoding/json"
	"time"
)

// Access is one record of somebody doing something, as CloudTrail tells of it. An empty field is one that the record doesn't
// have, or has as null. Strings that repeat share their memory.
type Access struct {
	ID       string // eventID
	Time     int64  // Unix milliseconds, UTC
	Org      string // whose trail it is: recipientAccountId, else the caller's account; what accesses are partitioned by
	Account  string // the caller's account
	Type     string // userIdentity.type: IAMUser, AssumedRole, Root, FederatedUser, AWSService, AWSAccount ...
	User     string // who it was as far as the record itself tells; a detector traces sessions further
	Session  string // of an assumed role: the session's own name
	Role     string // of an assumed role: the role's name
	ARN      string // of the identity as used
	Origin   string // sourceIdentity: the person behind a chain of roles, which can't be changed on the way
	Key      string // access key of the request
	Address  string // sourceIPAddress as written: an address, or the name of a service of AWS
	Service  string // eventSource: s3.amazonaws.com
	API      string // eventName
	Region   string
	Agent    string // userAgent
	Error    string // errorCode
	Kind     string // eventType: AwsApiCall, AwsConsoleSignIn, AwsServiceEvent, AwsCloudTrailInsight ...
	Category string // eventCategory: Management, Data, NetworkActivity, Insight
	Shared   string // sharedEventID: the same in the records that two accounts have of one call
	Granted  string // access key that the call gave out: a session's, or a new key
	GrantARN string // of the session that the call began
	NoMFA    bool   // a sign-in to the console that says it was without MFA
	ReadOnly bool   // readOnly, else by the name of the API

	Resources []string        // what was touched: ARNs, else names from the request; at most 8
	Extra     json.RawMessage // members of the record and of its userIdentity that are not CloudTrail's of today, as an object; nil when there are none
}

// Finding is an access that is really unusual: one for each user, address and day, told again when it has grown. It is the
// detail of "Unusual Access".
type Finding struct {
	Head
	Detector     string             `json:"detector"`
	Organisation string             `json:"organisation"`
	User         string             `json:"user"`
	Identity     string             `json:"identity"`       // ARN as used last
	Name         string             `json:"name,omitempty"` // of the user of IAM or of the role that the identity is
	Key          string             `json:"key,omitempty"`  // access key that was used last
	Address      string             `json:"address"`
	Day          string             `json:"day"` // UTC, 2006-01-02
	Began        time.Time          `json:"began"`
	Updated      time.Time          `json:"updated"`
	Ended        time.Time          `json:"ended,omitzero"` // once its day is over and another has begun, or a day has passed without an access
	Score        float64            `json:"score"`
	Threshold    float64            `json:"threshold"`
	Grade        float64            `json:"grade"`
	Attribution  map[string]float64 `json:"attribution"` // adds up to 1
	Confidence   float64            `json:"confidence"`  // 0 to 1
	Reason       string             `json:"reason"`      // a sentence
	Evidence     []string           `json:"evidence"`    // sentences, the weightiest first
	Because      map[string]string  `json:"because"`     // the same sentences by part, as attribution names it
	Techniques   []Technique        `json:"techniques"`  // of MITRE ATT&CK, by the rules of the detector; may be empty
	Keys         []string           `json:"keys"`        // access keys that were used
	Accesses     int                `json:"accesses"`    // so far
	Refused      int                `json:"refused"`     // of them, how many were denied
	Calls        []Call             `json:"calls"`       // what it did, most telling first; at most 20
	Resources    []string           `json:"resources"`   // what it touched, at most 50
	Entities     []EntityID         `json:"entities"`    // of those, what metrics may know
	Since        []Call             `json:"since"`       // what the identity did from other addresses since it began; at most 20
}

// Call is one API as somebody used it.
type Call struct {
	Service string    `json:"service"`
	API     string    `json:"api"`
	Region  string    `json:"region,omitempty"`
	Count   int       `json:"count"`
	Refused int       `json:"refused,omitempty"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Address string    `json:"address,omitempty"` // where it differs from the finding's
	Event   string    `json:"event"`             // eventID of the first
}

// Technique is one of MITRE ATT&CK's: T1078.004, Cloud Accounts.
type Technique struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}
