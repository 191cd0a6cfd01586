"""The Region of a primary key that a request does not name."""

from typing import Any

import pytest

from provisioner.aws.records import Records, Status
from provisioner.domain.plan import content_hash
from provisioner.intake.primary_region import usual_primary_region
from provisioner.intake.request import parse_request
from tests.support import finished_sets
from tests.support.samples import EXECUTION, SETTINGS, document_of, request_of
from validate_request import app as validate_request

HOME, AWAY, THIRD = "us-east-1", "eu-west-1", "us-west-2"
CREATED = request_of(primaryRegion=AWAY, replicas=[{"region": HOME}])
LATER = document_of(replicas=[{"region": HOME}], revision=2)


def usual(records: Records, document: object) -> str:
    return usual_primary_region(document, records, SETTINGS)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        document_of(),
        document_of(revision=1),
        document_of(revision=2, primaryRegion=THIRD),
        document_of(revision="2"),
        document_of(revision=2.0),
        document_of(revision=2, requestId="no such ID!"),
        document_of(revision=2, requestId=[]),
        document_of(revision=2, requestId="CHG2"),
    ],
)
def test_it_is_the_stacks_own_unless_a_later_revision_leaves_it_out(
    document: object, records: Records
) -> None:
    finished_sets.create(records, CREATED)

    assert usual(records, document) == HOME


@pytest.mark.parametrize("left_out", [{}, {"primaryRegion": None}])
def test_a_later_revision_has_it_where_it_was_declared(
    left_out: dict[str, Any], records: Records
) -> None:
    finished_sets.create(records, CREATED)

    assert usual(records, LATER | left_out) == AWAY


def test_it_is_the_same_content_before_and_after_it_is_carried_out(records: Records) -> None:
    finished_sets.create(records, CREATED)
    promoting = request_of(primaryRegion=HOME, replicas=[{"region": AWAY}], revision=3)

    def delivered() -> str:
        region = usual(records, LATER)
        return content_hash(parse_request(LATER, SETTINGS, primary_region=region))

    first = delivered()
    request = parse_request(LATER, SETTINGS, primary_region=AWAY)
    finished_sets.claim(records, request)
    under_way = delivered()
    execution = finished_sets.CHANGE_EXECUTION
    finished_sets.end(
        records, Status.UPDATED, request, execution, key=finished_sets.key_of(request)
    )

    assert [under_way, delivered()] == [first, first]
    finished_sets.claim(records, promoting)
    assert usual(records, LATER | {"revision": 3}) == HOME


def test_a_promotion_that_failed_was_not_declared_before(records: Records) -> None:
    finished_sets.create(records, CREATED)
    promoting = request_of(primaryRegion=HOME, replicas=[{"region": AWAY}], revision=2)
    finished_sets.claim(records, promoting)
    execution = finished_sets.CHANGE_EXECUTION
    finished_sets.end(records, Status.UPDATE_FAILED, promoting, execution)

    assert usual(records, LATER | {"revision": 3}) == AWAY


def test_a_correction_has_it_where_the_request_that_failed_has_it(records: Records) -> None:
    records.claim(CREATED, EXECUTION)

    assert usual(records, LATER) == AWAY


def test_a_request_that_was_refused_declared_nothing(records: Records) -> None:
    records.note_refusal("CHG1", EXECUTION, None, [])

    assert usual(records, LATER) == HOME


def test_the_workflow_fills_it_in_from_the_record(records: Records, context: Any) -> None:
    finished_sets.create(records, CREATED)

    answered = validate_request.handler(LATER, context)

    assert answered["request"] is not None
    assert answered["request"]["primaryRegion"] == AWAY


def test_a_replica_in_its_place_is_refused_with_what_to_do(records: Records, context: Any) -> None:
    finished_sets.create(records, CREATED)

    answered = validate_request.handler(LATER | {"replicas": [{"region": AWAY}]}, context)

    (problem,) = answered["problems"]
    assert (problem["path"], problem["code"]) == ("replicas[0].region", "DUPLICATE_REGION")
    assert "primaryRegion" in problem["message"]
