"""The deployed workflow with the local KMS as late and as strict as KMS can be."""

import uuid

import pytest

from local.stack.stack import Stack
from tests.support.stack.kms_calls import HOME, OTHER
from tests.support.stack.reading import ADMIN, new_request, read_key, sids

NOT_ENABLED = "ap-east-1"


@pytest.mark.parametrize("lockout_sees_tags", [False, True])
def test_a_key_set_is_made_where_everything_counts_late(
    stack: Stack, *, lockout_sees_tags: bool
) -> None:
    new_role = stack.create_role(f"user-{uuid.uuid4()}")
    request = new_request(
        "late",
        policy={"administrators": [ADMIN], "users": [new_role]},
        replicas=[{"region": OTHER}],
    )

    # The workflow's retries pass fifty times as fast as in AWS, so these are four minutes for tags.
    with stack.changed_kms_settings(
        authorization_seconds=4.8,
        principal_seconds=0.3,
        propagation_seconds=0.2,
        lockout_sees_tags=lockout_sees_tags,
        rewrites_policies=True,
    ):
        stack.send(request)
        outcome = stack.wait_for_outcome(request["requestId"])["detail"]

    assert (outcome["status"], outcome["errors"]) == ("CREATED", [])
    (replica,) = outcome["key"]["replicas"]
    members = ((HOME, outcome["key"]["primary"]["arn"]), (OTHER, replica["arn"]))
    first, second = (read_key(stack, *member)["policy"] for member in members)
    assert first == second
    assert len(sids(first)) == 4


def test_a_region_that_is_not_enabled_fails_the_request(stack: Stack) -> None:
    request = new_request("not-enabled", replicas=[{"region": NOT_ENABLED}])

    with stack.changed_kms_settings(disabled_regions=[NOT_ENABLED]):
        stack.send(request)
        outcome = stack.wait_for_outcome(request["requestId"])["detail"]

    assert outcome["status"] == "FAILED"
    (error,) = outcome["errors"]
    assert (error["path"], error["code"]) == ("replicas", "REGION_NOT_ENABLED")
    assert outcome["key"] is None
    assert NOT_ENABLED in error["message"]
