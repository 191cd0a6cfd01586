import uuid
from typing import Any, cast

import pytest

from provisioner import errors
from provisioner.aws.clients import client
from provisioner.aws.records import Records, Status
from provisioner.domain.plan import KeyFacts, content_hash
from provisioner.domain.provenance import UNKNOWN
from provisioner.errors import DependencyUnavailable, EventNotPublished, Problem
from provisioner.outcomes.failures import error_code, failure_of
from provisioner.outcomes.outcome import Outcome, publish_outcome, publish_refusal
from provisioner.outcomes.refusal import given_back
from tests.support.answering import answer, forget_answers, on, refusal
from tests.support.outlets import outlets
from tests.support.published import published_on
from tests.support.samples import (
    EXECUTION,
    KEY_ID,
    OTHER_EXECUTION,
    in_days,
    key_arn,
    request_of,
)

TICKET = {"system": "servicenow", "id": "CHG0031337"}
REQUEST = request_of(ticket=TICKET, replicas=[{"region": "eu-west-1"}, {"region": "us-west-2"}])
PROBLEM: Problem = {"path": "alias", "code": "REQUIRED", "message": "This field is required."}


def facts(region: str) -> KeyFacts:
    return {
        "region": region,
        "arn": key_arn(region),
        "alias": "alias/cards",
        "keyState": "Enabled",
    }


def outcome_of(**fields: Any) -> Outcome:
    outcome = {
        "status": "CREATED",
        "request": REQUEST,
        "executionArn": EXECUTION,
        "startedAt": "2026-11-23T09:30:00.000Z",
        "primary": facts("us-east-1"),
        "replicas": [facts("eu-west-1"), facts("us-west-2")],
        "keyMetadata": {"Arn": key_arn(), "MultiRegionConfiguration": {"ReplicaKeys": []}},
        "failures": [],
        **fields,
    }
    return cast(Outcome, outcome)


def failed(error: str, region: str = "us-east-1", **fields: Any) -> Outcome:
    failure = failure_of("Step", region, error, "It failed.")
    return outcome_of(status="FAILED", keyMetadata=None, failures=[failure], **fields)


def publish(records: Records, outcome: Outcome) -> Any:
    return publish_outcome(outcome, outlets(records))


def refuse(
    records: Records, document: object, problems: list[Problem] | None = None, **options: Any
) -> Any:
    return publish_refusal(
        document,
        problems or [PROBLEM],
        EXECUTION,
        outlets(records),
        **options,
    )


def outcome_id(detail: Any) -> str:
    assert detail
    return str(uuid.UUID(detail["outcomeId"]))


def published_by(records: Records, execution: str, outcome: Outcome) -> str:
    records.claim(outcome["request"], execution, dead_execution=EXECUTION)
    by_execution: Any = {**outcome, "executionArn": execution}
    return outcome_id(publish(records, by_execution))


def test_a_created_key_set_is_told_as_the_contract_says(records: Records) -> None:
    events = published_on(client("events"))

    detail = publish(records, outcome_of())

    assert detail == {
        "outcomeId": outcome_id(detail),
        "requestId": "CHG1",
        "revision": 1,
        "status": "CREATED",
        "executionArn": EXECUTION,
        "ticket": TICKET,
        "key": {
            "keyId": KEY_ID,
            "keySpec": "SYMMETRIC_DEFAULT",
            "keyUsage": "ENCRYPT_DECRYPT",
            "origin": "AWS_KMS",
            "primary": facts("us-east-1"),
            "replicas": [facts("eu-west-1"), facts("us-west-2")],
            "keyMetadata": {"Arn": key_arn(), "MultiRegionConfiguration": {"ReplicaKeys": []}},
        },
        "errors": [],
        "warnings": [],
        **UNKNOWN,
    }
    assert events == [("mrk.provisioner", "Multi-Region Key Created", detail)]


def test_a_replica_that_is_not_asked_for_is_named_in_the_outcome_and_kept(records: Records) -> None:
    listed = [
        {"Region": region, "Arn": key_arn(region)}
        for region in ("eu-west-1", "us-west-2", "eu-central-1")
    ]
    metadata = {"Arn": key_arn(), "MultiRegionConfiguration": {"ReplicaKeys": listed}}

    detail = publish(records, outcome_of(keyMetadata=metadata))

    assert detail
    [warning] = detail["warnings"]
    assert (warning["path"], warning["code"]) == ("replicas", "REPLICA_NOT_ASKED_FOR")
    assert warning["message"].startswith(f"{key_arn('eu-central-1')} is a replica key")
    assert f"--region eu-central-1 --key-id {key_arn('eu-central-1')}" in warning["message"]
    record = records.get("CHG1")
    assert record
    assert record.warnings == detail["warnings"]


def test_an_outcome_is_in_the_record_before_it_is_on_the_bus(records: Records) -> None:
    answer(client("events"), "PutEvents", refusal("InternalException", status=500))

    with pytest.raises(DependencyUnavailable):
        publish(records, outcome_of())

    record = records.get("CHG1")
    assert record
    assert (record.status, record.ticket, record.errors) == (Status.CREATED, TICKET, [])
    assert not record.published
    assert record.content_hash == content_hash(REQUEST)
    assert record.key
    assert record.key["keyId"] == KEY_ID


def test_an_outcome_that_was_not_published_is_published_by_the_next_call(
    records: Records,
) -> None:
    events = published_on(client("events"))
    refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    taken = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}
    answer(client("events"), "PutEvents", refused, taken)

    with pytest.raises(EventNotPublished):
        publish(records, outcome_of())
    publish(records, outcome_of())

    assert len(events) == 2
    assert events[0] == events[1]


def test_an_outcome_counts_as_published_only_after_its_event_is_taken(records: Records) -> None:
    seen: list[bool] = []

    def look(**_: Any) -> None:
        record = records.get("CHG1")
        seen.append(bool(record and record.published))

    on(client("events"), "before-call.eventbridge.PutEvents", look)
    publish(records, outcome_of())

    record = records.get("CHG1")
    assert record
    assert (seen, record.published) == ([False], True)


def test_an_outcome_that_the_bus_refused_is_not_published(records: Records) -> None:
    refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    answer(client("events"), "PutEvents", refused)

    with pytest.raises(EventNotPublished):
        publish(records, failed("AliasInUse"))

    record = records.get("CHG1")
    assert record
    assert (record.status, record.published) == (Status.FAILED, False)
    assert list(records.unfinished()) == [record]


def test_a_request_is_created_under_one_id_whoever_finishes_it(records: Records) -> None:
    answer(client("events"), "PutEvents", refusal("InternalException", status=500))
    events = published_on(client("events"))
    with pytest.raises(DependencyUnavailable):
        publish(records, outcome_of())
    forget_answers()

    second = published_by(records, OTHER_EXECUTION, outcome_of())

    assert [detail["outcomeId"] for _, _, detail in events] == [second] * len(events)
    assert events


def test_every_failure_has_an_id_of_its_own(records: Records) -> None:
    first = published_by(records, EXECUTION, failed("AliasInUse"))
    again = outcome_id(publish(records, {**failed("AliasInUse"), "executionArn": EXECUTION}))
    second = published_by(records, OTHER_EXECUTION, failed("AliasInUse"))
    created = published_by(records, OTHER_EXECUTION, outcome_of())

    assert first == again
    assert len({first, second, created}) == 3


def created_id(records: Records, **fields: Any) -> str:
    """Return the ID under which a request of this content is created, in a table of its own."""
    request = request_of(replicas=REQUEST["replicas"], **fields)
    client("dynamodb").delete_item(TableName="requests", Key={"requestId": {"S": "CHG1"}})
    return outcome_id(publish(records, outcome_of(request=request)))


def test_renewed_material_is_another_outcome_and_the_same_material_is_not(
    records: Records,
) -> None:
    imported = {"origin": "EXTERNAL"}
    soon, later = {"validTo": in_days(100)}, {"validTo": in_days(200)}

    never = created_id(records, **imported)
    again = created_id(records, **imported, keyMaterial={"expires": False, "deadlineInDays": 1})
    first = created_id(records, **imported, keyMaterial=soon)
    renewed = created_id(records, **imported, keyMaterial=later)
    back = created_id(records, **imported, keyMaterial=soon)

    assert (again, back) == (never, first)
    assert len({never, first, renewed}) == 3


def test_the_ids_of_keys_of_kms_are_what_they_have_always_been(records: Records) -> None:
    name = f"CHG1 {content_hash(request_of(replicas=REQUEST['replicas']))} CREATED "

    assert created_id(records) == str(uuid.uuid5(uuid.NAMESPACE_OID, name))


@pytest.mark.parametrize("change", [{"requestId": "CHG2"}, {"alias": "alias/other"}])
def test_other_requests_are_created_under_other_ids(
    change: dict[str, Any], records: Records
) -> None:
    other = request_of(**{"replicas": REQUEST["replicas"], **change})
    first = outcome_id(publish(records, outcome_of()))
    client("dynamodb").delete_item(TableName="requests", Key={"requestId": {"S": "CHG1"}})

    assert outcome_id(publish(records, outcome_of(request=other))) != first


def test_a_refusal_has_one_id_for_what_was_sent_and_what_is_wrong_with_it(
    records: Records,
) -> None:
    def refusal_id(
        execution: str | None,
        document: object,
        problems: list[Problem],
        digest: str | None = None,
        status: Status = Status.REJECTED,
    ) -> str:
        return outcome_id(
            publish_refusal(
                document,
                problems,
                execution,
                outlets(records),
                digest=digest,
                status=status,
            )
        )

    sent = {"requestId": "CHG1", "alias": 1.0, "tags": {"a": "b", "c": "d"}}
    alike = {"tags": {"c": "d", "a": "b"}, "alias": 1, "requestId": "CHG1"}
    given = given_back(alike, [PROBLEM])
    other: Problem = {**PROBLEM, "code": "OTHER"}

    first = refusal_id(None, sent, [PROBLEM])

    assert refusal_id(None, alike, [PROBLEM]) == first
    assert refusal_id(EXECUTION, given, [PROBLEM], given["digest"]) == first
    assert refusal_id(OTHER_EXECUTION, given, [PROBLEM], given["digest"]) == first
    assert refusal_id(None, {**sent, "alias": 2}, [PROBLEM]) != first
    assert refusal_id(None, sent, [other]) != first
    failures = {
        refusal_id(execution, sent, [PROBLEM], status=Status.FAILED)
        for execution in (EXECUTION, OTHER_EXECUTION)
    }
    assert len(failures) == 2


def test_each_outcome_of_a_request_has_an_id_of_its_own(records: Records) -> None:
    imported = {"origin": "EXTERNAL", "replicas": REQUEST["replicas"]}
    never, soon = (
        request_of(**imported),
        request_of(**imported, keyMaterial={"validTo": in_days(100)}),
    )
    ids = []
    for number, asked in enumerate((never, soon, never)):
        execution = f"{EXECUTION}-{number}"
        records.claim(asked, execution, renewing=True)
        outcome: Any = {**outcome_of(request=asked), "executionArn": execution}
        ids.append(outcome_id(publish(records, outcome)))

    assert len(set(ids)) == 3


def test_an_outcome_keeps_its_id_until_it_is_published(records: Records) -> None:
    events = published_on(client("events"))
    published_by(records, EXECUTION, failed("AliasInUse"))
    answer(client("events"), "PutEvents", refusal("InternalException", status=500))
    with pytest.raises(DependencyUnavailable):
        published_by(records, OTHER_EXECUTION, outcome_of())
    forget_answers()
    record = records.get("CHG1")
    assert record

    records.claim(REQUEST, EXECUTION, dead_execution=OTHER_EXECUTION)
    again: Any = {**outcome_of(), "executionArn": EXECUTION}
    last = outcome_id(publish(records, again))

    assert events[-1][2]["outcomeId"] == last
    assert {d["outcomeId"] for _, kind, d in events if kind.endswith("Created")} == {last}


def test_what_is_known_of_the_keys_stays_where_a_run_does_not_know_them(records: Records) -> None:
    published_by(records, EXECUTION, outcome_of())
    before = records.get("CHG1")
    records.claim(REQUEST, OTHER_EXECUTION, renewing=True)
    unknowing = failed("DependencyUnavailable", primary=None, replicas=[])
    publish(records, {**unknowing, "executionArn": OTHER_EXECUTION})

    after = records.get("CHG1")
    assert before
    assert after
    assert (after.status, after.key) == (Status.FAILED, before.key)


def test_a_failure_before_any_key_tells_of_no_key(records: Records) -> None:
    events = published_on(client("events"))

    detail = publish(records, failed("AliasInUse", primary=None, replicas=[]))

    assert detail
    assert (detail["status"], detail["key"]) == ("FAILED", None)
    assert detail["errors"] == [{"path": "alias", "code": "ALIAS_IN_USE", "message": "It failed."}]
    assert [detail_type for _, detail_type, _ in events] == ["Multi-Region Key Creation Failed"]


@pytest.mark.parametrize(
    ("error", "region", "path", "code"),
    [
        ("KmsAccessDenied", "us-east-1", "primaryRegion", "KMS_ACCESS_DENIED"),
        ("KeyTagsNotInEffect", "us-east-1", "primaryRegion", "KMS_ACCESS_DENIED"),
        ("RegionNotEnabled", "eu-west-1", "replicas[0].region", "REGION_NOT_ENABLED"),
        ("AliasNotVisible", "us-west-2", "replicas[1].alias", "ALIAS_NOT_VISIBLE"),
        ("KmsAccessDenied", "eu-west-1", "replicas[0].region", "KMS_ACCESS_DENIED"),
        ("AliasInUse", "us-west-2", "replicas[1].alias", "ALIAS_IN_USE"),
        ("KeyPolicyRefused", "us-east-1", "policy", "KEY_POLICY_REFUSED"),
        ("KeyPolicyRefused", "us-west-2", "replicas[1].policy", "KEY_POLICY_REFUSED"),
        ("RequestConflict", "us-east-1", "requestId", "REQUEST_CONFLICT"),
        ("PrimaryKeyUnconfirmed", "us-east-1", "primaryRegion", "PRIMARY_KEY_UNCONFIRMED"),
        ("KeyMaterialNotProvided", "us-east-1", "primaryRegion", "KEY_MATERIAL_NOT_PROVIDED"),
        ("KeyMaterialNotProvided", "us-west-2", "replicas[1].region", "KEY_MATERIAL_NOT_PROVIDED"),
        ("IncorrectKeyMaterial", "eu-west-1", "replicas[0].region", "INCORRECT_KEY_MATERIAL"),
        ("ReplicaKeyNotEnabled", "eu-west-1", "replicas[0].region", "REPLICA_KEY_NOT_ENABLED"),
        ("UnexpectedFailure", "us-east-1", "primaryRegion", "UNEXPECTED_FAILURE"),
    ],
)
def test_a_failure_names_the_field_it_is_about(
    error: str, region: str, path: str, code: str, records: Records
) -> None:
    detail = publish(records, failed(error, region))

    assert detail
    assert [(e["path"], e["code"]) for e in detail["errors"]] == [(path, code)]


def test_an_outcome_is_left_to_the_execution_that_holds_the_request(records: Records) -> None:
    records.claim(REQUEST, OTHER_EXECUTION)
    events = published_on(client("events"))

    assert publish(records, failed("DependencyUnavailable")) is None

    record = records.get("CHG1")
    assert record
    assert record.status == Status.IN_PROGRESS
    assert events == []


def unclaimed(**fields: Any) -> Outcome:
    """Return the outcome of an execution that could not claim a request with these fields."""
    error, what = "DependencyUnavailable", "DynamoDB did not answer."
    failures = [failure_of("ClaimRequest", "us-east-1", error, what)]
    nothing: Any = {"primary": None, "replicas": [], "keyMetadata": None}
    asked = {**REQUEST, **fields}
    return outcome_of(status="FAILED", request=asked, failures=failures, **nothing)


@pytest.mark.parametrize("fields", [{"description": "other"}, {"revision": 2}])
def test_a_failure_to_claim_is_published_where_nobody_else_answers_for_that_content(
    fields: dict[str, Any], records: Records
) -> None:
    publish(records, {**outcome_of(), "executionArn": OTHER_EXECUTION})
    before = records.get("CHG1")
    events = published_on(client("events"))

    detail = publish(records, unclaimed(**fields))

    assert detail
    assert before
    assert [error["code"] for error in detail["errors"]] == [
        "DEPENDENCY_UNAVAILABLE",
        "NOT_CLAIMED",
    ]
    assert "revision 1, status CREATED" in detail["errors"][1]["message"]
    assert detail["key"] == before.key
    assert [(kind, event) for _, kind, event in events] == [
        ("Multi-Region Key Creation Failed", detail)
    ]
    assert records.get("CHG1") == before


def test_a_failure_to_claim_what_another_execution_has_is_left_to_that(records: Records) -> None:
    publish(records, {**outcome_of(), "executionArn": OTHER_EXECUTION})
    events = published_on(client("events"))

    assert publish(records, unclaimed(ticket={"id": "other"})) is None
    assert events == []


def test_a_run_of_earlier_content_that_claimed_and_failed_is_not_published(
    records: Records,
) -> None:
    publish(records, {**outcome_of(), "executionArn": OTHER_EXECUTION})
    events = published_on(client("events"))
    earlier: Any = {**REQUEST, "description": "earlier"}

    assert publish(records, failed("KmsThrottled", request=earlier)) is None
    assert events == []


def test_a_refusal_is_told_and_kept(records: Records) -> None:
    events = published_on(client("events"))
    document = {"requestId": "CHG1", "ticket": TICKET}

    detail = refuse(records, document)

    assert detail == {
        "outcomeId": outcome_id(detail),
        "requestId": "CHG1",
        "revision": 1,
        "status": "REJECTED",
        "executionArn": EXECUTION,
        "ticket": TICKET,
        "key": None,
        "errors": [PROBLEM],
        "warnings": [],
        **UNKNOWN,
    }
    assert events == [("mrk.provisioner", "Multi-Region Key Request Rejected", detail)]
    record = records.get("CHG1")
    assert record
    assert (record.status, record.errors) == (Status.REJECTED, [PROBLEM])


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ({"requestId": "CHG 1"}, "CHG 1"),
        ({"requestId": 31337}, 31337),
        ({"requestId": ["CHG1"]}, ["CHG1"]),
        ({"requestId": "r" * 1022}, "r" * 1022),
        ({"requestId": "r" * 1023}, None),
        ({"requestId": "é" * 511}, "é" * 511),
        ({"requestId": "é" * 512}, None),
        ({"requestId": "\ud800"}, None),
        ({"alias": "alias/cards"}, None),
        (None, None),
        ([{"requestId": "CHG1"}], None),
        ("CHG1", None),
    ],
)
def test_an_unusable_request_id_is_given_back_and_not_kept(
    document: object, shown: object, records: Records
) -> None:
    detail = refuse(records, document)

    assert detail["requestId"] == shown
    assert client("dynamodb").scan(TableName="requests")["Items"] == []


@pytest.mark.parametrize(
    ("ticket", "wrong"),
    [
        ({"note": "n" * 5000}, "ticket"),
        ("CHG0031337", "ticket"),
        (TICKET, ""),
        (None, "alias"),
        ("never looked at", "alias"),
    ],
)
def test_an_unusable_ticket_is_not_given_back(ticket: object, wrong: str, records: Records) -> None:
    problem: Problem = {"path": wrong, "code": "WRONG", "message": "It is wrong."}

    detail = refuse(records, {"requestId": "CHG1", "ticket": ticket}, [problem])

    assert detail["ticket"] is None


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ({"requestId": "CHG1"}, 1),
        ({"requestId": "CHG1", "revision": 7}, 7),
        ({"requestId": "CHG1", "revision": 0}, None),
        ({"requestId": "CHG1", "revision": True}, None),
        ({"requestId": "CHG1", "revision": "2"}, None),
        ({"requestId": "CHG1", "revision": None}, None),
        ({"requestId": "CHG1", "revision": 10**40}, None),
        (None, None),
    ],
)
def test_a_refusal_gives_back_a_sound_revision(
    document: object, shown: int | None, records: Records
) -> None:
    assert refuse(records, document)["revision"] == shown


@pytest.mark.parametrize("status", [Status.CREATED, Status.FAILED])
def test_a_refusal_shows_the_key_that_its_request_id_has_and_changes_nothing(
    status: Status, records: Records
) -> None:
    key: Any = {"keyId": "mrk-1"}
    records.claim(REQUEST, OTHER_EXECUTION)
    records.finish(REQUEST, execution_arn=OTHER_EXECUTION, status=status, key=key, errors=[])
    before = records.get("CHG1")

    detail = refuse(records, {"requestId": "CHG1", "description": "other"})

    assert (detail["status"], detail["key"]) == ("REJECTED", key)
    assert records.get("CHG1") == before


def test_a_request_that_could_not_be_checked_failed_and_is_not_kept(records: Records) -> None:
    events = published_on(client("events"))

    refuse(records, {"requestId": "CHG1"}, status=Status.FAILED)

    ((_, detail_type, detail),) = events
    assert (detail_type, detail["status"]) == ("Multi-Region Key Creation Failed", "FAILED")
    assert records.get("CHG1") is None


@pytest.mark.parametrize(
    "name", [name for name, kind in vars(errors).items() if isinstance(kind, type)]
)
def test_every_errors_code_is_its_name_in_upper_snake_case(name: str) -> None:
    code = error_code(name)

    assert code == code.upper()
    assert code.replace("_", "").lower() == name.lower()
    assert not code.startswith("_")
