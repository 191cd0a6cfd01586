"""Each role is granted what its paths use, and nothing else; what must not work, IAM denies.

The stack is this module's own: its parameters make every path possible, and nobody else's calls are
among those that are counted. `workflow_paths` has the paths, `forbidden` the attempts.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from local.settings import ROOT
from local.stack.deploy import deploy
from local.stack.stack import Stack
from tests.support.stack import workflow_paths
from tests.support.stack.emulators import new_emulator
from tests.support.stack.forbidden import (
    Attempts,
    Keys,
    make_keys,
    still_possible,
    within_the_edges,
)
from tests.support.stack.privilege_page import Reasons, page
from tests.support.stack.privileges import Grant, Privileges, read_privileges, used

PAGE = ROOT / "docs" / "least-privilege.md"

LOGS_AND_TRACES = [
    *(
        f"logs:{operation}"
        for operation in (
            "CreateLogDelivery",
            "DeleteLogDelivery",
            "DescribeLogGroups",
            "DescribeResourcePolicies",
            "GetLogDelivery",
            "ListLogDeliveries",
            "PutResourcePolicy",
            "UpdateLogDelivery",
        )
    ),
    *(
        f"xray:{operation}"
        for operation in (
            "GetSamplingRules",
            "GetSamplingTargets",
            "PutTelemetryRecords",
            "PutTraceSegments",
        )
    ),
]

GRANTED_BUT_NOT_USED = {
    **{
        (role, "iam:CreateServiceLinkedRole"): (
            "KMS makes its service-linked role with the caller's permission when an account "
            "creates its first multi-Region key; the local stack makes it without asking."
        )
        for role in ("CreatePrimaryKeyFunctionRole", "CreateReplicaKeyFunctionRole")
    },
    **{
        (role, action): (
            "Step Functions needs it to write logs and traces, which the emulator's own does not."
        )
        for role in ("ChangeKeySetRole", "ProvisionBatchRole", "ProvisionKeyRole")
        for action in LOGS_AND_TRACES
    },
    **{
        ("ProvisionBatchRole", action): (
            "Step Functions needs it to watch the executions of a Distributed Map's items and to "
            "write down which were started; the emulator's own does neither with the role."
        )
        for action in (
            "s3:AbortMultipartUpload",
            "s3:ListMultipartUploadParts",
            "s3:PutObject",
            "states:DescribeExecution",
            "states:StopExecution",
        )
    },
    **dict.fromkeys(
        [
            ("ApplyChangeFunctionRole", "kms:DescribeKey"),
            ("ApplyChangeFunctionRole", "kms:ListResourceTags"),
            ("ReleaseKeyFunctionRole", "kms:DescribeKey"),
            ("RestoreKeyFunctionRole", "kms:DescribeKey"),
        ],
        "Only to find out why KMS denies a call: the key is new, or has lost our tag.",
    ),
    **{
        (role, "states:DescribeExecution"): (
            "Only while another execution works on the same change, or where that has died."
        )
        for role in (
            "ClaimChangeFunctionRole",
            "ClaimRequestFunctionRole",
            "PlanChangeFunctionRole",
        )
    },
    ("AskForApprovalFunctionRole", "states:SendTaskSuccess"): (
        "Only where somebody decides between the question's token and its event."
    ),
    ("SweepRegionFunctionRole", "dynamodb:UpdateItem"): (
        "Only once KMS has deleted a removed key, a week or more after its removal."
    ),
    **{
        (role, action): (
            "Lambda takes the queue's messages with it; the emulator's own takes them without."
        )
        for role in ("LookAtKeysFunctionRole", "UpdateTicketFunctionRole")
        for action in ("sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage")
    },
    ("ReadBatchFunctionRole", "s3:ListBucket"): (
        "S3 asks for it where an object is missing, and else says that access is denied."
    ),
}

# https://docs.aws.amazon.com/service-authorization/latest/reference/
WITHOUT_RESOURCE = {
    "ec2:DescribeRegions": "EC2 has no resource for it.",
    "kms:CreateKey": "There is no key yet; conditions say what it must be.",
    "kms:ListAliases": "KMS has no resource for it.",
    "tag:GetResources": "The tagging API has no resources.",
    **dict.fromkeys(LOGS_AND_TRACES, "Log deliveries and traces have no resource."),
}
WITH_WILDCARD = {
    "key/*": "A new key that is being tagged, or the key of somebody's alias, has any ID.",
    "key/mrk-*": "Keys have random IDs in every allowed Region; conditions ask for our tag.",
    "alias/*": "Requests choose the names; the key that an alias is of must be ours as well.",
    "execution:mrk-provisioner-provision-key:*": "Executions have names of their own.",
    "execution:mrk-provisioner-change-key-set:*": "Executions have names of their own.",
    "execution:mrk-provisioner-provision-batch:*": "Executions have names of their own.",
    "BatchesBucket/*": "Whoever starts a batch names its file.",
    "BatchesBucket/batches/*": "Batches have names of their own.",
    "BatchesBucket/batches/*/starts/*": "Batches and Map Runs have names of their own.",
    "role/aws-service-role/mrk.kms.amazonaws.com/*": "AWS chooses the rest of the name.",
}
MANAGED = {
    "AmazonAPIGatewayPushToCloudWatchLogs": "API Gateway's logs, for the whole account.",
    "AWSLambdaBasicExecutionRole": "A function's log. AWS wrote it for logs of any name.",
    "AWSXrayWriteOnlyAccess": "Traces, since they are Active. X-Ray has no resource for them.",
}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Return a stack of this module's own."""
    with new_emulator() as emulator:
        described = deploy(emulator, workflow_paths.PARAMETERS)
        with Stack.listening(described) as deployed:
            yield deployed


@pytest.fixture(scope="module")
def privileges(stack: Stack) -> Privileges:
    """Return the roles as they are deployed."""
    return read_privileges(stack)


@pytest.fixture(scope="module")
def asked(stack: Stack) -> list[dict[str, Any]]:
    """Go every path; give the permissions that were asked for."""
    workflow_paths.walk(stack)
    return stack.permissions()


@pytest.fixture(scope="module")
def unused(privileges: Privileges, asked: list[dict[str, Any]]) -> list[Grant]:
    """List what no path uses."""
    return [grant for grant in privileges.grants() if not used(grant, privileges, asked)]


@pytest.fixture(scope="module")
def keys(stack: Stack, asked: list[dict[str, Any]]) -> Keys:  # noqa: ARG001 - the paths go first
    """Return keys to try things on."""
    return make_keys(stack)


@pytest.fixture(scope="module")
def attempts(stack: Stack, privileges: Privileges) -> Attempts:
    """Return what makes attempts."""
    return Attempts(stack, privileges)


@pytest.fixture(scope="module")
def forbidden(attempts: Attempts, keys: Keys) -> dict[str, tuple[int, list[str]]]:
    """Try all that must not work."""
    return attempts.of_every_kind(keys)


def test_no_path_lacks_a_permission(privileges: Privileges, asked: list[dict[str, Any]]) -> None:
    denied = {
        (privileges.role_at(permission["principal"]), permission["action"])
        for permission in asked
        if not permission["allowed"]
    }

    assert denied == workflow_paths.INTENDED_DENIALS


def test_every_role_that_has_permissions_was_seen(
    privileges: Privileges, asked: list[dict[str, Any]]
) -> None:
    seen = {privileges.role_at(permission["principal"]) for permission in asked}
    seen.discard(workflow_paths.APPROVERS)

    assert seen == {grant.role for grant in privileges.grants()}


def test_nothing_is_granted_that_no_path_uses(unused: list[Grant]) -> None:
    assert {(grant.role, grant.action) for grant in unused} == GRANTED_BUT_NOT_USED.keys()


def test_a_resource_is_named_wherever_there_is_one(privileges: Privileges) -> None:
    grants = privileges.grants()
    patterns = {privileges.readable(grant.resource) for grant in grants if "*" in grant.resource}

    assert [grant for grant in grants if "*" in grant.action or "?" in grant.action] == []
    assert {g.action for g in grants if g.resource == "*"} == WITHOUT_RESOURCE.keys()
    assert patterns - {"*"} == WITH_WILDCARD.keys()


def test_aws_own_policies_are_those_that_sam_attaches(privileges: Privileges) -> None:
    assert {name for names in privileges.managed.values() for name in names} == MANAGED.keys()


def test_iam_denies_what_must_not_work(
    forbidden: dict[str, tuple[int, list[str]]],
    stack: Stack,
    privileges: Privileges,
    asked: list[dict[str, Any]],
) -> None:
    denials = [p for p in stack.permissions(since=len(asked)) if not p["allowed"]]

    assert {kind: others for kind, (_, others) in forbidden.items() if others} == {}
    # Each was IAM's own decision about the role.
    assert len(denials) == sum(denied for denied, _ in forbidden.values())
    assert {privileges.role_at(p["principal"]) for p in denials} == privileges.roles.keys()


def test_iam_allows_what_lies_within_the_edges(
    attempts: Attempts, privileges: Privileges, keys: Keys
) -> None:
    """The attempts are denied for the one thing that they change."""
    denied = [
        str(attempt)
        for attempt in within_the_edges(privileges, keys)
        if attempts.is_denied(attempt)
    ]

    assert denied == []


def test_what_iam_cannot_deny_is_known(attempts: Attempts, keys: Keys) -> None:
    denied = [str(a) for a, _ in still_possible(keys) if attempts.is_denied(a)]

    assert denied == [], "This is denied by now: take it off the list."


def test_the_page_says_what_was_measured(
    privileges: Privileges,
    unused: list[Grant],
    forbidden: dict[str, tuple[int, list[str]]],
    keys: Keys,
) -> None:
    numbers = {kind: denied for kind, (denied, _) in forbidden.items()}
    possible = [(a.role, a.action, meaning) for a, meaning in still_possible(keys)]
    reasons = Reasons(GRANTED_BUT_NOT_USED, WITHOUT_RESOURCE, WITH_WILDCARD, MANAGED)
    measured = page(privileges, unused, reasons, numbers, possible)
    if os.environ.get("RENEW_PAGE"):
        PAGE.write_text(measured)

    assert PAGE.read_text() == measured, "make least-privilege renews the page."
