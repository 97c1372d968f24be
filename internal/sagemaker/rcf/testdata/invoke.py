"""Calls an endpoint with boto3's sagemaker-runtime client and prints what it understood. Argument: the endpoint's URL."""

import json
import sys

import boto3
from botocore.config import Config

runtime = boto3.client(
    "sagemaker-runtime", endpoint_url=sys.argv[1], region_name="us-east-1", config=Config(retries={"total_max_attempts": 1})
)


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

for what, kwargs in {
    "text/plain": {"ContentType": "text/plain", "Body": b"x"},
    "no such accept": {"ContentType": "text/csv", "Accept": "text/csv", "Body": b"0,5"},
    "bad row": {"ContentType": "text/csv", "Body": b"0,5\n1\n"},
}.items():
    try:
        invoke(**kwargs)
        print(f"{what}: no error")
    except runtime.exceptions.ModelError as e:
        status = e.response["ResponseMetadata"]["HTTPStatusCode"]
        message = e.response["OriginalMessage"].split(";")[0]
        print(f"{what}: {e.response['Error']['Code']} {status}, original {e.response['OriginalStatusCode']}: {message}")
