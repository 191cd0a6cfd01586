"""Permissions that a role lacks for a while."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from local.stack.stack import Stack


@contextmanager
def denied(stack: Stack, function: str, action: str, region: str) -> Iterator[None]:
    """Take one KMS action in one Region away from one function's role."""
    iam, role = stack.client("iam"), stack.role_of(function)
    statement = {
        "Effect": "Deny",
        "Action": action,
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:RequestedRegion": region}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_role_policy(RoleName=role, PolicyName="denied", PolicyDocument=json.dumps(policy))
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="denied")


@contextmanager
def replica_denied(stack: Stack, region: str) -> Iterator[None]:
    """Deny the creation of replica keys in one Region."""
    with denied(stack, "CreateReplicaKeyFunction", "kms:CreateKey", region):
        yield
