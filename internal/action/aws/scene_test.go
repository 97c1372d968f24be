package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
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
