package cloudtrail

import "strings"

// member is what a name in an object means to us.
type member uint8

const (
	mUnknown   member = iota
	mTimestamp        // a log shipper's own time
	mDetail           // the inside of an EventBridge envelope
	mAccount          // of the envelope
	mContainer        // a list of records
	mText             // a record within a string
	mUnread           // known, and nothing that we read

	firstOfRecord // names from here on make an object a CloudTrail record
	mEventID
	mEventTime
	mUserIdentity
	mEventSource
	mEventName
	mAwsRegion
	mSourceIP
	mUserAgent
	mErrorCode
	mEventType
	mEventCategory
	mRecipient
	mSharedID
	mReadOnly
	mResources
	mRequest
	mResponse
	mAdditional
)

// memberOf knows the names of CloudTrail's record contents (up to event version 1.11), as they are written, and as tables
// write them, in lower case.
func memberOf(name []byte) member {
	switch string(name) {
	case "eventID", "eventid":
		return mEventID
	case "eventTime", "eventtime":
		return mEventTime
	case "@timestamp":
		return mTimestamp
	case "userIdentity", "useridentity":
		return mUserIdentity
	case "eventSource", "eventsource":
		return mEventSource
	case "eventName", "eventname":
		return mEventName
	case "awsRegion", "awsregion":
		return mAwsRegion
	case "sourceIPAddress", "sourceipaddress":
		return mSourceIP
	case "userAgent", "useragent":
		return mUserAgent
	case "errorCode", "errorcode":
		return mErrorCode
	case "eventType", "eventtype":
		return mEventType
	case "eventCategory", "eventcategory":
		return mEventCategory
	case "recipientAccountId", "recipientaccountid":
		return mRecipient
	case "sharedEventID", "sharedEventId", "sharedeventid":
		return mSharedID
	case "readOnly", "readonly":
		return mReadOnly
	case "resources":
		return mResources
	case "requestParameters", "requestparameters":
		return mRequest
	case "responseElements", "responseelements":
		return mResponse
	case "additionalEventData", "additionaleventdata":
		return mAdditional
	case "detail":
		return mDetail
	case "account":
		return mAccount
	case "Records", "Events", "logEvents", "events":
		return mContainer
	case "CloudTrailEvent", "eventData", "eventJson", "eventdata", "eventjson", "message":
		return mText
	case "eventVersion", "errorMessage", "requestID", "apiVersion", "managementEvent", "serviceEventDetails", "vpcEndpointId",
		"vpcEndpointAccountId", "addendum", "sessionCredentialFromConsole", "edgeDeviceDetails", "tlsDetails", "insightDetails",
		"insightContext", "eventContext", "eventVersionId", "@version", "version", "id", "detail-type", "source", "time", "region":
		return mUnread
	}
	switch strings.ToLower(string(name)) {
	case "eventversion", "errormessage", "requestid", "apiversion", "managementevent", "serviceeventdetails", "vpcendpointid",
		"vpcendpointaccountid", "sessioncredentialfromconsole", "edgedevicedetails", "tlsdetails", "insightdetails":
		return mUnread
	}
	return mUnknown
}
