"""A key policy that KMS refuses: the message says whom it may be about."""

from typing import Any

import pytest

from provisioner.aws import kms
from provisioner.errors import KeyPolicyRefused
from tests.support.answering import answer, kms_for, refusal
from tests.support.samples import ACCOUNT, ROOT, key_arn, plan_of

REGION = "us-east-1"
ROLES = [f"arn:aws:iam::{ACCOUNT}:role/Service{number}" for number in range(300)]
INVALID = "Policy contains a statement with one or more invalid principals."


def refused(message: str, principals: list[str]) -> str:
    """Return what is reported of a policy with these principals that KMS refuses."""
    allow: dict[str, Any] = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}
    statements = [
        {**allow, "Action": "kms:*", "Principal": {"AWS": ROOT}},
        {**allow, "Principal": {"AWS": principals, "Service": "logs.us-east-1.amazonaws.com"}},
        {**allow, "Effect": "Deny", "Principal": "*", "Action": "kms:Sign"},
    ]
    document = {"Version": "2012-10-17", "Statement": statements}
    plan = plan_of(policy={"document": document})
    client = kms_for(REGION)
    answer(client, "PutKeyPolicy", refusal("MalformedPolicyDocumentException", message))
    with pytest.raises(KeyPolicyRefused) as refused:
        kms.write_policy(client, key_arn(REGION), plan.policy)
    return refused.value.what_happened


def test_the_first_principals_and_their_number_are_named_where_kms_names_none() -> None:
    assert refused(INVALID, ROLES) == (
        f"KMS in {REGION} refused PutKeyPolicy: {INVALID} The key is {key_arn(REGION)}. KMS looks "
        f"up 302 principal(s) of this policy, {', '.join(ROLES[:5])} among them."
    )


@pytest.mark.parametrize(
    "message",
    [
        f"Invalid principal {ROLES[7]}.",
        "The new key policy will not allow you to update the key policy in the future.",
    ],
)
def test_what_kms_says_of_a_principal_or_of_a_lockout_stands_alone(message: str) -> None:
    assert refused(message, ROLES) == (
        f"KMS in {REGION} refused PutKeyPolicy: {message} The key is {key_arn(REGION)}."
    )


def test_a_policy_that_names_the_account_alone_is_counted() -> None:
    assert refused(INVALID, [ROOT]).endswith(
        "KMS looks up 2 principal(s) of this policy, logs.us-east-1.amazonaws.com among them."
    )
