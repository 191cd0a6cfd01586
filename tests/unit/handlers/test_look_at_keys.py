import json
from typing import Any

import pytest

from look_at_keys import app
from provisioner.aws.clients import client
from provisioner.aws.records import Records
from provisioner.clock import instant_text
from provisioner.errors import KmsThrottled
from provisioner.upkeep.key_events import KeyEvent
from provisioner.upkeep.owners import Owners
from tests.support.clock import Clock
from tests.support.finished_sets import CREATED, create
from tests.support.key_events import call_event
from tests.support.samples import SETTINGS, key_arn

NAME = CREATED["requestId"]
EU, US = "eu-west-1", "us-east-1"
OURS = {"mrk:stack": "mrk-provisioner", "mrk:request-id": NAME}
SINGLE_REGION = "1234abcd-12ab-34cd-56ef-1234567890ab"


class Looked:
    """The looks that are asked for, in the place of those at KMS; some fail."""

    def __init__(self) -> None:
        self.at: list[tuple[str, list[KeyEvent]]] = []
        self.fails = False

    def look(self, name: str, events: list[KeyEvent]) -> None:
        self.at.append((name, events))
        if self.fails:
            raise KmsThrottled("slow down")


@pytest.fixture(autouse=True)
def tags(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """Return the tags of keys, as the tagging API has them."""
    found: dict[str, dict[str, str]] = {}
    monkeypatch.setattr(
        "provisioner.upkeep.owners.find_tags",
        lambda _client, arns: {arn: found[arn] for arn in arns if arn in found},
    )
    return found


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch, records: Records, clock: Clock) -> Looked:
    create(records)
    clock.move(seconds=60)
    owners = Owners(records, lambda region: client("resourcegroupstaggingapi", region), SETTINGS)
    looked = Looked()
    monkeypatch.setattr(app, "_owners", owners)
    monkeypatch.setattr(app, "_looker", lambda: looked)
    return looked


def handle(context: Any, *bodies: Any) -> list[str]:
    messages = [
        {"messageId": str(number), "receiptHandle": "", "body": json.dumps(body)}
        for number, body in enumerate(bodies)
    ]
    answered: Any = app.handler({"Records": messages}, context)  # type: ignore[typeddict-item]
    return [one["itemIdentifier"] for one in answered["batchItemFailures"]]


def test_events_of_one_key_set_are_one_look(context: Any, looked: Looked, tags: Any) -> None:
    tags |= {key_arn(region): OURS for region in (EU, US)}
    events = [call_event("DisableKey", region) for region in (EU, US, EU)]
    assert not handle(context, *events)
    [(name, some)] = looked.at
    assert (name, len(some)) == (NAME, 3)


@pytest.mark.parametrize("role", [SETTINGS.key_role_names[0]])
def test_the_workflows_own_calls_are_no_reason_for_a_look(
    context: Any, looked: Looked, role: str
) -> None:
    assert not handle(context, call_event("DisableKey", role=role), {"detail-type": "another"})
    assert not looked.at


def test_a_key_without_our_tags_is_known_by_its_record(context: Any, looked: Looked) -> None:
    assert not handle(context, call_event("UntagResource", EU, tagKeys=["mrk:stack"]))
    assert [name for name, _ in looked.at] == [NAME]


def test_a_key_without_our_tags_is_known_by_another_one_in_the_batch(
    context: Any, looked: Looked, tags: Any
) -> None:
    tags[key_arn(US)] = OURS
    handle(context, call_event("UntagResource", EU, tagKeys=["mrk:stack"]), call_event("EnableKey"))
    assert [(name, len(some)) for name, some in looked.at] == [(NAME, 2)]


def test_an_alias_that_was_moved_to_another_key_is_known_by_its_declaration(
    context: Any, looked: Looked
) -> None:
    moved = call_event("UpdateAlias", EU, key_id=SINGLE_REGION, aliasName=CREATED["alias"])
    assert not handle(context, moved)
    assert [name for name, _ in looked.at] == [NAME]


def test_other_keys_are_passed_over_and_the_table_is_read_once_in_a_while(
    context: Any, looked: Looked, tags: Any, clock: Clock
) -> None:
    foreign = "mrk-99999999999999999999999999999999"
    tags[key_arn(US, foreign)] = OURS  # Somebody else's key with our tags.
    at = instant_text(clock.time)
    assert not handle(context, call_event("DisableKey", key_id=foreign, at=at))
    clock.move(seconds=10)
    newer = call_event("DisableKey", key_id=foreign, at=instant_text(clock.time))
    assert handle(context, newer) == ["0"]
    clock.move(seconds=30)
    assert not handle(context, newer)
    assert not looked.at


def test_a_look_that_is_asked_for_has_its_events(context: Any, looked: Looked) -> None:
    assert not handle(context, {"look": {"requestId": NAME, "events": []}})
    assert looked.at == [(NAME, [])]


def test_a_look_that_fails_is_made_again(context: Any, looked: Looked, tags: Any) -> None:
    looked.fails = True
    tags[key_arn(US)] = OURS
    assert handle(context, call_event("DisableKey"), {"look": {"requestId": NAME, "events": []}})


def test_the_looker_reads_keys_under_its_own_role() -> None:
    role = app._looker().role
    assert role.arn.endswith(":role/mrk-provisioner-LookAtKeysFunctionRole-Ab1")
    assert role.id == "AROA00000000000000099"
