package aws

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/imagebuilder"
	"github.com/aws/aws-sdk-go-v2/service/inspector2"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// operations is the allow-list: whatever else AWS can do, Homeostat can't. A new operation is one line here; the policy of
// `homeostat runbook iam` and the words of observe mode follow from it.
//
// No operation that the SDK presigns for another region (CopySnapshot) is among them: it brings in all of EC2, 20 MB.
//
// The methods are bound to clients that can't call anybody: where to, and as whom, is said at each call.
func operations() []operation {
	var (
		ec2API = ec2.NewFromConfig(aws.Config{})
		ec2s   = service[ec2.Options]{"ec2", "ec2", names{}, func(o *ec2.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		ssmAPI = ssm.NewFromConfig(aws.Config{})
		ssms   = service[ssm.Options]{"ssm", "ssm", names{}, func(o *ssm.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		autoscalingAPI = autoscaling.NewFromConfig(aws.Config{})
		groups         = service[autoscaling.Options]{"autoscaling", "autoscaling", names{}, func(o *autoscaling.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		elasticloadbalancingv2API = elasticloadbalancingv2.NewFromConfig(aws.Config{})
		balancers                 = service[elasticloadbalancingv2.Options]{"elbv2", "elasticloadbalancing", names{}, func(o *elasticloadbalancingv2.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		cloudwatchAPI = cloudwatch.NewFromConfig(aws.Config{})
		metrics       = service[cloudwatch.Options]{"cloudwatch", "cloudwatch", names{}, func(o *cloudwatch.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		cloudwatchlogsAPI = cloudwatchlogs.NewFromConfig(aws.Config{})
		logs              = service[cloudwatchlogs.Options]{"logs", "logs", names{lower: true}, func(o *cloudwatchlogs.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		snsAPI = sns.NewFromConfig(aws.Config{})
		topics = service[sns.Options]{"sns", "sns", names{}, func(o *sns.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		lambdaAPI = lambda.NewFromConfig(aws.Config{})
		functions = service[lambda.Options]{"lambda", "lambda", names{path: []string{"FunctionName", "Name"}}, func(o *lambda.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		sfnAPI   = sfn.NewFromConfig(aws.Config{})
		machines = service[sfn.Options]{"stepfunctions", "states", names{lower: true}, func(o *sfn.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		cloudformationAPI = cloudformation.NewFromConfig(aws.Config{})
		stacks            = service[cloudformation.Options]{"cloudformation", "cloudformation", names{}, func(o *cloudformation.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		imagebuilderAPI = imagebuilder.NewFromConfig(aws.Config{})
		images          = service[imagebuilder.Options]{"imagebuilder", "imagebuilder", names{lower: true}, func(o *imagebuilder.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		inspector2API = inspector2.NewFromConfig(aws.Config{})
		findings      = service[inspector2.Options]{"inspector2", "inspector2", names{lower: true, odd: []string{"Recommendation.Url"}}, func(o *inspector2.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		eventbridgeAPI = eventbridge.NewFromConfig(aws.Config{})
		events         = service[eventbridge.Options]{"events", "events", names{odd: []string{"CapacityProviderStrategyItem.", "NetworkConfiguration.", "PlacementConstraint.", "PlacementStrategy."}}, func(o *eventbridge.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		sagemakerAPI = sagemaker.NewFromConfig(aws.Config{})
		models       = service[sagemaker.Options]{"sagemaker", "sagemaker", names{}, func(o *sagemaker.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		kinesisAPI = kinesis.NewFromConfig(aws.Config{})
		streams    = service[kinesis.Options]{"kinesis", "kinesis", names{}, func(o *kinesis.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		stsAPI   = sts.NewFromConfig(aws.Config{})
		identity = service[sts.Options]{"sts", "sts", names{}, func(o *sts.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		iamAPI = iam.NewFromConfig(aws.Config{})
		users  = service[iam.Options]{"iam", "iam", names{}, func(o *iam.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		s3API   = s3.NewFromConfig(aws.Config{})
		objects = service[s3.Options]{"s3", "s3", names{path: []string{"Bucket"}}, func(o *s3.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
		servicequotasAPI = servicequotas.NewFromConfig(aws.Config{})
		quotas           = service[servicequotas.Options]{"service-quotas", "servicequotas", names{}, func(o *servicequotas.Options, c aws.Config) {
			o.Region, o.BaseEndpoint, o.Credentials, o.Retryer = c.Region, c.BaseEndpoint, c.Credentials, c.Retryer()
		}}
	)
	return []operation{
		op(ec2s, "DescribeAddresses", ec2API.DescribeAddresses, reading),
		op(ec2s, "DescribeAvailabilityZones", ec2API.DescribeAvailabilityZones, reading),
		op(ec2s, "DescribeImages", ec2API.DescribeImages, reading),
		op(ec2s, "DescribeInstanceAttribute", ec2API.DescribeInstanceAttribute, reading),
		op(ec2s, "DescribeInstanceStatus", ec2API.DescribeInstanceStatus, reading),
		op(ec2s, "DescribeInstanceTypeOfferings", ec2API.DescribeInstanceTypeOfferings, reading),
		op(ec2s, "DescribeInstanceTypes", ec2API.DescribeInstanceTypes, reading),
		op(ec2s, "DescribeInstances", ec2API.DescribeInstances, reading),
		op(ec2s, "DescribeLaunchTemplateVersions", ec2API.DescribeLaunchTemplateVersions, reading),
		op(ec2s, "DescribeLaunchTemplates", ec2API.DescribeLaunchTemplates, reading),
		op(ec2s, "DescribeNetworkInterfaces", ec2API.DescribeNetworkInterfaces, reading),
		op(ec2s, "DescribeRegions", ec2API.DescribeRegions, reading),
		op(ec2s, "DescribeRouteTables", ec2API.DescribeRouteTables, reading),
		op(ec2s, "DescribeSecurityGroups", ec2API.DescribeSecurityGroups, reading),
		op(ec2s, "DescribeSnapshots", ec2API.DescribeSnapshots, reading),
		op(ec2s, "DescribeSubnets", ec2API.DescribeSubnets, reading),
		op(ec2s, "DescribeTags", ec2API.DescribeTags, reading),
		op(ec2s, "DescribeVolumeStatus", ec2API.DescribeVolumeStatus, reading),
		op(ec2s, "DescribeVolumes", ec2API.DescribeVolumes, reading),
		op(ec2s, "DescribeVolumesModifications", ec2API.DescribeVolumesModifications, reading),
		op(ec2s, "DescribeVpcs", ec2API.DescribeVpcs, reading),
		op(ec2s, "GetConsoleOutput", ec2API.GetConsoleOutput, reading),
		op(ec2s, "AssociateIamInstanceProfile", ec2API.AssociateIamInstanceProfile, changing, also("iam:PassRole")),
		op(ec2s, "AttachVolume", ec2API.AttachVolume, changing),
		op(ec2s, "AuthorizeSecurityGroupIngress", ec2API.AuthorizeSecurityGroupIngress, changing),
		op(ec2s, "CopyImage", ec2API.CopyImage, changing, token("ClientToken")),
		op(ec2s, "CreateImage", ec2API.CreateImage, changing, also("ec2:CreateTags")),
		op(ec2s, "CreateLaunchTemplateVersion", ec2API.CreateLaunchTemplateVersion, changing, token("ClientToken")),
		op(ec2s, "CreateSnapshot", ec2API.CreateSnapshot, changing, also("ec2:CreateTags")),
		op(ec2s, "CreateSnapshots", ec2API.CreateSnapshots, changing, also("ec2:CreateTags")),
		op(ec2s, "CreateTags", ec2API.CreateTags, changing, sets),
		op(ec2s, "CreateVolume", ec2API.CreateVolume, changing, token("ClientToken"), also("ec2:CreateTags")),
		op(ec2s, "DeleteSnapshot", ec2API.DeleteSnapshot, changing),
		op(ec2s, "DeleteTags", ec2API.DeleteTags, changing, sets),
		op(ec2s, "DeleteVolume", ec2API.DeleteVolume, changing),
		op(ec2s, "DeregisterImage", ec2API.DeregisterImage, changing),
		op(ec2s, "DetachVolume", ec2API.DetachVolume, changing),
		op(ec2s, "ModifyInstanceAttribute", ec2API.ModifyInstanceAttribute, changing, sets),
		op(ec2s, "ModifyInstanceMetadataOptions", ec2API.ModifyInstanceMetadataOptions, changing, sets),
		op(ec2s, "ModifyLaunchTemplate", ec2API.ModifyLaunchTemplate, changing, token("ClientToken")),
		op(ec2s, "ModifyVolume", ec2API.ModifyVolume, changing), // looked up by the volume's last modification
		op(ec2s, "MonitorInstances", ec2API.MonitorInstances, changing, sets),
		op(ec2s, "RebootInstances", ec2API.RebootInstances, changing),
		op(ec2s, "RevokeSecurityGroupEgress", ec2API.RevokeSecurityGroupEgress, changing),
		op(ec2s, "RevokeSecurityGroupIngress", ec2API.RevokeSecurityGroupIngress, changing),
		op(ec2s, "RunInstances", ec2API.RunInstances, changing, token("ClientToken"), also("ec2:CreateTags", "iam:PassRole")),
		op(ec2s, "StartInstances", ec2API.StartInstances, changing, sets),
		op(ec2s, "StopInstances", ec2API.StopInstances, changing, sets),
		op(ec2s, "TerminateInstances", ec2API.TerminateInstances, changing, sets),

		op(ssms, "DescribeAutomationExecutions", ssmAPI.DescribeAutomationExecutions, reading),
		op(ssms, "DescribeAvailablePatches", ssmAPI.DescribeAvailablePatches, reading),
		op(ssms, "DescribeDocument", ssmAPI.DescribeDocument, reading),
		op(ssms, "DescribeInstanceInformation", ssmAPI.DescribeInstanceInformation, reading),
		op(ssms, "DescribeInstancePatchStates", ssmAPI.DescribeInstancePatchStates, reading),
		op(ssms, "DescribeInstancePatchStatesForPatchGroup", ssmAPI.DescribeInstancePatchStatesForPatchGroup, reading),
		op(ssms, "DescribeInstancePatches", ssmAPI.DescribeInstancePatches, reading),
		op(ssms, "DescribeMaintenanceWindows", ssmAPI.DescribeMaintenanceWindows, reading),
		op(ssms, "DescribeOpsItems", ssmAPI.DescribeOpsItems, reading),
		op(ssms, "DescribePatchBaselines", ssmAPI.DescribePatchBaselines, reading),
		op(ssms, "DescribePatchGroups", ssmAPI.DescribePatchGroups, reading),
		op(ssms, "GetAutomationExecution", ssmAPI.GetAutomationExecution, reading),
		op(ssms, "GetCalendarState", ssmAPI.GetCalendarState, reading),
		op(ssms, "GetCommandInvocation", ssmAPI.GetCommandInvocation, reading),
		op(ssms, "GetDocument", ssmAPI.GetDocument, reading),
		op(ssms, "GetOpsItem", ssmAPI.GetOpsItem, reading),
		op(ssms, "GetParameter", ssmAPI.GetParameter, reading),
		op(ssms, "GetParameters", ssmAPI.GetParameters, reading),
		op(ssms, "GetParametersByPath", ssmAPI.GetParametersByPath, reading),
		op(ssms, "GetPatchBaseline", ssmAPI.GetPatchBaseline, reading),
		op(ssms, "GetPatchBaselineForPatchGroup", ssmAPI.GetPatchBaselineForPatchGroup, reading),
		op(ssms, "ListCommandInvocations", ssmAPI.ListCommandInvocations, reading),
		op(ssms, "ListCommands", ssmAPI.ListCommands, reading),
		op(ssms, "ListComplianceItems", ssmAPI.ListComplianceItems, reading),
		op(ssms, "ListDocuments", ssmAPI.ListDocuments, reading),
		op(ssms, "ListInventoryEntries", ssmAPI.ListInventoryEntries, reading),
		op(ssms, "ListTagsForResource", ssmAPI.ListTagsForResource, reading),
		op(ssms, "AddTagsToResource", ssmAPI.AddTagsToResource, changing, sets),
		op(ssms, "CancelCommand", ssmAPI.CancelCommand, changing, sets),
		op(ssms, "CreateOpsItem", ssmAPI.CreateOpsItem, changing),
		op(ssms, "CreatePatchBaseline", ssmAPI.CreatePatchBaseline, changing, token("ClientToken")),
		op(ssms, "PutParameter", ssmAPI.PutParameter, changing),
		op(ssms, "RegisterPatchBaselineForPatchGroup", ssmAPI.RegisterPatchBaselineForPatchGroup, changing, sets),
		op(ssms, "SendCommand", ssmAPI.SendCommand, changing), // looked up by its comment
		op(ssms, "StartAutomationExecution", ssmAPI.StartAutomationExecution, changing, token("ClientToken")),
		op(ssms, "StopAutomationExecution", ssmAPI.StopAutomationExecution, changing, sets),
		op(ssms, "UpdateOpsItem", ssmAPI.UpdateOpsItem, changing, sets),
		op(ssms, "UpdatePatchBaseline", ssmAPI.UpdatePatchBaseline, changing, sets),

		op(groups, "DescribeAutoScalingGroups", autoscalingAPI.DescribeAutoScalingGroups, reading),
		op(groups, "DescribeAutoScalingInstances", autoscalingAPI.DescribeAutoScalingInstances, reading),
		op(groups, "DescribeInstanceRefreshes", autoscalingAPI.DescribeInstanceRefreshes, reading),
		op(groups, "DescribeScalingActivities", autoscalingAPI.DescribeScalingActivities, reading),
		op(groups, "CancelInstanceRefresh", autoscalingAPI.CancelInstanceRefresh, changing, sets),
		op(groups, "EnterStandby", autoscalingAPI.EnterStandby, changing),
		op(groups, "ExitStandby", autoscalingAPI.ExitStandby, changing),
		op(groups, "ResumeProcesses", autoscalingAPI.ResumeProcesses, changing, sets),
		op(groups, "SetDesiredCapacity", autoscalingAPI.SetDesiredCapacity, changing, sets),
		op(groups, "SetInstanceHealth", autoscalingAPI.SetInstanceHealth, changing, sets),
		op(groups, "StartInstanceRefresh", autoscalingAPI.StartInstanceRefresh, changing),
		op(groups, "SuspendProcesses", autoscalingAPI.SuspendProcesses, changing, sets),
		op(groups, "TerminateInstanceInAutoScalingGroup", autoscalingAPI.TerminateInstanceInAutoScalingGroup, changing),
		op(groups, "UpdateAutoScalingGroup", autoscalingAPI.UpdateAutoScalingGroup, changing, sets),

		op(balancers, "DescribeListeners", elasticloadbalancingv2API.DescribeListeners, reading),
		op(balancers, "DescribeLoadBalancers", elasticloadbalancingv2API.DescribeLoadBalancers, reading),
		op(balancers, "DescribeRules", elasticloadbalancingv2API.DescribeRules, reading),
		op(balancers, "DescribeTargetGroups", elasticloadbalancingv2API.DescribeTargetGroups, reading),
		op(balancers, "DescribeTargetHealth", elasticloadbalancingv2API.DescribeTargetHealth, reading),
		op(balancers, "DeregisterTargets", elasticloadbalancingv2API.DeregisterTargets, changing, sets),
		op(balancers, "ModifyListener", elasticloadbalancingv2API.ModifyListener, changing, sets),
		op(balancers, "ModifyRule", elasticloadbalancingv2API.ModifyRule, changing, sets),
		op(balancers, "RegisterTargets", elasticloadbalancingv2API.RegisterTargets, changing, sets),

		op(metrics, "DescribeAlarmHistory", cloudwatchAPI.DescribeAlarmHistory, reading),
		op(metrics, "DescribeAlarms", cloudwatchAPI.DescribeAlarms, reading),
		op(metrics, "GetMetricData", cloudwatchAPI.GetMetricData, reading),
		op(metrics, "GetMetricStatistics", cloudwatchAPI.GetMetricStatistics, reading),
		op(metrics, "ListMetrics", cloudwatchAPI.ListMetrics, reading),
		op(metrics, "DeleteAlarms", cloudwatchAPI.DeleteAlarms, changing, sets),
		op(metrics, "DisableAlarmActions", cloudwatchAPI.DisableAlarmActions, changing, sets),
		op(metrics, "EnableAlarmActions", cloudwatchAPI.EnableAlarmActions, changing, sets),
		op(metrics, "PutMetricAlarm", cloudwatchAPI.PutMetricAlarm, changing, sets),
		op(metrics, "PutMetricData", cloudwatchAPI.PutMetricData, changing),
		op(metrics, "SetAlarmState", cloudwatchAPI.SetAlarmState, changing, sets),

		op(logs, "DescribeLogGroups", cloudwatchlogsAPI.DescribeLogGroups, reading),
		op(logs, "DescribeLogStreams", cloudwatchlogsAPI.DescribeLogStreams, reading),
		op(logs, "FilterLogEvents", cloudwatchlogsAPI.FilterLogEvents, reading),
		op(logs, "GetLogEvents", cloudwatchlogsAPI.GetLogEvents, reading),
		op(logs, "GetQueryResults", cloudwatchlogsAPI.GetQueryResults, reading),
		op(logs, "StartQuery", cloudwatchlogsAPI.StartQuery, reading), // a query changes nothing, though it costs
		op(logs, "CreateLogGroup", cloudwatchlogsAPI.CreateLogGroup, changing, sets),
		op(logs, "CreateLogStream", cloudwatchlogsAPI.CreateLogStream, changing, sets),
		op(logs, "PutLogEvents", cloudwatchlogsAPI.PutLogEvents, changing),
		op(logs, "PutRetentionPolicy", cloudwatchlogsAPI.PutRetentionPolicy, changing, sets),

		op(topics, "GetTopicAttributes", snsAPI.GetTopicAttributes, reading),
		op(topics, "ListSubscriptionsByTopic", snsAPI.ListSubscriptionsByTopic, reading),
		op(topics, "ListTopics", snsAPI.ListTopics, reading),
		op(topics, "Publish", snsAPI.Publish, changing),

		op(functions, "GetFunction", lambdaAPI.GetFunction, reading),
		op(functions, "GetFunctionConfiguration", lambdaAPI.GetFunctionConfiguration, reading),
		op(functions, "ListFunctions", lambdaAPI.ListFunctions, reading),
		op(functions, "Invoke", lambdaAPI.Invoke, changing, needs("lambda:InvokeFunction")),
		op(functions, "PutFunctionConcurrency", lambdaAPI.PutFunctionConcurrency, changing, sets),
		op(functions, "UpdateAlias", lambdaAPI.UpdateAlias, changing, sets),
		op(functions, "UpdateFunctionConfiguration", lambdaAPI.UpdateFunctionConfiguration, changing, sets),

		op(machines, "DescribeExecution", sfnAPI.DescribeExecution, reading),
		op(machines, "DescribeStateMachine", sfnAPI.DescribeStateMachine, reading),
		op(machines, "ListExecutions", sfnAPI.ListExecutions, reading),
		op(machines, "StartExecution", sfnAPI.StartExecution, changing, token("name")),
		op(machines, "StopExecution", sfnAPI.StopExecution, changing, sets),

		op(stacks, "DescribeStackEvents", cloudformationAPI.DescribeStackEvents, reading),
		op(stacks, "DescribeStackResources", cloudformationAPI.DescribeStackResources, reading),
		op(stacks, "DescribeStacks", cloudformationAPI.DescribeStacks, reading),
		op(stacks, "ListStackResources", cloudformationAPI.ListStackResources, reading),
		op(stacks, "CreateStack", cloudformationAPI.CreateStack, changing, token("ClientRequestToken")),
		op(stacks, "DeleteStack", cloudformationAPI.DeleteStack, changing, token("ClientRequestToken")),
		op(stacks, "UpdateStack", cloudformationAPI.UpdateStack, changing, token("ClientRequestToken")),

		op(images, "GetImage", imagebuilderAPI.GetImage, reading),
		op(images, "GetImagePipeline", imagebuilderAPI.GetImagePipeline, reading),
		op(images, "ListImagePipelineImages", imagebuilderAPI.ListImagePipelineImages, reading),
		op(images, "ListImagePipelines", imagebuilderAPI.ListImagePipelines, reading),
		op(images, "CancelImageCreation", imagebuilderAPI.CancelImageCreation, changing, token("clientToken")),
		op(images, "CreateImage", imagebuilderAPI.CreateImage, changing, token("clientToken")),
		op(images, "StartImagePipelineExecution", imagebuilderAPI.StartImagePipelineExecution, changing, token("clientToken")),

		op(findings, "ListCoverage", inspector2API.ListCoverage, reading),
		op(findings, "ListFindingAggregations", inspector2API.ListFindingAggregations, reading),
		op(findings, "ListFindings", inspector2API.ListFindings, reading),
		op(findings, "BatchGetFindingDetails", inspector2API.BatchGetFindingDetails, reading),
		op(findings, "CreateFilter", inspector2API.CreateFilter, changing),
		op(findings, "UpdateFilter", inspector2API.UpdateFilter, changing, sets),

		op(events, "DescribeRule", eventbridgeAPI.DescribeRule, reading),
		op(events, "ListRules", eventbridgeAPI.ListRules, reading),
		op(events, "ListTargetsByRule", eventbridgeAPI.ListTargetsByRule, reading),
		op(events, "DisableRule", eventbridgeAPI.DisableRule, changing, sets),
		op(events, "EnableRule", eventbridgeAPI.EnableRule, changing, sets),
		op(events, "PutEvents", eventbridgeAPI.PutEvents, changing),

		op(models, "DescribeEndpoint", sagemakerAPI.DescribeEndpoint, reading),
		op(models, "DescribeEndpointConfig", sagemakerAPI.DescribeEndpointConfig, reading),
		op(models, "DescribeModel", sagemakerAPI.DescribeModel, reading),
		op(models, "DescribeTrainingJob", sagemakerAPI.DescribeTrainingJob, reading),
		op(models, "ListEndpoints", sagemakerAPI.ListEndpoints, reading),
		op(models, "ListTrainingJobs", sagemakerAPI.ListTrainingJobs, reading),
		op(models, "CreateTrainingJob", sagemakerAPI.CreateTrainingJob, changing, also("iam:PassRole")),
		op(models, "StopTrainingJob", sagemakerAPI.StopTrainingJob, changing, sets),
		op(models, "UpdateEndpoint", sagemakerAPI.UpdateEndpoint, changing),
		op(models, "UpdateEndpointWeightsAndCapacities", sagemakerAPI.UpdateEndpointWeightsAndCapacities, changing, sets),

		op(streams, "DescribeStreamSummary", kinesisAPI.DescribeStreamSummary, reading),
		op(streams, "ListShards", kinesisAPI.ListShards, reading),
		op(streams, "ListStreams", kinesisAPI.ListStreams, reading),
		op(streams, "PutRecord", kinesisAPI.PutRecord, changing),
		op(streams, "UpdateShardCount", kinesisAPI.UpdateShardCount, changing, sets),
		op(streams, "UpdateStreamMode", kinesisAPI.UpdateStreamMode, changing, sets),

		op(identity, "GetCallerIdentity", stsAPI.GetCallerIdentity, reading),

		op(users, "GetAccessKeyLastUsed", iamAPI.GetAccessKeyLastUsed, reading),
		op(users, "GetRole", iamAPI.GetRole, reading),
		op(users, "GetRolePolicy", iamAPI.GetRolePolicy, reading),
		op(users, "GetUser", iamAPI.GetUser, reading),
		op(users, "GetUserPolicy", iamAPI.GetUserPolicy, reading),
		op(users, "ListAccessKeys", iamAPI.ListAccessKeys, reading),
		op(users, "ListAttachedRolePolicies", iamAPI.ListAttachedRolePolicies, reading),
		op(users, "ListAttachedUserPolicies", iamAPI.ListAttachedUserPolicies, reading),
		op(users, "ListGroupsForUser", iamAPI.ListGroupsForUser, reading),
		op(users, "ListMFADevices", iamAPI.ListMFADevices, reading),
		op(users, "ListRolePolicies", iamAPI.ListRolePolicies, reading),
		op(users, "ListUserPolicies", iamAPI.ListUserPolicies, reading),
		op(users, "DeleteRolePolicy", iamAPI.DeleteRolePolicy, changing),
		op(users, "DeleteUserPolicy", iamAPI.DeleteUserPolicy, changing),
		op(users, "PutRolePolicy", iamAPI.PutRolePolicy, changing, sets),
		op(users, "PutUserPolicy", iamAPI.PutUserPolicy, changing, sets),
		op(users, "UpdateAccessKey", iamAPI.UpdateAccessKey, changing, sets),

		op(objects, "GetBucketLocation", s3API.GetBucketLocation, reading),
		op(objects, "ListObjectsV2", s3API.ListObjectsV2, reading, needs("s3:ListBucket")),

		op(quotas, "GetServiceQuota", servicequotasAPI.GetServiceQuota, reading),
		op(quotas, "ListServiceQuotas", servicequotasAPI.ListServiceQuotas, reading),
	}
}
