"""Calls of KMS that the tests make, and what they are made with."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.settings import ACCOUNT_ID

HOME = "us-east-1"
OTHER = "us-west-2"
ROOT = f"arn:aws:iam::{ACCOUNT_ID}:root"
THROTTLED = (
    "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
)
LOCKED_OUT = (
    "MalformedPolicyDocumentException",
    "The new key policy will not allow you to update the key policy in the future.",
)

type Refusal = tuple[str, str]


def refusal(call: Callable[..., Any], **parameters: Any) -> Refusal:
    """Make a call that must be refused; give its code and message."""
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


def key_policy(*principals: str, action: str = "kms:*", **statement: Any) -> str:
    """Write a key policy that allows an action to principals."""
    allow = {"Effect": "Allow", "Principal": {"AWS": list(principals)}, "Action": action}
    allow |= {"Resource": "*", **statement}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow]})


def key_arn(region: str, key_id: str) -> str:
    """Return the ARN that a key has in a Region."""
    return f"arn:aws:kms:{region}:{ACCOUNT_ID}:key/{key_id}"


def alias_name() -> str:
    """Return an alias that no other test uses."""
    return f"alias/test-{uuid.uuid4()}"
