"""What the scripts that call an endpoint have in common: boto3's sagemaker-runtime client, and how it tells errors."""

import sys

import boto3
from botocore.config import Config

runtime = boto3.client(
    "sagemaker-runtime", endpoint_url=sys.argv[1], region_name="us-east-1", config=Config(retries={"total_max_attempts": 1})
)


def refused(invoke, cases):
    """Prints what comes of requests that an endpoint has to refuse."""
    for what, kwargs in cases.items():
        try:
            invoke(**kwargs)
            print(f"{what}: no error")
        except runtime.exceptions.ModelError as e:
            status = e.response["ResponseMetadata"]["HTTPStatusCode"]
            message = e.response["OriginalMessage"].split(";")[0]
            print(f"{what}: {e.response['Error']['Code']} {status}, original {e.response['OriginalStatusCode']}: {message}")
