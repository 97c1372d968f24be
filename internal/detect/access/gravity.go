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

// techniques of MITRE ATT&CK (matrix for IaaS, version 17), and the APIs that are their procedures in AWS. An API alone is no
// attack: it counts where it is new for a user.
var techniques = []struct {
	gravity uint8
	id      string
	name    string
	apis    string
}{
	{1, "T1087.004", "Account Discovery: Cloud Account", "ListUsers ListRoles GetAccountAuthorizationDetails ListAccessKeys ListGroups GetUser GetCallerIdentity ListAccounts"},
	{1, "T1069.003", "Permission Groups Discovery: Cloud Groups", "ListGroupsForUser ListAttachedUserPolicies ListAttachedRolePolicies ListUserPolicies ListRolePolicies GetPolicyVersion SimulatePrincipalPolicy ListPolicies GetAccountSummary GetAccountPasswordPolicy"},
	{1, "T1580", "Cloud Infrastructure Discovery", "DescribeInstances ListBuckets DescribeSecurityGroups DescribeVpcs DescribeDBInstances DescribeSnapshots GetSendQuota ListIdentities GetSendStatistics"},
	{1, "T1526", "Cloud Service Discovery", "ListFunctions ListServiceQuotas ListFoundationModels GetFoundationModelAvailability DescribeTrails ListTrails ListDetectors DescribeConfigurationRecorders"},
	{1, "T1619", "Cloud Storage Object Discovery", "ListObjects ListObjectsV2 GetBucketAcl GetBucketPolicy GetBucketLogging GetBucketVersioning"},
	{2, "T1552.005", "Unsecured Credentials: Cloud Instance Metadata API", "GetPasswordData DescribeInstanceAttribute"},
	{2, "T1555.006", "Credentials from Password Stores: Cloud Secrets Management Stores", "GetSecretValue BatchGetSecretValue GetParameters GetParametersByPath ListSecrets DescribeSecret"},
	{2, "T1550.001", "Use Alternate Authentication Material: Application Access Token", "GetFederationToken GetSessionToken AssumeRole GetSigninToken"},
	{2, "T1530", "Data from Cloud Storage", "CopyObject RestoreObject CreateExportTask"},
	{2, "T1651", "Cloud Administration Command", "SendCommand StartSession StartAutomationExecution SendSSHPublicKey SendSerialConsoleSSHPublicKey ExecuteCommand"},
	{2, "T1578.002", "Modify Cloud Compute Infrastructure: Create Cloud Instance", "RunInstances RequestSpotInstances CreateFleet"},
	{2, "T1578.001", "Modify Cloud Compute Infrastructure: Create Snapshot", "CreateSnapshot CreateSnapshots CreateImage CreateDBSnapshot"},
	{2, "T1648", "Serverless Execution", "CreateFunction CreateFunction20150331 Invoke InvokeModel InvokeModelWithResponseStream"},
	{3, "T1537", "Transfer Data to Cloud Account", "ModifySnapshotAttribute ModifyImageAttribute ModifyDBSnapshotAttribute PutBucketReplication SharedSnapshotCopyInitiated"},
	{3, "T1098.001", "Account Manipulation: Additional Cloud Credentials", "CreateAccessKey UpdateAccessKey ImportKeyPair CreateKeyPair CreateTrustAnchor CreateProfile UploadSigningCertificate"},
	{3, "T1098.003", "Account Manipulation: Additional Cloud Roles", "AttachUserPolicy AttachRolePolicy AttachGroupPolicy PutUserPolicy PutRolePolicy PutGroupPolicy AddUserToGroup CreatePolicyVersion SetDefaultPolicyVersion UpdateAssumeRolePolicy AddRoleToInstanceProfile"},
	{3, "T1136.003", "Create Account: Cloud Account", "CreateUser CreateRole CreateLoginProfile CreateVirtualMFADevice CreateSAMLProvider CreateOpenIDConnectProvider"},
	{3, "T1098", "Account Manipulation", "UpdateLoginProfile ChangePassword DeactivateMFADevice DeleteVirtualMFADevice"},
	{3, "T1525", "Implant Internal Image", "UpdateFunctionCode UpdateFunctionCode20150331v2 PublishLayerVersion UpdateFunctionConfiguration AddPermission AddPermission20150331v2 PutImage ModifyInstanceAttribute"},
	{3, "T1562.008", "Impair Defenses: Disable or Modify Cloud Logs", "StopLogging DeleteTrail UpdateTrail PutEventSelectors DeleteFlowLogs DeleteResolverQueryLogConfig DisassociateResolverQueryLogConfig DeleteEventDataStore DeleteLogGroup DeleteLogStream PutBucketLifecycle PutBucketLifecycleConfiguration"},
	{3, "T1562.001", "Impair Defenses: Disable or Modify Tools", "DeleteDetector UpdateDetector DisassociateFromMasterAccount DisableSecurityHub DeleteConfigurationRecorder StopConfigurationRecorder LeaveOrganization DeleteAlarms DisableAlarmActions DeleteRule DisableRule DeleteWebACL"},
	{3, "T1562.007", "Impair Defenses: Disable or Modify Cloud Firewall", "AuthorizeSecurityGroupIngress RevokeSecurityGroupEgress CreateNetworkAclEntry ReplaceNetworkAclEntry"},
	{3, "T1490", "Inhibit System Recovery", "DeleteSnapshot DeleteDBSnapshot DeleteBackupVault DeleteRecoveryPoint PutBucketVersioning DeleteDBClusterSnapshot"},
	{3, "T1485", "Data Destruction", "DeleteBucket DeleteObjects DeleteDBInstance DeleteDBCluster DeleteTable DeleteVolume DeleteFileSystem TerminateInstances"},
	{3, "T1486", "Data Encrypted for Impact", "ScheduleKeyDeletion DisableKey PutKeyPolicy PutBucketEncryption"},
	{3, "T1098.006", "Account Manipulation: Additional Container Cluster Roles", "CreateAccessEntry AssociateAccessPolicy"},
}

// newMeanings returns the meanings by API.
func newMeanings() map[string]meaning {
	m := map[string]meaning{}
	for _, t := range techniques {
		for api := range strings.FieldsSeq(t.apis) {
			m[api] = meaning{t.gravity, signal.Technique{ID: t.id, Name: t.name}}
		}
	}
	return m
}

// weigh says what an API may mean. What no technique names is weighed by its service and its verb.
func (d *Detector) weigh(a *signal.Access) meaning {
	if m, ok := d.meanings[a.API]; ok {
		return m
	}
	switch {
	case a.ReadOnly:
		if a.Service == "iam.amazonaws.com" || a.Service == "organizations.amazonaws.com" || a.Service == "sso.amazonaws.com" {
			return meaning{gravity: 1}
		}
		return meaning{}
	case a.Service == "iam.amazonaws.com", a.Service == "organizations.amazonaws.com", a.Service == "cloudtrail.amazonaws.com",
		a.Service == "guardduty.amazonaws.com", a.Service == "sso.amazonaws.com":
		return meaning{gravity: 3}
	case strings.HasPrefix(a.API, "Delete"), strings.HasPrefix(a.API, "Disable"), strings.HasPrefix(a.API, "Stop"):
		return meaning{gravity: 2}
	}
	return meaning{}
}
