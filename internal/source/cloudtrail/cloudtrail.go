// Package cloudtrail reads accesses out of CloudTrail: log files as the service leaves them in S3, events as EventBridge
// delivers them, exports of CloudTrail Lake, and what log shippers make of them.
//
// A [Reader] reads one file of whatever shape, record by record and without holding it whole. It refuses no record that AWS
// writes: nulls, missing and unknown members are no mistakes, and what is really broken is counted with its place and
// stepped over. Records come in the order of the file; [Merge] brings those of many files into the order of time and hands
// over each eventID once.
//
// Source: "CloudTrail record contents", "CloudTrail userIdentity element", AWS CloudTrail user guide.
package cloudtrail
