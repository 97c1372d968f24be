# Runs moto until standard input ends, and prints the port that it listens on.
import logging
import sys

from moto.core.config import default_user_config
from moto.ec2 import utils
from moto.ec2.models import amis
from moto.servicequotas import models
from moto.server import ThreadedMotoServer

# EC2 can filter instances by the client token that they were launched with; moto keeps the token and lacks the filter.
utils.filter_dict_attribute_mapping["client-token"] = "client_token"

# One image is all that tests launch from; to make moto's hundreds of each region takes seconds.
amis.AMIS = [
    {"ami_id": "ami-0123456789abcdef0", "name": "test", "architecture": "x86_64", "virtualization_type": "hvm", "root_device_type": "ebs"}
]
amis.environ["MOTO_AMIS_PATH"] = ""

# State machines are really carried out; else they would run for ever.
default_user_config["stepfunctions"]["execute_state_machine"] = True

# The quota of vCPUs of running on-demand standard instances, which moto doesn't know. AWS' own default is lower still.
quota = models.ServiceQuotasBackend.get_service_quota
models.ServiceQuotasBackend.get_service_quota = lambda self, service_code, quota_code: (
    {"ServiceCode": "ec2", "QuotaCode": quota_code, "Value": 30.0}
    if quota_code == "L-1216C47A"
    else quota(self, service_code, quota_code)
)

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
