"""Whether key policies let the stack's own roles do what a request needs of its keys."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from provisioner.aws.partitions import known_regions
from provisioner.domain.key_access import KEY_ROLES, NEEDS, Purpose
from provisioner.intake.request import parse_request, policy_warnings
from tests.support.samples import ACCOUNT, ADMIN, ROOT, SETTINGS, document_of, pairs_of, problems_of
from tests.support.template import load_template
from tests.support.timing import takes_less_than

TEMPLATE = load_template()
EVERYTHING = {
    "Sid": "Account",
    "Effect": "Allow",
    "Principal": {"AWS": ROOT},
    "Action": "kms:*",
    "Resource": "*",
}
ROLES = {
    step: f"arn:aws:iam::{ACCOUNT}:role/{name}"
    for step, name in zip(KEY_ROLES, SETTINGS.key_role_names, strict=True)
}
IDS = dict(zip(KEY_ROLES, SETTINGS.key_role_ids, strict=True))
# The administrator's actions as the console wrote them before there were multi-Region keys.
BEFORE_MULTI_REGION = [
    *(f"kms:{verb}*" for verb in ("Create", "Describe", "Enable", "List", "Put", "Update")),
    *(f"kms:{verb}*" for verb in ("Revoke", "Disable", "Get", "Delete")),
    *("kms:TagResource", "kms:UntagResource", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion"),
]
HERE = "policy.document"


def denying(action: str | list[str] = "kms:*", **elements: Any) -> dict[str, Any]:
    deny = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": "*", **elements}
    return {name: value for name, value in deny.items() if value is not ...}


def document(*statements: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a request whose primary key has these statements for its key policy."""
    policy = {"document": {"Version": "2012-10-17", "Statement": [*statements]}}
    return document_of(policy=policy, **fields)


def with_replicas(*regions: str, **fields: Any) -> dict[str, Any]:
    return {"replicas": [{"region": region} for region in regions], **fields}


def warned(given: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Return the warnings of a request that is taken: the message by path and code."""
    request = parse_request(given, SETTINGS)
    warnings = policy_warnings(request, SETTINGS)
    assert all(re.fullmatch(r"\S+ [^\n]+[.]", warning["message"]) for warning in warnings)
    return {(warning["path"], warning["code"]): warning["message"] for warning in warnings}


def message_of(given: dict[str, Any]) -> str:
    (problem,) = problems_of(given)
    assert problem["code"] == "POLICY_LOCKS_OUT"
    return problem["message"]


@pytest.mark.parametrize(
    "account",
    [ROOT, ACCOUNT, [ADMIN, ROOT], [ACCOUNT]],
)
def test_the_accounts_statement_lets_every_role_in(account: str | list[str]) -> None:
    given = document({**EVERYTHING, "Principal": {"AWS": account}}, **with_replicas("eu-west-1"))

    assert warned(given) == {}


def test_a_role_may_be_let_in_by_its_own_name_alone() -> None:
    given = document({**EVERYTHING, "Principal": {"AWS": [*ROLES.values()]}})

    assert warned(given) == {}


@pytest.mark.parametrize(
    "elements",
    [
        {"Principal": {"AWS": ADMIN}},
        {"Principal": {"AWS": "arn:aws:iam::444455556666:root"}},
        {"Principal": {"Service": "lambda.amazonaws.com"}},
        {"Action": "kms:PutKeyPolic"},
        {"Action": ..., "NotAction": "kms:*"},
        {"Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Condition": {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}},
        {"Condition": {"StringEquals": {"kms:CallerAccount": "444455556666"}}},
        {"Condition": {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/Other*"}}},
        {"Condition": {"Null": {"aws:SourceVpce": "false"}}},
    ],
)
def test_what_lets_no_role_in_is_refused_at_the_document(elements: dict[str, Any]) -> None:
    statement = {k: v for k, v in {**EVERYTHING, **elements}.items() if v is not ...}

    assert pairs_of(document(statement)) == {(HERE, "POLICY_LOCKS_OUT")}


def test_a_list_of_actions_without_replicate_key_is_enough_for_a_lone_primary_alone() -> None:
    account = {**EVERYTHING, "Action": BEFORE_MULTI_REGION}

    assert warned(document(account, rotation={"periodInDays": 365})) == {}
    message = message_of(document(account, **with_replicas("eu-west-1")))
    assert "no statement allows kms:ReplicateKey (to replicate the key)" in message
    assert "us-east-1" in message


def test_put_key_policy_alone_is_not_enough() -> None:
    message = message_of(document({**EVERYTHING, "Action": "kms:PutKeyPolicy"}))

    assert "kms:CreateAlias (to create the alias)" in message
    assert "kms:DescribeKey (to read the finished key)" in message
    assert "PutKeyPolicy" not in message


def test_a_message_names_a_few_actions_only() -> None:
    later = (Purpose.REPAIR, Purpose.CHANGE)
    needed = [f"kms:{need.action}" for need in NEEDS if need.purpose not in later]

    found = warned(document({**EVERYTHING, "Action": needed}, rotation={"periodInDays": 90}))

    assert {*found} == {(HERE, "REPAIR_IMPOSSIBLE"), (HERE, "CHANGE_IMPOSSIBLE")}
    message = found[HERE, "CHANGE_IMPOSSIBLE"]
    assert "no statement allows kms:ListResourceTags (to find why a call was de" in message
    assert ", and more. Without that, a later revision cannot change the key in this w" in message


@pytest.mark.parametrize(
    ("action", "fields", "refused"),
    [
        ("kms:CreateAlias", {}, True),
        ("kms:EnableKeyRotation", {}, False),
        ("kms:EnableKeyRotation", {"rotation": {}}, True),
        ("kms:ReplicateKey", {}, False),
        ("kms:ReplicateKey", with_replicas("eu-west-1"), True),
        ("kms:ImportKeyMaterial", {}, False),
        ("kms:ImportKeyMaterial", {"origin": "EXTERNAL"}, True),
        ("kms:GetParametersForImport", {"origin": "EXTERNAL"}, True),
        ("kms:DescribeKey", {}, True),
        ("kms:PutKeyPolicy", {}, True),
        ("KMS:putkeypolicy", {}, True),
        ("kms:Encrypt", {"origin": "EXTERNAL", **with_replicas("eu-west-1")}, False),
    ],
)
def test_only_what_this_request_needs_makes_it_impossible(
    action: str, fields: dict[str, Any], *, refused: bool
) -> None:
    given = document(EVERYTHING, denying(action), **fields)

    expected = {(f"{HERE}.Statement[1]", "POLICY_LOCKS_OUT")} if refused else set()
    assert pairs_of(given) == expected


@pytest.mark.parametrize("named", [[ADMIN], [ADMIN, ROOT], [ROOT], ACCOUNT, "444455556666"])
def test_a_deny_for_all_but_others_locks_the_roles_out(named: str | list[str]) -> None:
    deny = denying(Principal=..., NotPrincipal={"AWS": named})

    message = message_of(document(EVERYTHING, deny))

    assert "Statement[1] denies kms:PutKeyPolicy" in message


def test_a_deny_for_all_but_the_roles_and_their_account_is_a_warning() -> None:
    deny = denying(Principal=..., NotPrincipal={"AWS": [ROOT, *ROLES.values()]})

    assert {code for _, code in warned(document(EVERYTHING, deny))} == {"POLICY_DEPENDS_ON_CALL"}
    assert warned(document(EVERYTHING, {**deny, "NotPrincipal": "*"})) == {}


@pytest.mark.parametrize(
    "condition",
    [
        {"ArnNotLike": {"aws:PrincipalArn": [ROOT, ADMIN]}},
        {"StringNotEquals": {"aws:PrincipalArn": ADMIN}},
        {"StringNotLike": {"aws:userId": ["AROAEXAMPLEEXAMPLE00:*", ACCOUNT]}},
        {"StringNotEquals": {"aws:SourceVpce": "vpce-0123456789abcdef0"}},
        {"StringNotEqualsIfExists": {"aws:SourceVpc": "vpc-0123456789abcdef0"}},
        {"Null": {"aws:SourceVpce": "true"}},
        {"StringNotEquals": {"aws:RequestedRegion": "eu-west-1"}},
        {"Bool": {"aws:PrincipalIsAWSService": "false"}},
        {"Bool": {"aws:ViaAWSService": False}},
        {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}},
        {"StringEquals": {"kms:MultiRegionKeyType": "PRIMARY"}},
        {"StringEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT"}},
        {"ForAllValues:StringEquals": {"aws:CalledVia": "s3.amazonaws.com"}},
    ],
)
def test_a_conditional_deny_that_is_about_the_roles_locks_them_out(
    condition: dict[str, Any],
) -> None:
    given = document(EVERYTHING, denying(Condition=condition))

    assert pairs_of(given) == {(f"{HERE}.Statement[1]", "POLICY_LOCKS_OUT")}


@pytest.mark.parametrize(
    "condition",
    [
        {"ArnNotLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/mrk-provisioner-*"}},
        {"StringNotLike": {"aws:userId": [f"{role_id}:*" for role_id in IDS.values()]}},
        {"Bool": {"aws:SecureTransport": "false"}},
        {"StringNotEquals": {"aws:PrincipalAccount": ACCOUNT}},
        {"StringNotEqualsIfExists": {"kms:CallerAccount": [ACCOUNT, "444455556666"]}},
        {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}},
        {"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "true"}},
        {"Null": {"kms:EncryptionContext:tenant": "false"}},
        {"StringEquals": {"aws:PrincipalType": "User"}},
        {"StringEquals": {"aws:SourceVpc": "vpc-0123456789abcdef0"}},
        {"Bool": {"kms:GrantIsForAWSResource": "false"}},
    ],
)
def test_a_conditional_deny_that_is_about_others_is_taken(condition: dict[str, Any]) -> None:
    assert warned(document(EVERYTHING, denying(Condition=condition))) == {}


@pytest.mark.parametrize(
    "condition",
    [
        {"StringNotEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}},
        {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}},
        {"StringNotEquals": {"aws:PrincipalTag/team": "keys"}},
        {"DateGreaterThan": {"aws:CurrentTime": "2027-01-01T00:00:00Z"}},
        {"Bool": {"aws:MultiFactorAuthPresent": "false"}},
        {"StringEquals": {"kms:NewKeyOfAWS": "x"}},
        {"StringNotEquals": {"aws:PrincipalArn": "${aws:PrincipalTag/administrator}"}},
    ],
)
def test_a_deny_whose_condition_nobody_knows_before_is_a_warning(
    condition: dict[str, Any],
) -> None:
    found = warned(document(EVERYTHING, denying(Condition=condition)))

    ((path, code),) = found
    assert (path, code) == (f"{HERE}.Statement[1]", "POLICY_DEPENDS_ON_CALL")
    assert "a condition of Statement[1] decides on kms:PutKeyPolicy" in found[path, code]


def test_an_allow_whose_condition_nobody_knows_before_is_a_warning() -> None:
    condition = {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}

    found = warned(document({**EVERYTHING, "Condition": condition}))

    assert {*found} == {(f"{HERE}.Statement[0]", "POLICY_DEPENDS_ON_CALL")}


def test_what_only_a_rollback_needs_is_a_warning() -> None:
    deny = denying(
        ["kms:ScheduleKeyDeletion", "kms:DeleteAlias"],
        Condition={"ArnNotLike": {"aws:PrincipalArn": ADMIN}},
    )

    found = warned(document(EVERYTHING, deny, onFailure="ROLL_BACK"))

    denies = f"{HERE}.Statement[1]"
    codes = {"ROLLBACK_IMPOSSIBLE", "REPAIR_IMPOSSIBLE", "CHANGE_IMPOSSIBLE"}
    assert {*found} == {(denies, code) for code in codes}
    message = found[denies, "ROLLBACK_IMPOSSIBLE"]
    assert "kms:ScheduleKeyDeletion (to retire a second key, to schedule the deletion)" in message
    assert "kms:DeleteAlias (to delete the alias)" in message
    # A correction that renames the key deletes its old alias.
    assert "kms:DeleteAlias (to take an old alias away)" in found[denies, "REPAIR_IMPOSSIBLE"]


@pytest.mark.parametrize(
    "action",
    [
        *("kms:ListResourceTags", "kms:CancelKeyDeletion", "kms:EnableKey"),
        *("kms:TagResource", "kms:UpdateKeyDescription"),
    ],
)
def test_what_only_a_later_repair_or_change_needs_is_a_warning(action: str) -> None:
    found = warned(document(EVERYTHING, denying(action)))

    codes = ("REPAIR_IMPOSSIBLE", "CHANGE_IMPOSSIBLE")
    assert {*found} == {(f"{HERE}.Statement[1]", code) for code in codes}
    assert all(f"Statement[1] denies {action} (to " in message for message in found.values())


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        *((f"kms:{verb}", {}) for verb in ("DisableKey", "UpdateAlias", "EnableKeyRotation")),
        ("kms:UpdatePrimaryRegion", with_replicas("eu-west-1")),
    ],
)
def test_what_only_one_kind_of_change_needs_is_a_warning(
    action: str, fields: dict[str, Any]
) -> None:
    found = warned(document(EVERYTHING, denying(action), **fields))

    assert {*found} == {(f"{HERE}.Statement[1]", "CHANGE_IMPOSSIBLE")}


def test_a_lone_key_is_never_promoted() -> None:
    assert warned(document(EVERYTHING, denying("kms:UpdatePrimaryRegion"))) == {}


@pytest.mark.parametrize(
    ("step", "action"),
    [
        *(("PlanChange", f"kms:{verb}") for verb in ("DescribeKey", "GetKeyPolicy")),
        ("PlanChange", "kms:GetKeyRotationStatus"),
        ("ApplyChange", "kms:PutKeyPolicy"),
        ("ConfirmChange", "kms:DescribeKey"),
    ],
)
def test_a_policy_that_no_change_could_replace_is_refused(step: str, action: str) -> None:
    condition = {"ArnEquals": {"aws:PrincipalArn": ROLES[step]}}

    message = message_of(document(EVERYTHING, denying(action, Condition=condition)))

    assert f"Statement[1] denies {action} (to " in message
    assert message.endswith("no later revision could change the key or replace this policy.")


def test_another_waiting_period_is_no_reason_to_warn_of_changes() -> None:
    key = "kms:ScheduleKeyDeletionPendingWindowInDays"
    deny = denying("kms:ScheduleKeyDeletion", Condition={"NumericLessThan": {key: "30"}})

    assert {code for _, code in warned(document(EVERYTHING, deny))} == {"ROLLBACK_IMPOSSIBLE"}


@pytest.mark.parametrize("key", ["aws:TagKeys", "aws:RequestTag/team"])
def test_only_calls_that_write_tags_have_tags_that_are_not_known(key: str) -> None:
    found = warned(document(EVERYTHING, denying(Condition={"StringEquals": {key: "x"}})))

    assert {code for _, code in found} == {"POLICY_DEPENDS_ON_CALL"}
    assert "decides on kms:TagResource (to correct the tags, to change the tags)" in "".join(
        found.values()
    )


def test_a_replica_that_inherits_the_policy_is_asked_for_in_its_own_region() -> None:
    deny = denying(Condition={"StringEquals": {"aws:RequestedRegion": "eu-west-1"}})

    message = message_of(document(EVERYTHING, deny, **with_replicas("us-west-2", "eu-west-1")))

    assert "in eu-west-1: Statement[1] denies kms:CreateAlias" in message
    assert "kms:DescribeKey (to wait until the key is enabled)" in message
    # KMS asks for PutKeyPolicy itself, and nobody knows in whose Region.
    assert "PutKeyPolicy" not in message


def test_a_replicas_own_policy_is_named_by_its_own_path() -> None:
    own = {"document": {"Statement": {**EVERYTHING, "Principal": {"AWS": ADMIN}}}}
    given = document_of(replicas=[{"region": "eu-west-1"}, {"region": "us-west-2", "policy": own}])

    assert pairs_of(given) == {("replicas[1].policy.document", "POLICY_LOCKS_OUT")}


def test_a_replica_without_an_alias_needs_no_permission_to_create_one() -> None:
    own = {"document": {"Statement": [EVERYTHING, denying("kms:CreateAlias")]}}
    replica = {"region": "eu-west-1", "policy": own}

    assert pairs_of(document_of(replicas=[{**replica, "alias": None}])) == set()
    assert pairs_of(document_of(replicas=[replica])) == {
        ("replicas[0].policy.document.Statement[1]", "POLICY_LOCKS_OUT")
    }


def test_replication_is_asked_for_region_by_region() -> None:
    deny = denying(
        "kms:ReplicateKey", Condition={"StringEquals": {"kms:ReplicaRegion": "us-west-2"}}
    )

    assert pairs_of(document(EVERYTHING, deny, **with_replicas("eu-west-1"))) == set()
    assert pairs_of(document(EVERYTHING, deny, **with_replicas("eu-west-1", "us-west-2"))) == {
        (f"{HERE}.Statement[1]", "POLICY_LOCKS_OUT")
    }


@pytest.mark.parametrize(
    ("condition", "fields", "refused"),
    [
        ({"NumericLessThan": {"kms:RotationPeriodInDays": 180}}, {"rotation": {}}, False),
        (
            {"NumericLessThan": {"kms:RotationPeriodInDays": 180}},
            {"rotation": {"periodInDays": 90}},
            True,
        ),
        ({"StringEquals": {"kms:WrappingKeySpec": "RSA_4096"}}, {"origin": "EXTERNAL"}, True),
        (
            {"StringEquals": {"kms:WrappingKeySpec": "RSA_4096"}},
            {"origin": "EXTERNAL", "keyMaterial": {"wrappingKeySpec": "RSA_3072"}},
            False,
        ),
        (
            {"StringNotEquals": {"kms:WrappingAlgorithm": "RSAES_OAEP_SHA_256"}},
            {"origin": "EXTERNAL", "keyMaterial": {"wrappingAlgorithm": "RSAES_OAEP_SHA_256"}},
            True,  # for every other call, which has no wrapping algorithm
        ),
    ],
)
def test_what_the_request_says_is_known_of_the_call(
    condition: dict[str, Any], fields: dict[str, Any], *, refused: bool
) -> None:
    given = document(EVERYTHING, denying(Condition=condition), **fields)

    assert bool(pairs_of(given)) is refused


def test_the_waiting_period_of_a_deletion_is_known() -> None:
    key = "kms:ScheduleKeyDeletionPendingWindowInDays"
    deny = denying("kms:ScheduleKeyDeletion", Condition={"NumericLessThan": {key: "14"}})
    request = parse_request(document(EVERYTHING, deny), SETTINGS)

    (warning,) = policy_warnings(request, SETTINGS)

    assert warning["code"] == "ROLLBACK_IMPOSSIBLE"
    assert policy_warnings(request, replace(SETTINGS, deletion_window_days=30)) == []


def test_key_material_that_expires_otherwise_next_time_is_not_known() -> None:
    condition = {"StringEquals": {"kms:ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}}
    given = document(EVERYTHING, denying(Condition=condition), origin="EXTERNAL")

    assert {code for _, code in warned(given)} == {"POLICY_DEPENDS_ON_CALL"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"keySpec": "AES_256"},
        {"primaryRegion": "moon-1"},
        {"rotation": {"periodInDays": "365"}},
        {"origin": "EXTERNAL", "keyMaterial": 5},
        {"origin": "EXTERNAL", "keyMaterial": {"wrappingKeySpec": 5}},
        {"replicas": [{"region": "eu-west-1"}, {"region": "eu-west-1"}, {"region": 5}, {}, None]},
    ],
)
def test_other_mistakes_do_not_hide_that_a_policy_locks_out(wrong: dict[str, Any]) -> None:
    found = pairs_of(document({**EVERYTHING, "Principal": {"AWS": ADMIN}}, **wrong))

    assert (HERE, "POLICY_LOCKS_OUT") in found
    assert len(found) > 1


@pytest.mark.parametrize(
    ("wrong", "condition"),
    [
        ({"primaryRegion": "moon-1"}, {"StringNotEquals": {"aws:RequestedRegion": "eu-west-1"}}),
        ({"keySpec": "AES_256"}, {"StringNotEquals": {"kms:KeySpec": "RSA_2048"}}),
        (
            {"origin": "EXTERNAL", "keyMaterial": {"wrappingKeySpec": 5}},
            {"StringLike": {"kms:WrappingKeySpec": "*"}},
        ),
        (
            {"primaryRegion": "moon-1", "replicas": [{"region": "us-west-2"}]},
            {"StringLike": {"kms:KeySpec": "RSA_*", "aws:RequestedRegion": "*"}},
        ),
    ],
)
def test_what_is_wrong_in_the_request_is_no_reason_to_call_its_policy_wrong(
    wrong: dict[str, Any], condition: dict[str, Any]
) -> None:
    found = pairs_of(document(EVERYTHING, denying(Condition=condition), **wrong))

    assert found
    assert "POLICY_LOCKS_OUT" not in {code for _, code in found}


def test_a_malformed_policy_is_not_evaluated() -> None:
    found = pairs_of(document({**EVERYTHING, "Effect": "Permit", "Principal": {"AWS": ADMIN}}))

    assert found == {(f"{HERE}.Statement[0].Effect", "POLICY_MALFORMED")}


def test_inherited_service_principals_of_another_region_are_pointed_out() -> None:
    logs = {**EVERYTHING, "Principal": {"Service": "logs.us-east-1.amazonaws.com"}}
    given = document(EVERYTHING, logs, **with_replicas("eu-west-1"))

    assert {*warned(given)} == {
        (f"{HERE}.Statement[1].Principal.Service", "POLICY_NAMES_OTHER_REGION")
    }
    given["replicas"][0]["policy"] = None
    assert warned(given) == {}


@pytest.mark.parametrize("is_primary", [True, False])
def test_a_policy_of_its_own_that_names_another_region_is_pointed_out(is_primary: bool) -> None:
    via = {"StringEquals": {"kms:ViaService": "s3.ap-south-1.amazonaws.com"}}
    own = {"policy": document(EVERYTHING, {**EVERYTHING, "Condition": via})["policy"]}
    given = (
        document_of(**own) if is_primary else document_of(replicas=[{"region": "eu-west-1", **own}])
    )
    place = f"{HERE}.Statement[1].Condition.StringEquals.kms:ViaService"

    assert {*warned(given)} == {
        (place if is_primary else f"replicas[0].{place}", "POLICY_NAMES_OTHER_REGION")
    }


OTHER = "444455556666"
LETS_IN = "POLICY_LETS_IN_ACCOUNT"


@pytest.mark.parametrize(
    ("elements", "place", "words"),
    [
        ({"Principal": {"AWS": OTHER}}, ".Principal.AWS", "whole account"),
        (
            {"Principal": {"AWS": [ROOT, f"arn:aws:iam::{OTHER}:root"]}},
            ".Principal.AWS[1]",
            "whole",
        ),
        (
            {"Principal": {"AWS": f"arn:aws:iam::{OTHER}:role/App"}},
            ".Principal.AWS",
            "principals of",
        ),
        (
            {"Principal": "*", "Condition": {"StringEquals": {"aws:PrincipalAccount": OTHER}}},
            ".Principal",
            "whole account",
        ),
    ],
)
def test_another_account_that_is_let_in_is_pointed_out(
    elements: dict[str, Any], place: str, words: str
) -> None:
    found = warned(document(EVERYTHING, {**EVERYTHING, **elements}))

    assert {*found} == {(f"{HERE}.Statement[1]{place}", LETS_IN)}
    [message] = found.values()
    assert OTHER in message
    assert words in message


def test_each_other_account_is_pointed_out_once_for_each_policy() -> None:
    roles = [f"arn:aws:iam::{OTHER}:role/{name}" for name in ("A", "B", "C")]
    replicas = [
        {"region": "eu-west-1"},
        {"region": "us-west-2", "policy": {"administrators": [ADMIN, roles[0]], "users": roles}},
        {"region": "us-east-2", "policy": {"users": [f"arn:aws:iam::{OTHER}:root", *roles]}},
    ]
    given = document_of(policy={"users": [ADMIN, *roles]}, replicas=replicas)

    assert [*warned(given)] == [
        ("policy.users[1]", LETS_IN),
        ("replicas[1].policy.administrators[1]", LETS_IN),
        ("replicas[2].policy.users[0]", LETS_IN),
    ]


def test_who_is_only_denied_or_of_this_account_is_not_pointed_out() -> None:
    denied = denying("kms:Sign", Principal={"AWS": OTHER})
    service = {**EVERYTHING, "Principal": {"Service": "s3.amazonaws.com"}}

    assert (
        warned(document(EVERYTHING, denied, service, {**EVERYTHING, "Principal": {"AWS": ADMIN}}))
        == {}
    )


def test_a_built_policy_needs_no_warning() -> None:
    built = {"administrators": [ADMIN]}

    assert warned(document_of(policy=built, **with_replicas("eu-west-1"))) == {}
    assert warned(document_of()) == {}


MANY = range(150)


@pytest.mark.parametrize(
    "statements",
    [
        [denying([f"kms:*e*e*?*e*?*l*{n}" for n in range(1_200)])],
        [denying("kms:" + "*e" * 15_000)],
        [denying(Condition={"StringLike": {"aws:RequestedRegion": [f"*-*{n}x" for n in MANY]}})],
        [denying(Condition={"StringLike": {"aws:RequestedRegion": "*" * 30_000 + "x"}})],
        [
            denying(Condition={"ArnLike": {"aws:PrincipalArn": f"arn:*:*:*:*:*a*{n}x"}})
            for n in MANY
        ],
        [denying(Condition={"StringLike": {"aws:PrincipalOrgID": f"o-{n}"}}) for n in MANY],
    ],
)
def test_no_policy_takes_long_to_be_evaluated_for_many_replicas(
    statements: list[dict[str, Any]],
) -> None:
    regions = sorted(known_regions("aws") - {"us-east-1"})
    given = document(EVERYTHING, *statements, origin="EXTERNAL", **with_replicas(*regions))

    assert takes_less_than(2, lambda: policy_warnings(parse_request(given, SETTINGS), SETTINGS))


# ------------------------------------------------------------- the table and the template


def granted(function: str) -> Iterator[str]:
    """List the KMS actions that a function's role allows."""
    properties = TEMPLATE["Resources"][f"{function}Function"]["Properties"]
    for policy in properties.get("Policies", []):
        for statement in policy["Statement"]:
            chosen = statement["Fn::If"][1] if "Fn::If" in statement else statement
            if chosen["Effect"] == "Allow":
                actions = chosen["Action"]
                for action in actions if isinstance(actions, list) else [actions]:
                    if action.startswith("kms:"):
                        yield action


# Of these KMS asks IAM alone: there is no key yet, or no key is what is asked about.
# https://docs.aws.amazon.com/kms/latest/developerguide/kms-api-permissions-reference.html
IAM_ALONE = {
    *((role, "kms:CreateKey") for role in ("CreatePrimaryKey", "CreateReplicaKey")),
    *((role, "kms:TagResource") for role in ("CreatePrimaryKey", "CreateReplicaKey")),
    *((role, "kms:ListAliases") for role in KEY_ROLES),
}
# A plan says so where a key's policy keeps the role out, and goes on.
DONE_WITHOUT = {
    ("PlanChange", "kms:GetKeyLastUsage"),
    # Of what is to be adopted; a key that keeps the role out is refused.
    ("PlanChange", "kms:ListResourceTags"),
}
# A look says so where a key policy keeps it out, and an operation fails and says so.
OF_OPERATIONS = {"AdoptKey", "ImportNewKeyMaterial", "LookAtKeys", "ReleaseKey", "RotateKey"}
NEEDED = {(need.role, f"kms:{need.action}") for need in NEEDS}


def test_every_call_of_the_table_is_granted_to_its_role() -> None:
    assert {(role, action) for role in KEY_ROLES for action in granted(role)} >= NEEDED


def test_every_grant_on_keys_is_in_the_table_or_asked_of_iam_alone_or_done_without() -> None:
    grants = {(role, action) for role in KEY_ROLES for action in granted(role)}

    assert grants - NEEDED <= IAM_ALONE | DONE_WITHOUT


def test_no_other_role_needs_a_key_policy() -> None:
    """The sweep only looks; and the API goes without where a key's policy keeps it out."""
    functions = {
        name.removesuffix("Function")
        for name, resource in TEMPLATE["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
        and not name.startswith(("Sweep", "KeysApi"))
    }

    calling = {name for name in functions if any(granted(name))}
    assert calling == {*KEY_ROLES} | OF_OPERATIONS


def test_the_template_names_the_roles_in_the_order_of_the_table() -> None:
    given = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]

    names = [{"Ref": f"{step}FunctionRole"} for step in KEY_ROLES]
    ids = [{"Fn::GetAtt": f"{step}FunctionRole.RoleId"} for step in KEY_ROLES]
    assert given["KEY_ROLE_NAMES"] == {"Fn::Join": [",", names]}
    assert given["KEY_ROLE_IDS"] == {"Fn::Join": [",", ids]}


def test_the_roles_have_no_path_so_their_names_make_their_arns() -> None:
    assert "RolePath" not in json.dumps(TEMPLATE)


def test_each_role_has_something_that_is_needed_and_each_purpose_needs_something() -> None:
    assert {need.role for need in NEEDS} == {*KEY_ROLES}
    assert {need.purpose for need in NEEDS} == {*Purpose}
