"""Adoptions and releases step by step: planned, refused, repeated, resumed, cancelled."""

import pytest

from keys_api import tables
from tests.support.faults.adopting import (
    OURS,
    REGIONS,
    AdoptionScenario,
    ReleaseScenario,
    adoption_of,
    made_by_others,
)
from tests.support.faults.api import adopt, ask, operate, post
from tests.support.faults.changes import BY_HAND, ROTATING, revised
from tests.support.faults.next_steps import Refusing
from tests.support.faults.scenario import REQUEST_ID, Scenario

pytestmark = pytest.mark.usefixtures("wired")


def test_an_adoption_is_one_write_a_key_and_four_reads_a_key_twice() -> None:
    scenario = AdoptionScenario()

    report = scenario.play()

    assert report.problems == []
    assert [str(call) for call in scenario.aws.done] == [
        f"kms TagResource in {region}" for region in REGIONS
    ]


def test_an_adopted_set_is_changed_like_any_other() -> None:
    scenario = AdoptionScenario()
    scenario.deliver()
    scenario.aws.done.clear()
    renamed = revised(ROTATING, description="Cards")

    scenario.run(scenario.aws.new_execution(renamed))
    scenario.run_started()

    assert scenario.record["status"] == {"S": "UPDATED"}
    assert {str(call) for call in scenario.aws.done} == {
        f"kms UpdateKeyDescription in {region}" for region in ("us-east-1", "eu-west-1")
    }


def test_a_released_set_is_adopted_again_as_it_is_by_then() -> None:
    released = ReleaseScenario()
    released.deliver()
    for region in ("us-east-1", "eu-west-1"):
        released.key_in(region).description = "By hand"
    aws = released.aws

    same = adoption_of(aws)
    status, body = adopt(aws, same)
    assert (status, {one["path"] for one in body["errors"]}) == (
        409,
        {"description", "replicas[0].description"},
    )
    status, body = adopt(aws, {**same, "description": "By hand"})
    assert (status, body["errors"][0]["code"]) == (409, "REQUEST_CONFLICT")
    status, body = adopt(aws, {**same, "description": "By hand", "revision": 3})
    assert (status, body["errors"][0]["code"]) == (409, "REVISION_SKIPPED")

    again = {**same, "description": "By hand", "revision": 2}
    status, body = adopt(aws, again)
    released.run_started()

    assert (status, body["operation"]) == (202, "ADOPT")
    assert released.record["revision"] == {"N": "2"}
    assert "releasedAt" not in released.record
    for region in REGIONS:
        assert OURS.items() <= released.key_in(region).tags.items()


def test_a_set_that_was_released_by_one_request_is_adopted_by_another() -> None:
    released = ReleaseScenario()
    released.deliver()

    status, _ = adopt(released.aws, adoption_of(released.aws, requestId="CHG2"))
    released.run_started()

    assert status == 202
    assert released.key_in("eu-west-1").tags["mrk:request-id"] == "CHG2"
    assert "releasedAt" in released.record
    released.aws.events.clear()
    released._look_later()
    assert released.aws.events == []
    status, body = adopt(released.aws, adoption_of(released.aws))
    assert (status, body["errors"][0]["code"]) == (409, "KEY_SET_MANAGED")


def test_the_same_adoption_again_is_the_same_operation_until_the_set_is_released() -> None:
    scenario = AdoptionScenario()
    first = adopt(scenario.aws, scenario.document)
    assert adopt(scenario.aws, scenario.document) == first
    scenario.run_started()

    status, done = adopt(scenario.aws, scenario.document)
    assert (status, done["status"]) == (202, "FINISHED")
    assert done["operationId"] == first[1]["operationId"]

    operate(scenario.aws, REQUEST_ID, {"operationId": "r", "operation": "RELEASE"})
    scenario.run_started()
    status, again = adopt(scenario.aws, scenario.document)
    assert status == 202
    assert again["operationId"] != first[1]["operationId"]


def test_who_dies_before_anything_was_started_begins_it_by_asking_again() -> None:
    scenario = AdoptionScenario()
    status, body = adopt(scenario.aws, scenario.document)
    items = scenario.aws.dynamodb.tables["requests"]
    del items[f"operation/{REQUEST_ID}/{body['operationId']}"]
    scenario.aws.dynamodb.tables["idempotency"].clear()
    scenario.aws.to_run.clear()
    scenario.aws.executions.clear()

    assert adopt(scenario.aws, scenario.document)[1]["operationId"] == body["operationId"]
    scenario.run_started()

    assert scenario.is_done()
    assert status == 202


def test_a_plan_says_everything_and_writes_nothing() -> None:
    scenario = AdoptionScenario()
    scenario.key_in("us-west-2").tags["ManagedBy"] = "terraform"
    tables = {name: dict(table) for name, table in scenario.aws.dynamodb.tables.items()}

    unsaid = {"requestId": REQUEST_ID, "keyArn": scenario.document["keyArn"]}
    status, found = adopt(scenario.aws, {**unsaid, "unmanaged": [BY_HAND]}, plan=True)

    assert status == 200
    assert [one["code"] for one in found["errors"]] == ["OTHER_MANAGER"]
    assert found["differences"] == []
    declared = {**found["declaration"], "keyArn": found["keyArn"], "unmanaged": [BY_HAND]}
    status, again = adopt(scenario.aws, {**declared, "takeOver": True}, plan=True)
    assert (status, again["errors"], again["differences"]) == (200, [], [])
    assert again["declaration"].items() >= found["declaration"].items()
    assert scenario.aws.dynamodb.tables == tables
    assert scenario.aws.done == []

    assert adopt(scenario.aws, {**declared, "takeOver": True})[0] == 202
    scenario.run_started()
    assert scenario.is_done()


def test_a_plan_of_what_no_request_may_say_names_that() -> None:
    scenario = AdoptionScenario()
    for place in [place for place in scenario.aws.kms.aliases if place[0] == "us-east-1"]:
        del scenario.aws.kms.aliases[place]
    unsaid = {"requestId": REQUEST_ID, "keyArn": scenario.document["keyArn"]}

    status, found = adopt(scenario.aws, unsaid, plan=True)

    assert status == 200
    assert found["declaration"]["alias"] is None
    assert [one["path"] for one in found["errors"]] == ["alias"]


def test_a_set_that_is_another_by_the_time_of_its_adoption_is_not_adopted() -> None:
    scenario = AdoptionScenario()
    adopt(scenario.aws, scenario.document)
    scenario.key_in("eu-west-1").description = "By hand"

    scenario.run_started()

    (event,) = scenario.aws.events
    assert event.detail_type == "Multi-Region Key Operation Failed"
    assert [error["code"] for error in event.detail["errors"]] == ["ADOPTION_DIFFERS"]
    assert scenario.aws.done == []
    assert "releasedAt" in scenario.record
    scenario.key_in("eu-west-1").description = ROTATING["description"]
    scenario.deliver()
    assert scenario.is_done()


def test_a_cancelled_adoption_leaves_the_set_as_nobodys() -> None:
    scenario = AdoptionScenario()
    scenario.aws.network = Refusing("TagResource", "ThrottlingException")
    scenario.deliver()
    scenario.aws.network = scenario.network
    assert ask(scenario.aws, "GET", REQUEST_ID)[1]["releasedAt"]

    status, body = post(scenario.aws, {**ROTATING, "revision": 2, "description": "Cards"})

    assert (status, body["errors"][0]["code"]) == (409, "RELEASED")


def test_what_is_not_free_is_not_adopted() -> None:
    failed = Scenario()
    failed.aws.network = Refusing("CreateKey", "AccessDeniedException")
    failed.deliver()
    failed.aws.network = failed.network
    others = made_by_others()
    failed.aws.kms.keys |= others.kms.keys
    failed.aws.kms.aliases |= others.kms.aliases
    failed.aws.kms.named_at |= others.kms.named_at

    status, body = adopt(failed.aws, adoption_of(others))

    assert (status, body["errors"][0]["code"]) == (409, "REQUEST_CONFLICT")
    new = adoption_of(others, requestId="CHG2", revision=2)
    status, body = adopt(failed.aws, new)
    assert (status, body["errors"][0]["code"]) == (409, "REVISION_SKIPPED")


def test_an_operation_that_is_under_way_comes_before_an_adoption() -> None:
    released = ReleaseScenario()
    released.aws.network = Refusing("UntagResource", "ThrottlingException")
    released.deliver()
    released.aws.network = released.network
    assert released._ended() == "FAILED"

    # What is left of the tags goes with another release.
    released.deliver()
    assert released.problems() == []


@pytest.mark.parametrize(
    ("query", "path"), [({"adopt": "yes"}, "adopt"), ({"adopt": "true", "planId": "x"}, "planId")]
)
def test_a_mistyped_adoption_is_refused(query: dict[str, str], path: str) -> None:
    scenario = AdoptionScenario()

    status, body = adopt(scenario.aws, scenario.document, query=query)

    assert (status, body["errors"][0]["path"]) == (400, path)


def test_a_set_that_kms_does_not_show_is_planned_later() -> None:
    scenario = AdoptionScenario()
    scenario.aws.network = Refusing("ListResourceTags", "ThrottlingException")

    status, body = adopt(scenario.aws, scenario.document)

    assert (status, body["errors"][0]["code"]) == (503, "KMS_THROTTLED")
    assert scenario.record == {}


def test_of_two_that_adopt_at_once_one_decides_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = AdoptionScenario()
    adopt(scenario.aws, scenario.document)
    monkeypatch.setattr(tables.records, "get", lambda _: None)

    status, body = adopt(scenario.aws, scenario.document)

    assert (status, body["errors"][0]["code"]) == (409, "OPERATION_REFUSED")


def test_another_adoption_than_the_one_that_was_asked_for_is_not_carried_out() -> None:
    scenario = AdoptionScenario()
    adopt(scenario.aws, scenario.document)
    scenario.document["takeOver"] = True
    status, _ = adopt(scenario.aws, scenario.document)

    scenario.run_started()

    assert status == 202
    ends = [
        (e.detail["status"], [p["code"] for p in e.detail["errors"]]) for e in scenario.aws.events
    ]
    assert sorted(ends) == [("FAILED", ["OPERATION_REFUSED"]), ("FINISHED", [])]
    assert scenario.is_done()
