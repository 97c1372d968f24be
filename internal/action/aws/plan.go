package aws

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// planned is the name of a service of our own among the operations: plans, which need more arithmetic than documents can do.
// They read and answer with a verdict: to do it, or only to propose it and why.
const planned = "homeostat"

func plans() []operation {
	plan := func(name string, members []string, f func(context.Context, *work, map[string]any) (map[string]any, error), actions ...string) operation {
		return operation{
			service: planned, name: name, effect: reading, actions: actions,
			check: func(in map[string]any) error {
				for k := range in {
					if !slices.Contains(members, k) {
						return fmt.Errorf("%s: there is no such member", k)
					}
				}
				return nil
			},
			do: func(ctx context.Context, cfg aws.Config, in map[string]any) (map[string]any, error) {
				return f(ctx, &work{Hands: New(nil, HandsConfig{}), aws: cfg}, in)
			},
		}
	}
	return []operation{
		plan("PlanScaleUp", []string{"InstanceId", "MaxVCpus"}, planScaleUp,
			"ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "autoscaling:DescribeAutoScalingInstances", "servicequotas:GetServiceQuota"),
		plan("PlanExtendVolume", []string{"InstanceId", "VolumeId", "GrowPercent", "MaxSize"}, planExtendVolume,
			"ec2:DescribeInstances", "ec2:DescribeVolumes", "ec2:DescribeVolumesModifications"),
	}
}

// verdict is a plan's answer: Verdict "do", or "propose" with the reason.
func verdict(out map[string]any, why string) map[string]any {
	out["Verdict"], out["Reason"] = "do", why
	return out
}

func propose(out map[string]any, format string, args ...any) map[string]any {
	out["Verdict"], out["Reason"] = "propose", fmt.Sprintf(format, args...)
	return out
}

// standardQuota is the quota of vCPUs of running on-demand instances of the standard families, and those are its families.
const (
	standardQuota    = "L-1216C47A"
	standardFamilies = "acdhimrtz"
)

// planScaleUp finds the next size of an instance's family that its architecture, EBS, the account's quota and a maximum allow.
// A member of an Auto Scaling group is the group's to replace; one without an EBS root would lose its disk; a spot instance
// can't be stopped so.
func planScaleUp(ctx context.Context, w *work, in map[string]any) (map[string]any, error) {
	id := text(in["InstanceId"])
	most := integer(in["MaxVCpus"], 64)
	found, err := w.instances(ctx, []string{id})
	if err != nil {
		return nil, err
	}
	i := found[0]
	from := text(i["InstanceType"])
	out := map[string]any{"InstanceId": id, "From": from, "To": from}
	groups, err := w.call(ctx, "autoscaling", "DescribeAutoScalingInstances", map[string]any{"InstanceIds": []any{id}})
	if err != nil {
		return nil, err
	}
	if members, _ := groups["AutoScalingInstances"].([]any); len(members) > 0 {
		m, _ := members[0].(map[string]any)
		return propose(out, "%s belongs to the Auto Scaling group %s: change the group's launch template", id, text(m["AutoScalingGroupName"])), nil
	}
	switch {
	case text(i["RootDeviceType"]) != "ebs":
		return propose(out, "%s has its root on an instance store, which stopping it would lose: launch a larger one", id), nil
	case text(i["InstanceLifecycle"]) == "spot":
		return propose(out, "%s is a spot instance: launch a larger one", id), nil
	}
	family, _, _ := strings.Cut(from, ".")
	types, err := w.call(ctx, "ec2", "DescribeInstanceTypes", map[string]any{"Filters": []any{map[string]any{"Name": "instance-type", "Values": []any{family + ".*"}}}})
	if err != nil {
		return nil, err
	}
	sizes := ladder(types)
	at := slices.IndexFunc(sizes, func(s instanceSize) bool { return s.name == from })
	if at < 0 {
		return propose(out, "EC2 says nothing of the type %s", from), nil
	}
	to := instanceSize{}
	for _, s := range sizes[at+1:] {
		if s.cores > sizes[at].cores && slices.Contains(s.architectures, text(i["Architecture"])) && (i["EbsOptimized"] != true || s.ebs != "unsupported") {
			to = s
			break
		}
	}
	switch {
	case to.name == "":
		return propose(out, "%s is the largest size of %s: choose another family", from, family), nil
	case to.cores > most:
		return propose(out, "the next size, %s, has %d vCPUs, and %d are the most that are allowed", to.name, to.cores, most), nil
	}
	if why, err := w.overQuota(ctx, from, to.cores-sizes[at].cores); err != nil || why != "" {
		if err != nil {
			why = "the quota can't be read: " + err.Error()
		}
		return propose(out, "%s", strings.ReplaceAll(why, `"`, "'")), nil
	}
	out["To"] = to.name
	return verdict(out, fmt.Sprintf("scale %s from %s (%d vCPUs) to %s (%d)", id, from, sizes[at].cores, to.name, to.cores)), nil
}

type instanceSize struct {
	name          string
	cores         int64
	memory        int64 // MiB
	architectures []string
	ebs           string // whether it can be EBS optimised
}

// ladder is a family's sizes, the smallest first, without bare metal.
func ladder(answer map[string]any) []instanceSize {
	var out []instanceSize
	list, _ := answer["InstanceTypes"].([]any)
	for _, it := range list {
		m, _ := it.(map[string]any)
		if m["BareMetal"] == true || strings.Contains(text(m["InstanceType"]), "metal") {
			continue
		}
		cpu, _ := m["VCpuInfo"].(map[string]any)
		memory, _ := m["MemoryInfo"].(map[string]any)
		processor, _ := m["ProcessorInfo"].(map[string]any)
		ebs, _ := m["EbsInfo"].(map[string]any)
		out = append(out, instanceSize{
			text(m["InstanceType"]), integer(cpu["DefaultVCpus"], 0), integer(memory["SizeInMiB"], 0), texts(processor["SupportedArchitectures"]),
			text(ebs["EbsOptimizedSupport"]),
		})
	}
	slices.SortFunc(out, func(a, b instanceSize) int {
		if a.cores != b.cores {
			return int(a.cores - b.cores)
		}
		return int(a.memory - b.memory)
	})
	return out
}

// overQuota says why so many vCPUs more are too many for the account, "" when they aren't.
func (w *work) overQuota(ctx context.Context, typ string, more int64) (string, error) {
	if !strings.Contains(standardFamilies, typ[:1]) {
		return fmt.Sprintf("%s is of a family whose quota isn't known here", typ), nil
	}
	out, err := w.call(ctx, "service-quotas", "GetServiceQuota", map[string]any{"ServiceCode": "ec2", "QuotaCode": standardQuota})
	if err != nil {
		return "", err
	}
	quota, _ := out["Quota"].(map[string]any)
	most, err := strconv.ParseFloat(text(quota["Value"]), 64)
	if err != nil {
		return "", err
	}
	in := map[string]any{"Filters": []any{map[string]any{"Name": "instance-state-name", "Values": []any{"pending", "running"}}}}
	used := int64(0)
	for {
		out, err := w.call(ctx, "ec2", "DescribeInstances", in)
		if err != nil {
			return "", err
		}
		for _, i := range instancesIn(out) {
			if cpu, ok := i["CpuOptions"].(map[string]any); ok && strings.Contains(standardFamilies, text(i["InstanceType"])[:1]) {
				used += integer(cpu["CoreCount"], 1) * integer(cpu["ThreadsPerCore"], 2)
			}
		}
		if text(out["NextToken"]) == "" {
			break
		}
		in["NextToken"] = out["NextToken"]
	}
	if float64(used+more) > most {
		return fmt.Sprintf("%d vCPUs more on top of %d would be over the quota of %.0f (%s)", more, used, most, standardQuota), nil
	}
	return "", nil
}

// volumeCooldown is how long EBS wants between two modifications of a volume.
const volumeCooldown = 6 * time.Hour

// planExtendVolume says how large a volume becomes: of an instance its root, unless one is named.
func planExtendVolume(ctx context.Context, w *work, in map[string]any) (map[string]any, error) {
	id, volume := text(in["InstanceId"]), text(in["VolumeId"])
	out := map[string]any{"InstanceId": id, "VolumeId": volume, "Size": int64(0)}
	if volume == "" {
		found, err := w.instances(ctx, []string{id})
		if err != nil {
			return nil, err
		}
		devices, _ := found[0]["BlockDeviceMappings"].([]any)
		for _, d := range devices {
			m, _ := d.(map[string]any)
			if ebs, ok := m["Ebs"].(map[string]any); ok && m["DeviceName"] == found[0]["RootDeviceName"] {
				volume = text(ebs["VolumeId"])
			}
		}
		if volume == "" {
			return propose(out, "%s has no EBS volume as its root: move to a larger disk", id), nil
		}
	}
	out["VolumeId"] = volume
	vs, err := w.call(ctx, "ec2", "DescribeVolumes", map[string]any{"VolumeIds": []any{volume}})
	if err != nil {
		return nil, err
	}
	list, _ := vs["Volumes"].([]any)
	if len(list) == 0 {
		return propose(out, "there is no volume %s", volume), nil
	}
	v, _ := list[0].(map[string]any)
	has := integer(v["Size"], 0)
	to := min(has+max(has*integer(in["GrowPercent"], 20)/100, 10), integer(in["MaxSize"], 1000))
	if to <= has {
		return propose(out, "%s has %d GiB already, and %d are the most that are allowed", volume, has, integer(in["MaxSize"], 1000)), nil
	}
	ms, err := w.call(ctx, "ec2", "DescribeVolumesModifications", map[string]any{"Filters": []any{map[string]any{"Name": "volume-id", "Values": []any{volume}}}})
	if err != nil && code(err) != "InvalidVolumeModification.NotFound" {
		return nil, err
	}
	last, _ := ms["VolumesModifications"].([]any)
	for _, it := range last {
		m, _ := it.(map[string]any)
		began, err := time.Parse(time.RFC3339Nano, text(m["StartTime"]))
		if text(m["VolumeId"]) == volume && (err != nil || time.Since(began) < volumeCooldown) {
			return propose(out, "%s was modified at %s, and EBS takes no other modification for 6 hours", volume, text(m["StartTime"])), nil
		}
	}
	out["Size"] = to
	return verdict(out, fmt.Sprintf("extend %s from %d to %d GiB", volume, has, to)), nil
}

func integer(v any, def int64) int64 {
	if f, err := strconv.ParseFloat(text(v), 64); err == nil {
		return int64(f)
	}
	return def
}
