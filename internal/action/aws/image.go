package aws

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"homeostat/automation"
)

// createImage is aws:createImage. It has ended once the image is available. An image's name is its own in an account and
// region, so that one that was cut off is found by it.
func createImage() action {
	return action{
		uses: []string{"ec2 CreateImage", "ec2 DescribeImages"},
		would: func(_ *Hands, c automation.Call) string {
			how := "rebooting it"
			if text(c.Inputs["NoReboot"]) == "true" {
				how = "without rebooting it"
			}
			return fmt.Sprintf("make an image %q of EC2 instance %s, %s", text(c.Inputs["ImageName"]), text(c.Inputs["InstanceId"]), how)
		},
		do: func(ctx context.Context, w *work) (map[string]any, error) {
			in := map[string]any{"InstanceId": w.Inputs["InstanceId"], "Name": w.Inputs["ImageName"]}
			for from, to := range map[string]string{
				"ImageDescription": "Description", "NoReboot": "NoReboot", "BlockDeviceMappings": "BlockDeviceMappings", "TagSpecifications": "TagSpecifications",
			} {
				if v := w.Inputs[from]; v != nil {
					in[to] = v
				}
			}
			out, err := w.call(ctx, "ec2", "CreateImage", in)
			if err != nil {
				return nil, err
			}
			return w.imageReady(ctx, map[string]any{"ImageIds": []any{out["ImageId"]}})
		},
		lookUp: func(ctx context.Context, w *work) (map[string]any, error) {
			return w.imageReady(ctx, byName(text(w.Inputs["ImageName"])))
		},
	}
}

func byName(name string) map[string]any {
	return map[string]any{"Owners": []any{"self"}, "Filters": []any{map[string]any{"Name": "name", "Values": []any{name}}}}
}

func (w *work) lookUpCreateImage(ctx context.Context, name string) (map[string]any, error) {
	out, err := w.imageReady(ctx, byName(name))
	if _, goesOn := errors.AsType[*automation.Again](err); goesOn {
		err = nil // the API itself doesn't wait
	}
	delete(out, "ImageState")
	return out, err
}

// imageReady looks at an image: available, on its way, failed, or not there.
func (w *work) imageReady(ctx context.Context, which map[string]any) (map[string]any, error) {
	out, err := w.call(ctx, "ec2", "DescribeImages", which)
	if err != nil {
		return nil, err
	}
	list, _ := out["Images"].([]any)
	if len(list) == 0 {
		return nil, fmt.Errorf("there is no such image: %w", automation.ErrNotDone)
	}
	image, _ := list[0].(map[string]any)
	response := map[string]any{"ImageId": image["ImageId"], "ImageState": image["State"]}
	switch state := text(image["State"]); state {
	case "available":
		return response, nil
	case "pending", "transient":
		return response, w.pending("image %s is %s", text(image["ImageId"]), state)
	default:
		reason, _ := image["StateReason"].(map[string]any)
		return response, fmt.Errorf("image %s is %s: %s: %w", text(image["ImageId"]), state, text(reason["Message"]), automation.ErrFailed)
	}
}

// copyImage is aws:copyImage, into the execution's own region. Its client token gives the same image at a second call.
func copyImage() action {
	do := func(ctx context.Context, w *work) (map[string]any, error) {
		in := map[string]any{"SourceRegion": w.Inputs["SourceRegion"], "SourceImageId": w.Inputs["SourceImageId"], "Name": w.Inputs["ImageName"]}
		for from, to := range map[string]string{"ImageDescription": "Description", "Encrypted": "Encrypted", "KmsKeyId": "KmsKeyId", "ClientToken": "ClientToken"} {
			if v := w.Inputs[from]; v != nil {
				in[to] = v
			}
		}
		out, err := w.call(ctx, "ec2", "CopyImage", in)
		if err != nil {
			return nil, err
		}
		return w.imageReady(ctx, map[string]any{"ImageIds": []any{out["ImageId"]}})
	}
	return action{
		uses: []string{"ec2 CopyImage", "ec2 DescribeImages"},
		would: func(_ *Hands, c automation.Call) string {
			return fmt.Sprintf("copy image %s from %s as %q", text(c.Inputs["SourceImageId"]), text(c.Inputs["SourceRegion"]), text(c.Inputs["ImageName"]))
		},
		do: do, lookUp: func(ctx context.Context, w *work) (map[string]any, error) {
			return w.imageReady(ctx, byName(text(w.Inputs["ImageName"])))
		},
	}
}

// deleteImage is aws:deleteImage: it deregisters an image and deletes its snapshots.
func deleteImage() action {
	return action{
		uses: []string{"ec2 DescribeImages", "ec2 DeregisterImage", "ec2 DescribeSnapshots", "ec2 DeleteSnapshot"},
		would: func(_ *Hands, c automation.Call) string {
			return fmt.Sprintf("deregister image %s and delete its snapshots", text(c.Inputs["ImageId"]))
		},
		do: func(ctx context.Context, w *work) (map[string]any, error) {
			id := text(w.Inputs["ImageId"])
			snapshots, there, err := w.snapshotsOf(ctx, id)
			if err != nil {
				return nil, err
			}
			if there {
				if _, err := w.call(ctx, "ec2", "DeregisterImage", map[string]any{"ImageId": id}); err != nil {
					return nil, err
				}
			}
			for _, s := range snapshots {
				if _, err := w.call(ctx, "ec2", "DeleteSnapshot", map[string]any{"SnapshotId": s}); err != nil && code(err) != "InvalidSnapshot.NotFound" {
					return nil, err
				}
			}
			return map[string]any{}, nil
		},
		lookUp: func(ctx context.Context, w *work) (map[string]any, error) {
			left, there, err := w.snapshotsOf(ctx, text(w.Inputs["ImageId"]))
			switch {
			case err != nil:
				return nil, err
			case there || len(left) > 0:
				return nil, fmt.Errorf("the image, or a snapshot of it, is still there: %w", automation.ErrNotDone)
			}
			return map[string]any{}, nil
		},
	}
}

// snapshotsOf finds an image's snapshots: while it is there by itself, afterwards by the description that EC2 gave them.
func (w *work) snapshotsOf(ctx context.Context, image string) (ids []string, there bool, err error) {
	out, err := w.call(ctx, "ec2", "DescribeImages", map[string]any{"ImageIds": []any{image}})
	if err != nil && !strings.HasPrefix(code(err), "InvalidAMIID.") {
		return nil, false, err
	}
	list, _ := out["Images"].([]any)
	for _, it := range list {
		m, _ := it.(map[string]any)
		if there = text(m["State"]) != "deregistered"; !there {
			continue
		}
		devices, _ := m["BlockDeviceMappings"].([]any)
		for _, d := range devices {
			dm, _ := d.(map[string]any)
			ebs, _ := dm["Ebs"].(map[string]any)
			if id := text(ebs["SnapshotId"]); id != "" {
				ids = append(ids, id)
			}
		}
	}
	if there {
		return ids, true, nil
	}
	out, err = w.call(ctx, "ec2", "DescribeSnapshots", map[string]any{
		"OwnerIds": []any{"self"}, "Filters": []any{map[string]any{"Name": "description", "Values": []any{"*for " + image + "*"}}},
	})
	if err != nil {
		return nil, false, err
	}
	list, _ = out["Snapshots"].([]any)
	for _, it := range list {
		m, _ := it.(map[string]any)
		ids = append(ids, text(m["SnapshotId"]))
	}
	return ids, false, nil
}
