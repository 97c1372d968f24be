package automation

import "time"

// action is what is known of one Automation action: a line here and, where the package does more with it than hand it on, a
// file step_NAME.go.
type action struct {
	required []string
	optional []string
	open     bool     // takes other inputs too: those of the API that it calls
	idle     bool     // has no use for any input, and takes them all
	outputs  []string // besides those that the step declares
	timeout  time.Duration
	noCancel bool // an onCancel can't lead to it
	deaf     bool // an onCancel on it has no effect
	check    func(p *parser, s *Step, in node)
	run      runStep // nil: the step goes to Hands
}

// actions is the list of the "Systems Manager Automation actions reference".
func actions() map[string]action {
	return map[string]action{
		"aws:approve": {
			required: []string{"Approvers"}, optional: []string{"NotificationArn", "Message", "MinRequiredApprovals"},
			outputs: []string{"ApprovalStatus", "ApproverDecisions"}, timeout: 7 * 24 * time.Hour, noCancel: true,
			check: checkApprove, run: runApprove,
		},
		"aws:assertAwsResourceProperty": {
			required: []string{"Service", "Api", "PropertySelector", "DesiredValues"}, open: true, check: checkProperty,
		},
		"aws:waitForAwsResourceProperty": {
			required: []string{"Service", "Api", "PropertySelector", "DesiredValues"}, open: true, timeout: time.Hour, check: checkProperty,
		},
		"aws:branch": {required: []string{"Choices"}, optional: []string{"Default"}, check: checkBranch, run: runBranch},
		"aws:changeInstanceState": {
			required: []string{"InstanceIds", "DesiredState"}, optional: []string{"CheckStateOnly", "Force", "AdditionalInfo"},
			outputs: []string{"InstanceStates"}, timeout: time.Hour,
			check: oneOf("DesiredState", "running", "stopped", "terminated"),
		},
		"aws:copyImage": {
			required: []string{"SourceRegion", "SourceImageId", "ImageName"}, optional: []string{"ImageDescription", "Encrypted", "KmsKeyId", "ClientToken"},
			outputs: []string{"ImageId", "ImageState"}, noCancel: true,
		},
		"aws:createImage": {
			required: []string{"InstanceId", "ImageName"}, optional: []string{"ImageDescription", "NoReboot", "BlockDeviceMappings", "TagSpecifications"},
			outputs: []string{"ImageId", "ImageState"}, noCancel: true,
		},
		"aws:deleteImage": {required: []string{"ImageId"}},
		"aws:createStack": {
			required: []string{"StackName"}, open: true, outputs: []string{"StackId", "StackStatus", "StackStatusReason"}, noCancel: true,
			check: checkCreateStack,
		},
		"aws:deleteStack": {required: []string{"StackName"}, optional: []string{"RoleARN", "ClientRequestToken", "RetainResources", "RetainResources.member.N"}},
		"aws:createTags":  {required: []string{"ResourceIds", "Tags"}, optional: []string{"ResourceType"}, noCancel: true},
		"aws:executeAutomation": {
			required: []string{"DocumentName"}, optional: []string{
				"DocumentVersion", "RuntimeParameters", "Targets", "TargetParameterName", "TargetMaps",
				"TargetLocations", "TargetLocationsURL", "MaxConcurrency", "MaxErrors", "Tags",
			},
			outputs: []string{"Output", "ExecutionId", "Status"}, check: checkTargets, run: runAutomation,
		},
		"aws:executeAwsApi": {required: []string{"Service", "Api"}, open: true},
		"aws:executeScript": {
			required: []string{"Runtime"}, optional: []string{"Handler", "Script", "InputPayload", "Attachment"},
			outputs: []string{"Payload"}, timeout: maxScript, check: checkScript,
		},
		"aws:executeStateMachine": {
			required: []string{"stateMachineArn"}, optional: []string{"name", "input"},
			outputs: []string{"executionArn", "input", "name", "output", "startDate", "stateMachineArn", "status", "stopDate"},
		},
		"aws:invokeLambdaFunction": {
			required: []string{"FunctionName"}, optional: []string{"Qualifier", "InvocationType", "LogType", "ClientContext", "InputPayload", "Payload"},
			outputs: []string{"StatusCode", "FunctionError", "LogResult", "Payload"}, timeout: 5 * time.Minute,
			check: oneOf("InvocationType", "RequestResponse", "Event", "DryRun"),
		},
		"aws:invokeWebhook": {required: []string{"IntegrationName"}, optional: []string{"Body"}, outputs: []string{"Response", "ResponseCode"}},
		"aws:loop": {
			required: []string{"Steps"}, optional: []string{"Iterators", "IteratorDataType", "LoopCondition", "MaxIterations"},
			outputs: []string{"CurrentIteratorValue", "CurrentIteration"}, deaf: true, check: checkLoop, run: runLoop,
		},
		"aws:pause": {noCancel: true, idle: true, timeout: 7 * 24 * time.Hour, run: runPause},
		"aws:runCommand": {
			required: []string{"DocumentName"}, optional: []string{
				"DocumentVersion", "InstanceIds", "Targets", "Parameters", "Comment", "NotificationConfig", "CloudWatchOutputConfig",
				"DocumentHash", "DocumentHashType", "OutputS3BucketName", "OutputS3KeyPrefix", "OutputS3Region", "ServiceRoleArn",
				"TimeoutSeconds", "MaxConcurrency", "MaxErrors",
			},
			outputs: []string{"CommandId", "Status", "ResponseCode", "Output"}, check: checkRunCommand, run: runCommand,
		},
		"aws:runInstances": {
			required: []string{"ImageId"}, open: true, outputs: []string{"InstanceIds", "InstanceStates"}, noCancel: true,
		},
		"aws:sleep":          {optional: []string{"Duration", "Timestamp"}, noCancel: true, check: checkSleep, run: runSleep},
		"aws:updateVariable": {required: []string{"Name", "Value"}, deaf: true, check: checkUpdateVariable, run: runUpdateVariable},
	}
}

// plugin is what is known of one Command plugin.
type plugin struct {
	required []string
	optional []string
	open     bool
	platform string // where it runs when no precondition says more; "" is everywhere
}

// plugins is the list of the "Command document plugin reference".
func plugins() map[string]plugin {
	shell := []string{"workingDirectory", "timeoutSeconds"}
	return map[string]plugin{
		"aws:applications":        {required: []string{"action", "source"}, open: true, platform: "Windows"},
		"aws:cloudWatch":          {open: true, platform: "Windows"},
		"aws:configureDocker":     {required: []string{"action"}, open: true, platform: "Windows"},
		"aws:configurePackage":    {required: []string{"name", "action"}, open: true},
		"aws:domainJoin":          {required: []string{"directoryId", "directoryName", "dnsIpAddresses"}, open: true},
		"aws:downloadContent":     {required: []string{"sourceType", "sourceInfo"}, open: true},
		"aws:psModule":            {required: []string{"source"}, open: true, platform: "Windows"},
		"aws:refreshAssociation":  {open: true},
		"aws:runDockerAction":     {required: []string{"action"}, open: true},
		"aws:runDocument":         {required: []string{"documentType"}, open: true},
		"aws:runPowerShellScript": {required: []string{"runCommand"}, optional: shell, platform: "Windows"},
		"aws:runShellScript":      {required: []string{"runCommand"}, optional: shell, platform: "Linux"},
		"aws:softwareInventory":   {open: true},
		"aws:updateAgent":         {required: []string{"agentName"}, open: true, platform: "Windows"},
		"aws:updateSsmAgent":      {required: []string{"agentName"}, open: true},
	}
}

// shared are the inputs that every Command plugin takes.
func sharedInputs() []string {
	return []string{"finallyStep", "onFailure", "onSuccess", "timeoutSeconds"}
}
