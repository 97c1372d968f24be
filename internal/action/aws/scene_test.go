package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
)

// createStateMachine makes a state machine that passes its input on.
func createStateMachine(ctx context.Context, cfg aws.Config) (string, error) {
	out, err := sfn.NewFromConfig(cfg).CreateStateMachine(ctx, &sfn.CreateStateMachineInput{
		Name: new("m"), RoleArn: new("arn:aws:iam::123456789012:role/r"), Definition: new(`{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}`),
	})
	if err != nil {
		return "", err
	}
	return *out.StateMachineArn, nil
}

// member makes an Auto Scaling group of one instance, and returns that.
func (w *world) member() string {
	w.t.Helper()
	cfg := w.sessions.Of("", "")
	cfg.BaseEndpoint = &emulator
	c := autoscaling.NewFromConfig(cfg)
	image := w.pick(w.api("ec2", "DescribeImages", nil), "$.Images[0].ImageId")
	if _, err := c.CreateLaunchConfiguration(w.t.Context(), &autoscaling.CreateLaunchConfigurationInput{
		LaunchConfigurationName: new("web"), ImageId: &image, InstanceType: new("m5.large"),
	}); err != nil {
		w.t.Fatal(err)
	}
	if _, err := c.CreateAutoScalingGroup(w.t.Context(), &autoscaling.CreateAutoScalingGroupInput{
		AutoScalingGroupName: new("web"), LaunchConfigurationName: new("web"), MinSize: new(int32(1)), MaxSize: new(int32(1)),
		AvailabilityZones: []string{"eu-west-1a"},
	}); err != nil {
		w.t.Fatal(err)
	}
	return w.pick(w.api("autoscaling", "DescribeAutoScalingInstances", nil), "$.AutoScalingInstances[0].InstanceId")
}
