"""Every single fault at every call of each kind of change of a finished key set.

The set is in use: others have tagged its keys, named them and replicated them to a Region of their
own, none of which the declarations mention. `ChangeScenario.problems` has the invariants.
"""

from collections import Counter
from functools import partial

import pytest

from tests.support.faults import wiring
from tests.support.faults.change_kinds import (
    ALL_WORDS,
    DECOMMISSION,
    DISABLE,
    KINDS,
    MOVE_ALIAS,
    PROMOTE,
    REMOVE,
    TAG,
    TAKEN_ALIAS,
)
from tests.support.faults.changes import (
    FOREIGN_ALIAS,
    ROTATING,
    ChangeScenario,
    Document,
    is_changed,
    revised,
)
from tests.support.faults.enumeration import singles, singles_played
from tests.support.faults.next_steps import Full


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_is_made_once_and_nothing_else_is_touched_after_any_fault(kind: str) -> None:
    before, document = KINDS[kind]
    make = partial(ChangeScenario, before=before, document=document)
    assert make(()).play().problems == []
    played = 0
    for report in singles_played(make):
        played += 1

        assert report.problems == [], str(report)
    print(f"{kind}: {played} single faults")
    assert played > 150


def test_an_alias_of_another_key_is_moved_and_that_key_is_left_as_it_is_after_any_fault() -> None:
    make = partial(ChangeScenario, before=(ROTATING,), document=MOVE_ALIAS, taken=TAKEN_ALIAS)
    played, moves = 0, set()
    for single in singles(make):
        scenario = make((single,))
        report = scenario.play()
        played += 1
        moves |= {str(call) for call in scenario.aws.done if call.operation == "UpdateAlias"}

        assert report.problems == [], str(report)
    print(f"an alias moved: {played} single faults")
    assert played > 150
    assert moves == {"kms UpdateAlias in us-west-2"}


def test_a_change_of_one_tag_is_one_write_and_two_reads_a_key_and_one_a_set() -> None:
    scenario = ChangeScenario(before=(ROTATING,), document=TAG)

    report = scenario.play()

    calls = [str(call) for call in report.calls if call.service == "kms"]
    # Of the key that was made by hand, the state alone.
    calls.remove("kms DescribeKey in sa-east-1")
    assert [str(call) for call in scenario.aws.done] == ["kms TagResource in us-west-2"]
    reads = [call for call in calls if call not in map(str, scenario.aws.done)]
    assert len(reads) == 2 * 3 + 1


def test_a_change_of_one_tag_in_one_of_ten_regions_is_one_write() -> None:
    nine = [
        *("eu-west-1", "us-west-2", "us-east-2", "us-west-1", "ca-central-1"),
        *("eu-central-1", "eu-north-1", "ap-northeast-1", "ap-southeast-2"),
    ]
    first, *others = [{"region": region} for region in nine]
    ten = {**ROTATING, "replicas": [first, *others]}
    one_tag = revised(ten, replicas=[{**first, "tags": {"team": "cards"}}, *others])
    scenario = ChangeScenario(before=(ten,), document=one_tag)

    report = scenario.play()

    assert report.problems == []
    assert [str(call) for call in scenario.aws.done] == ["kms TagResource in eu-west-1"]
    reads = Counter(str(call) for call in report.calls if call.service == "kms" and call.is_read)
    # Of the key that was made by hand, the state alone.
    assert reads == {
        **{f"kms DescribeKey in {region}": 1 for region in ("us-east-1", *nine, "sa-east-1")},
        **{f"kms GetKeyPolicy in {region}": 1 for region in ("us-east-1", *nine)},
        "kms GetKeyRotationStatus in us-east-1": 1,
    }


def test_what_a_decommissioned_set_was_not_to_have_any_more_is_gone_once_it_is_restored() -> None:
    less = {"tags": {"stage": "production"}, "rotation": None, "alias": "alias/payments/new"}
    left_out = revised(DECOMMISSION, **less)
    document = revised(left_out, *ALL_WORDS, desiredState="ACTIVE")
    scenario = ChangeScenario(before=(ROTATING, DECOMMISSION, left_out), document=document)

    assert scenario.play().problems == []
    names = {name for region, name in scenario.aws.kms.aliases if region == "us-east-1"}
    assert names == {"alias/payments/new", FOREIGN_ALIAS}
    assert scenario.aws.kms.primaries()[0].rotation_days is None


def test_nothing_is_written_where_nothing_differs() -> None:
    scenario = ChangeScenario(before=(ROTATING,), document=revised(ROTATING))

    assert scenario.play().problems == []
    assert scenario.aws.done == []


@pytest.mark.parametrize(
    "document",
    [DISABLE, REMOVE, PROMOTE, DECOMMISSION, MOVE_ALIAS],
    ids=["disable", "remove", "promote", "decommission", "move an alias"],
)
def test_without_its_word_nothing_is_done_or_claimed(document: Document) -> None:
    document = {**document, "confirm": []}
    scenario = ChangeScenario(before=(ROTATING,), document=document, taken=TAKEN_ALIAS)
    before = dict(scenario.aws.dynamodb.tables["requests"]["CHG0031337"])

    scenario.deliver()

    (event,) = scenario.aws.events
    assert event.detail_type == "Multi-Region Key Request Rejected"
    assert {problem["code"] for problem in event.detail["errors"]} == {"CONFIRMATION_REQUIRED"}
    assert scenario.aws.done == []
    after = scenario.aws.dynamodb.tables["requests"]["CHG0031337"]
    assert (after["revision"], after["status"]) == (before.get("revision"), before["status"])


def test_a_change_that_is_done_is_published_and_not_carried_out_again() -> None:
    before, document = KINDS["every setting"]
    scenario = ChangeScenario(before=before, document=document)
    scenario.aws.network = Full()
    scenario.deliver()
    assert not is_changed(scenario.aws, document)
    (primary,) = (key for key in scenario.aws.kms.primaries() if key.key_id == scenario.key_id)
    primary.description = "Changed by hand"
    done = [str(call) for call in scenario.aws.done]

    scenario.aws.network = scenario.aws
    scenario.aws.time += wiring.QUIET_SECONDS + 1
    scenario.sweep()

    assert is_changed(scenario.aws, document)
    assert [str(call) for call in scenario.aws.done] == done
    assert primary.description == "Changed by hand"
