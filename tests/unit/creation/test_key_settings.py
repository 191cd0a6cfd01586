from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from provisioner.aws.clients import send_once_kms
from provisioner.aws.kms import create_primary_key
from provisioner.creation.key_settings import ensure_settings
from provisioner.domain.key_policy import policy_text
from provisioner.domain.plan import KeyPlan, Names
from provisioner.errors import (
    AliasInUse,
    AliasNotVisible,
    KeyPolicyRefused,
    KeyTagsNotInEffect,
    KmsAccessDenied,
    PolicyPrincipalGone,
)
from tests.support.answering import answer, calls_of, kms_for, refusal
from tests.support.samples import ACCOUNT, ADMIN, KEY_ID, ROOT, USER, plan_of, request_of

pytestmark = pytest.mark.usefixtures("aws")

REGION = "us-east-1"
WANTED: dict[str, Any] = {
    "description": "Card data",
    "tags": {"team": "cards"},
    "policy": {"administrators": [ADMIN]},
    "rotation": {"periodInDays": 180},
}


def settle(
    client: Any, plan: KeyPlan, arn: str, *, fresh: bool, superseded: Names | None = None
) -> None:
    ensure_settings(client, plan, arn, fresh=fresh, superseded=superseded)


def make_key(**fields: Any) -> str:
    """Create the key of such a request, without its alias."""
    plan = plan_of(**fields)
    return str(
        create_primary_key(send_once_kms(REGION), request_of(**fields), plan, plan.tags)["Arn"]
    )


def rotating(kms: Any, period: int) -> None:
    """Let KMS answer with this rotation, since moto knows of no period."""
    answer(
        kms,
        "GetKeyRotationStatus",
        {"KeyRotationEnabled": True, "RotationPeriodInDays": period},
    )


def writes_of(calls: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [name for name, _ in calls if not name.startswith(("Describe", "Get", "List"))]


def test_a_fresh_key_gets_its_alias_and_rotation_and_nothing_is_read() -> None:
    arn, kms = make_key(**WANTED), kms_for(REGION)
    calls = calls_of(kms)

    settle(kms, plan_of(**WANTED), arn, fresh=True)

    assert [name for name, _ in calls] == ["EnableKeyRotation", "CreateAlias"]
    assert calls[0][1] == {"KeyId": arn, "RotationPeriodInDays": 180}
    assert kms.describe_key(KeyId="alias/cards")["KeyMetadata"]["Arn"] == arn


def test_a_key_without_alias_and_rotation_in_the_plan_gets_neither() -> None:
    region = "eu-west-1"
    kms = kms_for(region)
    calls = calls_of(kms)
    plan = plan_of(region, **WANTED, replicas=[{"region": region, "alias": None}])

    settle(kms, plan, "arn:aws:kms:eu-west-1:111122223333:key/mrk-1", fresh=True)

    assert calls == []


def test_an_older_key_that_is_as_planned_is_only_read() -> None:
    arn, kms = make_key(**WANTED), kms_for(REGION)
    settle(kms, plan_of(**WANTED), arn, fresh=True)
    rotating(kms, 180)
    calls = calls_of(kms)

    settle(kms, plan_of(**WANTED), arn, fresh=False)

    # An alias is unique, so asking for it again is how it is looked at.
    assert writes_of(calls) == ["CreateAlias"]


def test_an_older_key_is_brought_to_the_plan() -> None:
    older = {"description": "old", "tags": {"team": "old", "cost": "42"}}
    arn, kms = make_key(**older), kms_for(REGION)
    calls = calls_of(kms)

    settle(kms, plan_of(**WANTED), arn, fresh=False)

    assert writes_of(calls) == [
        "UpdateKeyDescription",
        "TagResource",
        "PutKeyPolicy",
        "EnableKeyRotation",
        "CreateAlias",
    ]
    assert kms.describe_key(KeyId=arn)["KeyMetadata"]["Description"] == "Card data"
    tags = {t["TagKey"]: t["TagValue"] for t in kms.list_resource_tags(KeyId=arn)["Tags"]}
    assert (tags["team"], tags["cost"]) == ("cards", "42")
    policy = kms.get_key_policy(KeyId=arn)["Policy"]
    assert policy == policy_text(plan_of(**WANTED).policy)
    assert kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"]
    assert ("EnableKeyRotation", {"KeyId": arn, "RotationPeriodInDays": 180}) in calls


@pytest.mark.parametrize(
    ("change", "operation", "argument"),
    [
        ({"description": "new"}, "UpdateKeyDescription", ("Description", "new")),
        (
            {"tags": {"team": "new"}},
            "TagResource",
            ("Tags", [{"TagKey": "team", "TagValue": "new"}]),
        ),
        (
            {"policy": {"users": [USER]}},
            "PutKeyPolicy",
            ("Policy", policy_text(plan_of(policy={"users": [USER]}).policy)),
        ),
        ({"rotation": {"periodInDays": 90}}, "EnableKeyRotation", ("RotationPeriodInDays", 90)),
    ],
)
def test_only_what_differs_is_written(
    change: dict[str, Any], operation: str, argument: tuple[str, Any]
) -> None:
    arn, kms = make_key(**WANTED), kms_for(REGION)
    settle(kms, plan_of(**WANTED), arn, fresh=True)
    rotating(kms, 180)
    calls = calls_of(kms)

    settle(kms, plan_of(**{**WANTED, **change}), arn, fresh=False)

    assert writes_of(calls) == [operation, "CreateAlias"]
    parameters = next(parameters for name, parameters in calls if name == operation)
    assert parameters["KeyId"] == arn
    assert parameters[argument[0]] == argument[1]


ASKED: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "Account",
            "Effect": "Allow",
            "Principal": {"AWS": [ACCOUNT]},
            "Action": ["kms:*"],
            "Resource": ["*"],
        },
        {
            "Effect": "Allow",
            "Principal": {"AWS": [ADMIN, USER]},
            "Action": ["kms:Decrypt", "kms:Encrypt"],
            "Resource": "*",
            "Condition": {"NumericLessThan": {"aws:MultiFactorAuthAge": 300}},
        },
    ],
}
RETURNED = """{
  "Version" : "2012-10-17",
  "Statement" : [ {
    "Effect" : "Allow",
    "Principal" : { "AWS" : [ "arn:aws:iam::111122223333:role/CardService",
                              "arn:aws:iam::111122223333:role/KeyAdmin" ] },
    "Action" : [ "kms:Encrypt", "kms:Decrypt" ],
    "Resource" : "*",
    "Condition" : { "NumericLessThan" : { "aws:MultiFactorAuthAge" : "300" } }
  }, {
    "Sid" : "Account",
    "Effect" : "Allow",
    "Principal" : { "AWS" : "arn:aws:iam::111122223333:root" },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}"""
"""What KMS returns of `ASKED`."""


def policy_writes(kms: Any, returned: str, arn: str) -> int:
    """Count the calls that write the policy of an older key, of which KMS returns this one."""
    plan = plan_of(policy={"document": ASKED})
    answer(kms, "DescribeKey", {"KeyMetadata": {"Arn": arn, "Description": ""}})
    answer(kms, "ListResourceTags", {"Tags": []})
    answer(kms, "GetKeyPolicy", {"Policy": returned})
    for operation in ("TagResource", "PutKeyPolicy", "CreateAlias"):
        answer(kms, operation, {})
    calls = calls_of(kms)
    settle(kms, plan, arn, fresh=False)
    return writes_of(calls).count("PutKeyPolicy")


@pytest.mark.parametrize("partition", ["aws", "aws-cn"])
def test_a_policy_that_is_only_written_otherwise_is_left_alone(partition: str) -> None:
    arn = f"arn:{partition}:kms:{REGION}:{ACCOUNT}:key/{KEY_ID}"
    returned = RETURNED.replace(ROOT, f"arn:{partition}:iam::{ACCOUNT}:root")

    assert policy_writes(kms_for(REGION), returned, arn) == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("role/CardService", "role/CardServiceUs"),
        ("arn:aws:iam::111122223333:role/CardService", "AROAEXAMPLEEXAMPLE123"),
        ("arn:aws:iam::111122223333:root", "arn:aws-cn:iam::111122223333:root"),
        ('"Sid" : "Account"', '"Sid" : "Account", "Sid" : "Account"'),
        ('"kms:*"', "[" * 50_000),
    ],
)
def test_a_policy_that_may_mean_something_else_is_written(old: str, new: str) -> None:
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY_ID}"

    assert policy_writes(kms_for(REGION), RETURNED.replace(old, new), arn) == 1


@pytest.mark.parametrize(
    ("shown", "raised"),
    [
        ('"AROAEXAMPLEEXAMPLE123"', PolicyPrincipalGone),
        ('"arn:aws:iam::111122223333:role/Other"', KeyPolicyRefused),
        ("no JSON", KeyPolicyRefused),
    ],
    ids=["gone", "there", "unreadable"],
)
def test_a_policy_that_kms_refuses_for_who_is_gone_says_so(
    shown: str, raised: type[Exception]
) -> None:
    arn, kms = make_key(), kms_for(REGION)
    statement = f'{{"Effect": "Allow", "Principal": {{"AWS": {shown}}}, "Action": "kms:*"}}'
    answer(kms, "GetKeyPolicy", {"Policy": f'{{"Statement": [{statement}]}}'})
    answer(kms, "PutKeyPolicy", refusal("MalformedPolicyDocumentException", "invalid principals"))

    with pytest.raises(raised) as caught:
        settle(kms, plan_of(), arn, fresh=False)

    assert type(caught.value) is raised
    if raised is PolicyPrincipalGone:
        assert all(text in str(caught.value) for text in (arn, REGION, "AROAEXAMPLEEXAMPLE123"))


def test_an_alias_of_another_key_stays_where_it_is() -> None:
    other, arn, kms = make_key(), make_key(), kms_for(REGION)
    kms.create_alias(AliasName="alias/cards", TargetKeyId=other)

    with pytest.raises(AliasInUse, match=f"alias/cards in {REGION} points to {other}"):
        settle(kms, plan_of(), arn, fresh=True)

    assert kms.describe_key(KeyId="alias/cards")["KeyMetadata"]["Arn"] == other


def test_an_alias_whose_call_was_sent_twice_is_the_keys_own() -> None:
    arn, kms = make_key(), kms_for(REGION)
    kms.create_alias(AliasName="alias/cards", TargetKeyId=arn)
    answer(kms, "DescribeKey", refusal("AccessDeniedException", "not authorized"))

    settle(kms, plan_of(), arn, fresh=True)

    assert [alias["AliasName"] for alias in kms.list_aliases(KeyId=arn)["Aliases"]] == [
        "alias/cards"
    ]


@pytest.mark.parametrize("look", ["NotFoundException", "AccessDeniedException"])
def test_an_alias_that_kms_does_not_show_yet_is_waited_for(look: str) -> None:
    arn, kms = make_key(), kms_for(REGION)
    answer(kms, "CreateAlias", refusal("AlreadyExistsException"))
    answer(kms, "DescribeKey", refusal(look))

    with pytest.raises(AliasNotVisible, match=f"alias/cards in {REGION} exists, and KMS does not"):
        settle(kms, plan_of(), arn, fresh=True)


def test_an_alias_that_kms_shows_late_is_the_keys_own() -> None:
    arn, kms = make_key(), kms_for(REGION)
    kms.create_alias(AliasName="alias/cards", TargetKeyId=arn)
    answer(kms, "ListAliases", {"Aliases": []})

    settle(kms, plan_of(), arn, fresh=True)


def test_an_alias_of_a_key_that_keeps_others_out_is_in_use() -> None:
    other, arn, kms = make_key(), make_key(), kms_for(REGION)
    kms.create_alias(AliasName="alias/cards", TargetKeyId=other.rsplit("/", 1)[1])
    answer(kms, "DescribeKey", refusal("AccessDeniedException", "no resource-based policy allows"))

    with pytest.raises(AliasInUse, match=f"points to {other}"):
        settle(kms, plan_of(), arn, fresh=True)


IMPLICIT = "not authorized because no identity-based policy allows the kms:CreateAlias action"
EXPLICIT = "not authorized with an explicit deny in a service control policy"


def denied_on_a_key_of(age: timedelta, reason: str) -> Any:
    arn, kms = make_key(), kms_for(REGION)
    answer(kms, "CreateAlias", refusal("AccessDeniedException", reason))
    made = {"Arn": arn, "CreationDate": datetime.now(UTC) - age}
    answer(kms, "DescribeKey", {"KeyMetadata": made})
    settle(kms, plan_of(), arn, fresh=True)


@pytest.mark.parametrize("age", [timedelta(seconds=-1), timedelta(0), timedelta(minutes=5)])
def test_a_denial_on_a_key_whose_tags_may_not_count_yet_is_waited_for(age: timedelta) -> None:
    with pytest.raises(
        KeyTagsNotInEffect, match=r"refused CreateAlias.* its tags may not"
    ) as caught:
        denied_on_a_key_of(age, IMPLICIT)

    assert str(caught.value).endswith(KmsAccessDenied.next_step)


@pytest.mark.parametrize(
    ("age", "reason"), [(timedelta(minutes=7), IMPLICIT), (timedelta(seconds=1), EXPLICIT)]
)
def test_a_denial_that_time_does_not_change_is_reported_at_once(
    age: timedelta, reason: str
) -> None:
    with pytest.raises(KmsAccessDenied, match="refused CreateAlias"):
        denied_on_a_key_of(age, reason)


def test_a_denial_on_a_key_whose_age_is_denied_as_well_is_reported_at_once() -> None:
    arn, kms = make_key(), kms_for(REGION)
    for operation in ("CreateAlias", "DescribeKey"):
        answer(kms, operation, refusal("AccessDeniedException", IMPLICIT))

    with pytest.raises(KmsAccessDenied, match="refused CreateAlias"):
        settle(kms, plan_of(), arn, fresh=True)


SUPERSEDED: Names = {"aliases": ["alias/crads"], "tags": ["stage"], "settings": ["rotation"]}
BEFORE: dict[str, Any] = {"tags": {"team": "cards", "stage": "test"}}
CORRECTED: dict[str, Any] = {"tags": {"team": "cards"}}


def make_earlier_key(kms: Any) -> str:
    """Create the key of an earlier content, with what somebody else put on it."""
    arn = make_key(**BEFORE)
    kms.enable_key_rotation(KeyId=arn)
    for alias in ("alias/crads", "alias/of-others"):
        kms.create_alias(AliasName=alias, TargetKeyId=arn)
    kms.tag_resource(KeyId=arn, Tags=[{"TagKey": "cost", "TagValue": "42"}])
    return arn


def aliases_of(kms: Any, arn: str) -> set[str]:
    return {alias["AliasName"] for alias in kms.list_aliases(KeyId=arn)["Aliases"]}


def tags_of(kms: Any, arn: str) -> dict[str, str]:
    return {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=arn)["Tags"]}


def test_what_a_correction_leaves_out_is_taken_away_after_the_key_has_its_new_name() -> None:
    kms = kms_for(REGION)
    arn = make_earlier_key(kms)
    before, calls = tags_of(kms, arn), calls_of(kms)

    settle(kms, plan_of(**CORRECTED), arn, fresh=False, superseded=SUPERSEDED)

    assert writes_of(calls) == [
        "UntagResource",
        "CreateAlias",
        "DisableKeyRotation",
        "DeleteAlias",
    ]
    assert aliases_of(kms, arn) == {"alias/cards", "alias/of-others"}
    assert tags_of(kms, arn) == {key: before[key] for key in before if key != "stage"}
    assert not kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"]


def test_what_was_taken_away_before_is_not_taken_away_again() -> None:
    kms = kms_for(REGION)
    arn = make_earlier_key(kms)
    settle(kms, plan_of(**CORRECTED), arn, fresh=False, superseded=SUPERSEDED)
    calls = calls_of(kms)

    settle(kms, plan_of(**CORRECTED), arn, fresh=False, superseded=SUPERSEDED)

    assert writes_of(calls) == ["CreateAlias"]


@pytest.mark.parametrize(
    ("superseded", "kept"),
    [
        (None, {"alias/crads", "stage", "rotation"}),
        ({"aliases": [], "tags": ["stage"], "settings": []}, {"alias/crads", "rotation"}),
        ({"aliases": ["alias/crads"], "tags": [], "settings": []}, {"stage", "rotation"}),
        ({"aliases": [], "tags": [], "settings": ["rotation"]}, {"alias/crads", "stage"}),
    ],
)
def test_only_what_an_earlier_content_asked_for_is_taken_away(
    superseded: Names | None, kept: set[str]
) -> None:
    kms = kms_for(REGION)
    arn = make_earlier_key(kms)

    settle(kms, plan_of(**CORRECTED), arn, fresh=False, superseded=superseded)

    rotates = kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"]
    found = aliases_of(kms, arn) | {*tags_of(kms, arn)} | ({"rotation"} if rotates else set())
    assert found & {"alias/crads", "stage", "rotation"} == kept


def test_an_old_alias_that_points_to_another_key_stays_there() -> None:
    kms = kms_for(REGION)
    arn, other = make_earlier_key(kms), make_key()
    kms.update_alias(AliasName="alias/crads", TargetKeyId=other)

    settle(kms, plan_of(**CORRECTED), arn, fresh=False, superseded=SUPERSEDED)

    assert aliases_of(kms, other) == {"alias/crads"}


def test_an_old_alias_stays_while_another_key_has_the_new_one() -> None:
    kms = kms_for(REGION)
    arn, other = make_earlier_key(kms), make_key()
    kms.create_alias(AliasName="alias/cards", TargetKeyId=other)

    with pytest.raises(AliasInUse):
        settle(kms, plan_of(**CORRECTED), arn, fresh=False, superseded=SUPERSEDED)

    assert "alias/crads" in aliases_of(kms, arn)


def test_a_fresh_key_has_nothing_of_an_earlier_content() -> None:
    kms = kms_for(REGION)
    arn = make_key(**CORRECTED)
    calls = calls_of(kms)

    settle(kms, plan_of(**CORRECTED), arn, fresh=True, superseded=SUPERSEDED)

    assert [name for name, _ in calls] == ["CreateAlias"]
