import json
from typing import Any

import pytest

from provisioner.aws import listing
from provisioner.aws.clients import client
from provisioner.aws.listing import list_requests
from provisioner.aws.records import Records
from provisioner.errors import DependencyUnavailable
from tests.support.answering import answer, refusal
from tests.support.samples import EXECUTION, request_of

ALIAS = "alias/payments/cards"


def listed(status: str | None = None, limit: int = 50, after: str | None = None) -> Any:
    return list_requests(client("dynamodb"), "requests", status=status, limit=limit, after=after)


def wait_for_approval(request_id: str) -> None:
    request = request_of(requestId=request_id)
    client("dynamodb").put_item(
        TableName="requests",
        Item={
            "requestId": {"S": f"approval/{request_id}"},
            "state": {"S": "WAITING"},
            "revision": {"N": "2"},
            "request": {"S": json.dumps(request)},
        },
    )


def test_a_request_is_listed_with_its_regions_and_a_refused_one_without(records: Records) -> None:
    records.claim(request_of(alias=ALIAS, replicas=[{"region": "eu-west-1"}]), EXECUTION)
    records.note_refusal("CHG2", EXECUTION, None, [])

    rows = {row["requestId"]: row for row in listed()["requests"]}

    held = rows["CHG1"]
    assert (held["status"], held["revision"], held["alias"]) == ("IN_PROGRESS", 1, ALIAS)
    assert (held["primaryRegion"], held["regions"]) == ("us-east-1", ["us-east-1", "eu-west-1"])
    assert held["updatedAt"]
    refused = rows["CHG2"]
    assert (refused["status"], refused["alias"], refused["regions"]) == ("REJECTED", None, None)


def test_what_waits_for_approval_is_listed_beside_the_set_as_it_is(records: Records) -> None:
    records.claim(request_of(), EXECUTION)
    wait_for_approval("CHG1")

    both = listed()["requests"]
    (waiting,) = listed("WAITING_FOR_APPROVAL")["requests"]
    (working,) = listed("IN_PROGRESS")["requests"]

    assert sorted(row["status"] for row in both) == ["IN_PROGRESS", "WAITING_FOR_APPROVAL"]
    assert (waiting["requestId"], waiting["revision"]) == ("CHG1", 2)
    assert working["revision"] == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_the_pages_hold_every_request_once(records: Records, limit: int) -> None:
    names = {f"CHG{number}" for number in range(7)}
    for name in names:
        records.claim(request_of(requestId=name), EXECUTION)
    found, after = list[str](), None
    for _ in names:
        page = listed(limit=limit, after=after)
        assert len(page["requests"]) <= limit
        found += [row["requestId"] for row in page["requests"]]
        if (after := page["next"]) is None:
            break

    assert after is None
    assert sorted(found) == sorted(names)


def test_one_call_reads_a_few_pages_of_the_table_and_says_where_to_go_on(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.claim(request_of(), EXECUTION)
    monkeypatch.setattr(listing, "_PAGES", 2)
    more = {"Items": [], "LastEvaluatedKey": {"requestId": {"S": "CHG7"}}}
    answer(client("dynamodb"), "Scan", more)

    assert listed("FAILED") == {"requests": [], "next": "CHG7"}


@pytest.mark.usefixtures("aws")
def test_a_table_that_does_not_answer_is_named() -> None:
    answer(client("dynamodb"), "Scan", refusal("ProvisionedThroughputExceededException"))

    with pytest.raises(DependencyUnavailable, match="Scan"):
        listed()
