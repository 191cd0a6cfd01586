"""What the roles' policies decide, in every context in which AWS may ask them.

The policies are those of the expanded template, the evaluation is the emulator's.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from ministack.core import iam_evaluator

from checks.template import PSEUDO_PARAMETERS, Template, statements
from tests.support.template import expanded_template

ACCOUNT, STACK = PSEUDO_PARAMETERS["AWS::AccountId"], PSEUDO_PARAMETERS["AWS::StackName"]
HOME, ALLOWED, OUTSIDE = "us-east-1", "eu-west-1", "ap-south-1"
PRIMARY, REPLICA = "CreatePrimaryKeyFunctionRole", "CreateReplicaKeyFunctionRole"

NEW_KEY = f"arn:aws:kms:{ALLOWED}:{ACCOUNT}:key/mrk-1234abcd12ab34cd56ef1234567890ab"
ANY_KEY = f"arn:aws:kms:{ALLOWED}:{ACCOUNT}:key/*"
SINGLE_REGION_KEY = f"arn:aws:kms:{ALLOWED}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"

type Context = dict[str, Any]

REQUEST_TAGS = {
    "aws:RequestTag/mrk:stack": STACK,
    "aws:RequestTag/mrk:request-id": "CHG1",
    "aws:TagKeys": ["mrk:stack", "mrk:request-id"],
}
KEY_TAGS = {"aws:ResourceTag/mrk:stack": STACK, "aws:ResourceTag/mrk:request-id": "CHG1"}
# What nobody documents of a key that is being created: each key of the context may say any of
# these, or be missing (None).
REGIONS = (HOME, ALLOWED, None)
MULTI_REGION = ("true", "false", None)
TAGS_OF_THE_KEY: tuple[Context, ...] = ({}, KEY_TAGS)
BYPASS = ("false", None)
SPEC = {"kms:KeySpec": "SYMMETRIC_DEFAULT"}


@pytest.fixture(scope="module")
def policies() -> dict[str, list[Any]]:
    """Map each role to its statements, parsed, in a stack that allows two Regions."""
    template: Template = expanded_template()
    template["Parameters"]["AllowedRegions"]["Default"] = f"{HOME},{ALLOWED}"
    parsed: dict[str, list[Any]] = {}
    for one in statements(template):
        parsed.setdefault(one["role"], []).append(
            iam_evaluator.parse_policy_document(one["policy"])
        )
    return parsed


def decision(
    policies: list[Any], action: str, resource: str, region: str | None, context: Context
) -> str:
    shown = {name.lower(): value for name, value in context.items() if value is not None}
    shown.setdefault("aws:tagkeys", None)
    asked = iam_evaluator.EvalContext(
        f"arn:aws:sts::{ACCOUNT}:assumed-role/role/session",
        "AssumedRole",
        ACCOUNT,
        action,
        resource,
        region,
        service_context=shown,
    )
    decided: str = iam_evaluator.evaluate(asked, policies).decision
    return decided


def contexts_of_a_new_key() -> Iterator[tuple[str, str | None, Context]]:
    """List every way in which KMS may ask about a key that it is creating."""
    for resource, region, multi_region, tags, bypass in product(
        (ANY_KEY, NEW_KEY), REGIONS, MULTI_REGION, TAGS_OF_THE_KEY, BYPASS
    ):
        yield (
            resource,
            region,
            {
                "kms:MultiRegion": multi_region,
                "kms:BypassPolicyLockoutSafetyCheck": bypass,
                "kms:ResourceAliases": [],
                **tags,
            },
        )


@pytest.mark.parametrize("role", [PRIMARY, REPLICA])
def test_whoever_creates_a_key_may_set_its_policy_and_tags_whatever_kms_shows_of_it(
    role: str, policies: dict[str, list[Any]]
) -> None:
    refused = [
        (action, asked)
        for asked in contexts_of_a_new_key()
        for action, tags in (("kms:PutKeyPolicy", {}), ("kms:TagResource", REQUEST_TAGS))
        if decision(policies[role], action, *asked[:2], asked[2] | tags) != "Allow"
    ]

    assert refused == []


def test_a_replica_may_be_created_whatever_kms_shows_of_it(policies: dict[str, list[Any]]) -> None:
    refused = [
        (region, multi_region, key_type, tags)
        for region, multi_region, key_type, tags, spec in product(
            REGIONS, MULTI_REGION, ("REPLICA", None), ({}, REQUEST_TAGS), ("RSA_2048", None)
        )
        if decision(
            policies[REPLICA],
            "kms:CreateKey",
            "*",
            region,
            {
                "kms:MultiRegion": multi_region,
                "kms:MultiRegionKeyType": key_type,
                "kms:KeySpec": spec,
                **tags,
            },
        )
        != "Allow"
    ]

    assert refused == []


def test_a_role_for_replicas_creates_no_primary_key(policies: dict[str, list[Any]]) -> None:
    shown = {"kms:MultiRegion": "true", "kms:MultiRegionKeyType": "PRIMARY", **REQUEST_TAGS}

    assert decision(policies[REPLICA], "kms:CreateKey", "*", HOME, shown) != "Allow"
    assert decision(policies[PRIMARY], "kms:CreateKey", "*", HOME, shown | SPEC) == "Allow"


@pytest.mark.parametrize("role", [PRIMARY, REPLICA])
@pytest.mark.parametrize("action", ["kms:PutKeyPolicy", "kms:TagResource"])
@pytest.mark.parametrize(
    ("resource", "region", "shown"),
    [
        (NEW_KEY, HOME, {"kms:ResourceAliases": ["alias/theirs"]}),
        (NEW_KEY, HOME, {"kms:ResourceAliases": ["alias/ours"], **KEY_TAGS}),
        (NEW_KEY, HOME, {"aws:ResourceTag/mrk:stack": "another-stack"}),
        (SINGLE_REGION_KEY, HOME, {}),
        (SINGLE_REGION_KEY, HOME, KEY_TAGS),
        (NEW_KEY, OUTSIDE, {}),
        (NEW_KEY.replace(ACCOUNT, "444455556666"), HOME, {}),
    ],
    ids=["alias", "our alias", "stack", "single", "single of ours", "Region", "account"],
)
def test_whoever_creates_keys_changes_none_that_is_there(  # noqa: PLR0917 - a row's columns
    role: str,
    action: str,
    resource: str,
    region: str,
    shown: Context,
    policies: dict[str, list[Any]],
) -> None:
    asked = {"kms:MultiRegion": "true", **REQUEST_TAGS, **shown}

    assert decision(policies[role], action, resource, region, asked) != "Allow"


@pytest.mark.parametrize("role", [PRIMARY, REPLICA, "ApplyKeySettingsFunctionRole"])
@pytest.mark.parametrize("action", ["kms:CreateKey", "kms:PutKeyPolicy"])
def test_nobody_skips_the_lockout_check(
    role: str, action: str, policies: dict[str, list[Any]]
) -> None:
    skipped = {"kms:BypassPolicyLockoutSafetyCheck": "true", "kms:MultiRegion": "true"}

    for key_type in ("PRIMARY", "REPLICA", None):
        shown = {**skipped, "kms:MultiRegionKeyType": key_type, **REQUEST_TAGS, **KEY_TAGS, **SPEC}
        assert decision(policies[role], action, NEW_KEY, HOME, shown) == "Deny"


# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
@pytest.mark.parametrize("role", [PRIMARY, REPLICA])
def test_whoever_creates_keys_may_create_the_service_linked_role(
    role: str, policies: dict[str, list[Any]]
) -> None:
    name = "AWSServiceRoleForKeyManagementServiceMultiRegionKeys"
    arn = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/mrk.kms.amazonaws.com/{name}"
    action = "iam:CreateServiceLinkedRole"

    ours, other = ({"iam:AWSServiceName": s} for s in ("mrk.kms.amazonaws.com", "x.amazonaws.com"))
    assert decision(policies[role], action, arn, HOME, ours) == "Allow"
    assert decision(policies[role], action, arn, HOME, other) != "Allow"
