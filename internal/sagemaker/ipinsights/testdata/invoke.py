"""Calls an IP Insights endpoint with boto3's sagemaker-runtime client and prints what it understood. Argument: the endpoint's URL."""

import json

from endpoint import refused, runtime


def invoke(**kwargs):
    return runtime.invoke_endpoint(EndpointName="insights", **kwargs)


for kind, body in {
    "text/csv": b"ana,198.51.100.7\nana,203.0.113.7\n",
    "application/json": json.dumps({"instances": [{"features": ["ana", "198.51.100.7"]}, {"features": ["ana", "203.0.113.7"]}]}),
    "application/jsonlines": b'{"features":["ana","198.51.100.7"]}\n{"features":["ana","203.0.113.7"]}\n',
}.items():
    answer = invoke(ContentType=kind, Accept="application/json", Body=body)
    dots = [p["dot_product"] for p in json.load(answer["Body"])["predictions"]]
    print(f"{kind}: {answer['ContentType']}, {len(dots)} predictions, her own address fits better: {dots[0] > dots[1]}, variant {answer['InvokedProductionVariant']}")

answer = invoke(ContentType="text/csv", Accept="application/json;verbose=True", Body=b"ana,198.51.100.7\n")
first = json.load(answer["Body"])["predictions"][0]
print(f"verbose: {sorted(first)}, {len(first['entity_embedding'])} and {len(first['ip_embedding'])}")
answer = invoke(ContentType="text/csv", Accept="application/jsonlines", Body=b"ana,198.51.100.7\nbob,203.0.113.7\n")
print(f"as lines: {answer['ContentType']}, {len(answer['Body'].read().splitlines())} lines")

refused(
    invoke,
    {
        "text/plain": {"ContentType": "text/plain", "Body": b"x"},
        "no address": {"ContentType": "text/csv", "Body": b"ana,198.51.100.7\nana,here\n"},
        "one column": {"ContentType": "text/csv", "Body": b"ana\n"},
    },
)
