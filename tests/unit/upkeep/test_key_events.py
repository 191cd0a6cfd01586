from typing import Any

import botocore.session
import pytest

from provisioner.domain.drift import Difference
from provisioner.upkeep.key_events import (
    CALLS,
    OWN_EVENTS,
    PATTERN,
    KeyEvent,
    cause_of,
    read_event,
)
from tests.support.key_events import ALICE, AT, call_event, kms_event
from tests.support.samples import ACCOUNT, KEY_ID, key_arn

EU, US = "eu-west-1", "us-east-1"
ALIAS = "alias/payments/cards"
SINGLE_REGION = "1234abcd-12ab-34cd-56ef-1234567890ab"
LATER = "2026-11-27T05:00:01Z"


def read(document: Any) -> KeyEvent:
    event = read_event(document)
    assert event
    return event


def test_a_call_says_which_key_who_and_when() -> None:
    document = call_event("DisableKey", EU)
    event = read(document)
    assert (event["region"], event["name"], event["keyIds"]) == (EU, "DisableKey", [KEY_ID])
    assert (event["arn"], event["role"], event["at"]) == (ALICE, None, AT)
    assert event["eventId"] == document["detail"]["eventID"]


@pytest.mark.parametrize("name", [key_arn(EU), KEY_ID])
def test_a_key_is_known_by_its_id_or_its_arn(name: str) -> None:
    document = call_event("EnableKey", EU, keyId=name)
    document["detail"]["resources"] = []
    assert read(document)["keyIds"] == [KEY_ID]


def test_the_role_is_that_of_the_session() -> None:
    event = read(call_event("EnableKey", role="Admins"))
    assert event["role"] == "Admins"
    assert event["arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/Admins/session"


def test_what_kms_reports_itself_has_no_caller() -> None:
    document = kms_event("KMS CMK Deletion", EU)
    event = read(document)
    assert (event["keyIds"], event["region"], event["arn"]) == ([KEY_ID], EU, None)
    assert (event["at"], event["eventId"]) == (AT, document["id"])


@pytest.mark.parametrize("name", ["CreateAlias", "UpdateAlias", "DeleteAlias"])
def test_an_alias_is_named_with_its_key(name: str) -> None:
    event = read(call_event(name, EU, aliasName=ALIAS))
    assert (event["keyIds"], event["aliases"]) == ([KEY_ID], [ALIAS])


def test_an_alias_may_move_to_a_key_of_no_key_set() -> None:
    event = read(call_event("UpdateAlias", EU, key_id=SINGLE_REGION, aliasName=ALIAS))
    assert (event["keyIds"], event["aliases"]) == ([], [ALIAS])


@pytest.mark.parametrize(
    "document",
    [
        call_event("DisableKey", key_id=SINGLE_REGION),
        kms_event("KMS CMK Deletion", key_id=SINGLE_REGION),
        {},
        {"detail-type": "KMS CMK Deletion", "detail": None},
        {"detail-type": "AWS API Call via CloudTrail", "detail": {"requestParameters": "text"}},
        [],
        "text",
    ],
)
def test_what_is_about_no_key_of_a_key_set_is_passed_over(document: Any) -> None:
    assert read_event(document) is None


def test_tags_are_read_of_both_calls() -> None:
    tagged = call_event("TagResource", tags=[{"tagKey": "team", "tagValue": "x"}])
    assert read(tagged)["tags"] == ["team"]
    assert read(call_event("UntagResource", tagKeys=["team", "cost"]))["tags"] == ["team", "cost"]


def difference(what: str, region: str = EU, before: Any = None, after: Any = None) -> Difference:
    return {
        "region": region,
        "property": what,
        "from": before,
        "to": after,
        "repair": {"operation": None, "confirm": [], "calls": []},
        "whatToDo": "",
    }


@pytest.mark.parametrize(
    ("one", "document"),
    [
        (difference("keyState"), call_event("DisableKey", EU)),
        (difference("keyState"), call_event("ScheduleKeyDeletion", EU)),
        (difference("description"), call_event("UpdateKeyDescription", EU)),
        (difference("policy"), call_event("PutKeyPolicy", EU)),
        (difference("rotation"), call_event("DisableKeyRotation", EU)),
        (difference("tags.team"), call_event("UntagResource", EU, tagKeys=["team"])),
        (difference("alias", before=ALIAS), call_event("DeleteAlias", EU, aliasName=ALIAS)),
        (difference("primaryRegion", US), call_event("UpdatePrimaryRegion", EU)),
        (difference("region", after=EU), call_event("ReplicateKey", US, replicaRegion=EU)),
        (difference("region", before=EU), kms_event("KMS CMK Deletion", EU)),
        (difference("keyMaterial"), kms_event("KMS Imported Key Material Expiration", EU)),
        (difference("keyMaterial"), call_event("DeleteImportedKeyMaterial", EU)),
    ],
)
def test_the_event_that_may_have_caused_a_difference_is_found(
    one: Difference, document: Any
) -> None:
    assert cause_of(one, [read(document)]) == read(document)


@pytest.mark.parametrize(
    ("one", "document"),
    [
        (difference("keyState"), call_event("DisableKey", US)),
        (difference("keyState"), call_event("PutKeyPolicy", EU)),
        (difference("tags.team"), call_event("UntagResource", EU, tagKeys=["cost"])),
        (
            difference("alias", before=ALIAS),
            call_event("DeleteAlias", EU, aliasName="alias/another"),
        ),
        (difference("region", after=EU), call_event("ReplicateKey", US, replicaRegion=US)),
    ],
)
def test_other_events_have_not_caused_it(one: Difference, document: Any) -> None:
    assert cause_of(one, [read(document)]) is None


def test_of_several_the_last_one_counts_in_whatever_order_they_come() -> None:
    first, last = call_event("EnableKey", EU), call_event("DisableKey", EU, at=LATER)
    events = [read(last), read(first)]
    found = cause_of(difference("keyState"), events)
    assert found
    assert found["name"] == "DisableKey"


def test_the_rules_let_through_calls_that_exist() -> None:
    model = botocore.session.get_session().get_service_model("kms")
    assert {*CALLS} <= {*model.operation_names}
    assert {*PATTERN["detail-type"]} == {"AWS API Call via CloudTrail", *OWN_EVENTS}
