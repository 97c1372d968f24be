"""Calls a DeepAR endpoint with boto3's sagemaker-runtime client and prints what it understood. Argument: the endpoint's URL."""

import json

from endpoint import refused, runtime


def invoke(**kwargs):
    return runtime.invoke_endpoint(EndpointName="forecaster", **kwargs)


def instance(n, ahead=6):
    return {
        "start": "2026-03-02 00:00:00",
        "target": [10.0 if t != 5 else "NaN" for t in range(n)],
        "cat": [1],
        "dynamic_feat": [[float(t % 24) for t in range(n + ahead)]],
    }


request = {
    "instances": [instance(60), instance(70)],
    "configuration": {"num_samples": 20, "output_types": ["mean", "quantiles", "samples"], "quantiles": ["0.1", "0.9"]},
}
answer = invoke(ContentType="application/json", Body=json.dumps(request))
predictions = json.load(answer["Body"])["predictions"]
first = predictions[0]
print(
    f"application/json: {answer['ContentType']}, {len(predictions)} predictions, {len(first['mean'])} steps,"
    f" {len(first['samples'])} samples, quantiles {sorted(first['quantiles'])},"
    f" in order {all(a <= b for a, b in zip(first['quantiles']['0.1'], first['quantiles']['0.9']))}, variant {answer['InvokedProductionVariant']}"
)
again = json.load(invoke(ContentType="application/json", Body=json.dumps(request))["Body"])
print(f"the same again: {again['predictions'] == predictions}")

answer = invoke(ContentType="application/json", Body=json.dumps({"instances": [instance(60)]}))
first = json.load(answer["Body"])["predictions"][0]
print(f"as configured: {sorted(first)}, {len(first['quantiles'])} quantiles")

answer = invoke(ContentType="application/jsonlines", Body="\n".join(json.dumps(instance(60)) for _ in range(3)))
print(f"application/jsonlines: {answer['ContentType']}, {len(answer['Body'].read().splitlines())} lines")

refused(
    invoke,
    {
        "text/csv": {"ContentType": "text/csv", "Body": b"1,2"},
        "category": {"ContentType": "application/json", "Body": json.dumps({"instances": [{**instance(60), "cat": [9]}]})},
        "feature": {"ContentType": "application/json", "Body": json.dumps({"instances": [instance(60, 5)]})},
        "huge": {"ContentType": "application/json", "Body": json.dumps({"instances": [{**instance(60), "target": [1, 1e300]}]})},
    },
)
