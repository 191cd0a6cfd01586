"""Where the local stack keeps its things, and what it is called."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".local"

HOST = "127.0.0.1"
ACCOUNT_ID = "111122223333"
STACK_NAME = "mrk-provisioner"
VERIFY_ROLE = "MrkVerify"
# Waits and retry delays of the workflow pass ten times as fast as in AWS, and so do replicas become
# Enabled: before the first look at them, as in AWS.
# Events about keys come once, as a trail has them come.
PACE = {"SFN_WAIT_SCALE": "0.1", "KMS_CREATING_SECONDS": "0.4", "KMS_EVENT_COPIES": "1"}
ROOT_ARN = f"arn:aws:iam::{ACCOUNT_ID}:root"
PARAMETERS = {
    # The emulator shows a key as soon as it is made, so nobody has to wait for that as in AWS.
    "QuietPeriodInSeconds": "5",
    # `make run` and the tests send events as the account's root, about keys for other accounts too.
    "RequestSenders": f"{ROOT_ARN},arn:aws:iam::{ACCOUNT_ID}:role/{VERIFY_ROLE}",
    "MaterialSenders": ROOT_ARN,
    "AllowedPrincipals": "*",
}

# The emulator takes these for the account's root.
ROOT_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


def aws_environment(endpoint_url: str, region: str) -> dict[str, str]:
    """Return this process's environment, with every AWS setting of the user's replaced by ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {
        **ROOT_CREDENTIALS,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_EC2_METADATA_DISABLED": "true",
        # Neither the user's profiles nor their settings may reach the local stack.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
