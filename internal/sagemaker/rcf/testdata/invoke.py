"""Calls an endpoint with boto3's sagemaker-runtime client and prints what it understood. Argument: the endpoint's URL."""

import json

from endpoint import refused, runtime


def invoke(**kwargs):
    return runtime.invoke_endpoint(EndpointName="forest", CustomAttributes="trace=1", InferenceId="1", **kwargs)


for kind, body in {
    "text/csv": b"0,5\n9,0\n",
    "application/json": json.dumps({"instances": [{"features": [0, 5]}, {"features": [9, 0]}]}),
    "application/jsonlines": b'{"features":[0,5]}\n{"features":[9,0]}\n',
}.items():
    answer = invoke(ContentType=kind, Body=body)
    scores = [s["score"] for s in json.load(answer["Body"])["scores"]]
    print(
        f"{kind}: {answer['ContentType']}, {len(scores)} scores, strange last: {scores[1] > 2 * scores[0]},"
        f" variant {answer['InvokedProductionVariant']}"
    )

answer = invoke(ContentType="text/csv", Accept="application/jsonlines", Body=b"0,5\n9,0\n")
print(f"as lines: {answer['ContentType']}, {len(answer['Body'].read().splitlines())} lines")

refused(
    invoke,
    {
        "text/plain": {"ContentType": "text/plain", "Body": b"x"},
        "no such accept": {"ContentType": "text/csv", "Accept": "text/csv", "Body": b"0,5"},
        "bad row": {"ContentType": "text/csv", "Body": b"0,5\n1\n"},
    },
)
