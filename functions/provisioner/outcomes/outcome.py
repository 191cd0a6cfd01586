"""What became of a request: its record, its history, its completion event and its metrics.

They are written in that order.

An event is sent again whenever it is not known to have arrived, so a listener may see it twice. Its
`outcomeId` is the same then, and different for every other outcome: it is made of what the outcome
is of, and of how many outcomes of the request were published before. A refusal is made of what was
sent and what is wrong with it, however often and by whichever way that is sent.
"""

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NotRequired, TypedDict, cast

from aws_lambda_powertools.metrics import MetricUnit

from provisioner.aws import event_bus
from provisioner.aws.approvals import Approvals
from provisioner.aws.client_types import EventBridgeClient
from provisioner.aws.history import History
from provisioner.aws.records import FINISHED, OF_CHANGES, Record, Records, Removed, Status
from provisioner.clock import now
from provisioner.domain.change_problems import missing_material_warning
from provisioner.domain.key_specs import Origin
from provisioner.domain.operation import Operation
from provisioner.domain.plan import (
    KeyFacts,
    KeySetFacts,
    KeySetRequest,
    content_hash,
    fingerprint,
    is_request_id,
    key_facts,
    material_terms,
    regions,
    revision_of,
)
from provisioner.domain.provenance import UNKNOWN, Provenance, Via
from provisioner.errors import Problem, new_problem
from provisioner.json_text import Json, JsonObject
from provisioner.outcomes.failures import Failure, problem_of
from provisioner.outcomes.refusal import given_back
from provisioner.telemetry import logger, metrics

DETAIL_TYPES = {
    Status.CREATED: "Multi-Region Key Created",
    Status.REJECTED: "Multi-Region Key Request Rejected",
    Status.FAILED: "Multi-Region Key Creation Failed",
    Status.UPDATED: "Multi-Region Key Updated",
    Status.UPDATE_FAILED: "Multi-Region Key Update Failed",
    Status.DECOMMISSIONED: "Multi-Region Key Decommissioned",
}


_BEFORE_THE_CLAIM = ("ClaimRequest", "AskForApproval", "StartChange", "PlanChange", "ClaimChange")
ENDS_OF_WAITING = {"APPROVAL_EXPIRED", "APPROVAL_REFUSED", "CANCELLED"}
"""Codes of what a person has stopped, or has left undecided for too long."""


class Outcome(TypedDict):
    """How an execution ended, as the state machine knows it.

    `via` is the webhook through which the request came, as far as the execution knows it.
    """

    status: str
    request: KeySetRequest
    executionArn: str
    startedAt: str
    primary: KeyFacts | None
    replicas: list[KeyFacts]
    keyMetadata: JsonObject | None
    failures: list[Failure]
    via: NotRequired[Via | None]


class ChangeOutcome(Outcome):
    """How a change ended, or an operation, which `operation` has; it is null for a change.

    `removed` has the keys that wait for their deletion, by Region. `warnings` is what its plan
    found, where it was carried out.
    """

    removed: dict[str, Removed]
    warnings: NotRequired[list[Problem]]
    operation: NotRequired[Operation | None]


class Refusal(TypedDict):
    """A request that is refused, and why; `request` may be anything that was sent.

    One that came as a dead letter has the `letter`'s ID, and no execution. `provenance` is
    who asked and who decided, null where nobody was asked. `operation` is what is refused of a key
    set, null where it is the request itself.
    """

    status: str
    request: Json
    executionArn: str | None
    letter: NotRequired[str]
    problems: list[Problem]
    provenance: Provenance | None
    operation: NotRequired[Operation | None]


class RemovedKey(Removed):
    """A key that waits for its deletion since a change removed it.

    `notBefore` is the earliest time at which KMS deletes the key. It is None for a primary key that
    waits for its replica keys: its own time begins when the last of them is gone.
    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-delete.html
    """

    region: str
    keyState: Literal["PendingDeletion", "PendingReplicaDeletion"]


class _Detail(Provenance):
    outcomeId: str
    status: Status
    ticket: JsonObject | None
    key: KeySetFacts | None
    errors: list[Problem]
    warnings: list[Problem]


class OutcomeDetail(_Detail):
    """What became of a request, as its completion event says it.

    `outcomeId` is the same whenever the same outcome is published again. `removed` is there for a
    change.
    """

    requestId: str
    revision: int
    executionArn: str
    removed: NotRequired[list[RemovedKey]]


class RefusalDetail(_Detail):
    """Why a request was refused, as its event says it.

    `requestId` is what was sent as such, null where that is too large to be repeated, and
    `revision` null where it is not usable. `executionArn` is null where nothing was started.
    `key` is that of the request whose ID it is, if there is one.
    """

    requestId: Json
    revision: int | None
    executionArn: str | None


@dataclass(frozen=True)
class Outlets:
    """Where an outcome is recorded, kept for good and published."""

    records: Records
    approvals: Approvals
    history: History
    events: EventBridgeClient
    bus: str


def publish_outcome(outcome: Outcome | ChangeOutcome, outlets: Outlets) -> OutcomeDetail | None:
    """Record how a request ended, publish it, and count it.

    Returns
    -------
    dict or None
        The event's detail; None where another execution holds the request and will answer for it.
        One that failed before it could claim a request which has other content answers itself.

    Raises
    ------
    DependencyUnavailable, EventNotPublished
        The outcome is not recorded or not published; calling again does both.
    """
    request = outcome["request"]
    status = Status(outcome["status"])
    key = key_facts(request, outcome["primary"], outcome["replicas"], outcome["keyMetadata"])
    problems = problems_of(outcome)
    removed = cast("ChangeOutcome", outcome)["removed"] if status in OF_CHANGES else {}
    warnings = replicas_not_asked_for(request, outcome["keyMetadata"], removed)
    if status == Status.UPDATED:
        warnings += _keys_without_material(outcome)
    if status in OF_CHANGES:
        warnings += cast("ChangeOutcome", outcome).get("warnings", [])
    record = outlets.records.finish(
        request,
        execution_arn=outcome["executionArn"],
        status=status,
        key=key,
        errors=problems,
        warnings=warnings,
        removed=removed,
        provenance=_provenance_before_the_claim(outcome),
    )
    if record is None:
        return _publish_unclaimed(outcome, problems, outlets)
    detail: OutcomeDetail = {
        "outcomeId": _id_of(outcome, record),
        "requestId": request["requestId"],
        "revision": revision_of(request),
        "status": status,
        "executionArn": outcome["executionArn"],
        "ticket": request["ticket"],
        "key": key,
        "errors": problems,
        "warnings": warnings,
        "requester": record.provenance["requester"],
        "via": record.provenance["via"],
        "approvals": record.provenance["approvals"],
    }
    if status in OF_CHANGES:
        detail["removed"] = removed_keys(record)
    outlets.history.keep(detail, record.provenance)
    event_bus.put_event(outlets.events, outlets.bus, DETAIL_TYPES[status], detail)
    outlets.records.mark_published(request["requestId"], outcome["executionArn"])
    _forget_approval(detail, outlets)
    _count(status, replicas=len(outcome["replicas"]), started_at=outcome["startedAt"])
    logger.info("outcome published", status=status, errors=[p["code"] for p in problems])
    return detail


def publish_refusal(
    document: object,
    problems: list[Problem],
    execution_arn: str | None,
    outlets: Outlets,
    *,
    status: Status = Status.REJECTED,
    digest: str | None = None,
    provenance: Provenance = UNKNOWN,
) -> RefusalDetail:
    """Publish that a request was refused, and keep the reasons for whoever asks by its ID.

    Where the ID is that of another request, its record stays, and the event shows its key.

    Parameters
    ----------
    document
        What the caller sent. Its requestId, revision and ticket are given back where they are
        sound.
    status
        FAILED where the request could not even be checked; that is not kept.
    digest
        The fingerprint of what the caller sent, where `document` is only what is given back of it.
    provenance
        Who asked for it and who decided about it, as far as that is known.

    Returns
    -------
    dict
        The event's detail.

    Raises
    ------
    DependencyUnavailable, EventNotPublished
        The refusal is not recorded or not published; calling again does both.
    """
    given = given_back(document, problems)
    request_id, ticket = given["requestId"], given["ticket"]
    known = None
    if status == Status.REJECTED and is_request_id(request_id):
        known = outlets.records.note_refusal(request_id, execution_arn, ticket, problems)
    if status == Status.REJECTED:
        of_what = [digest or fingerprint(document), fingerprint(problems)]
    else:
        of_what = [str(execution_arn)]
    detail: RefusalDetail = {
        "outcomeId": _outcome_id(status, *of_what),
        "requestId": request_id,
        "revision": given["revision"],
        "status": status,
        "executionArn": execution_arn,
        "ticket": ticket,
        "key": known.key if known else None,
        "errors": problems,
        "warnings": [],
        **provenance,
    }
    if is_request_id(request_id):
        outlets.history.keep(detail, provenance)
    event_bus.put_event(outlets.events, outlets.bus, DETAIL_TYPES[status], detail)
    _forget_approval(detail, outlets)
    _count(status)
    logger.info("request refused", errors=[problem["code"] for problem in problems])
    return detail


def problems_of(outcome: Outcome | ChangeOutcome, again: str | None = None) -> list[Problem]:
    """Phrase the failures; what several Regions report of the request as a whole stands once.

    `again` is as in `problem_of`.
    """
    found: list[Problem] = []
    for failure in outcome["failures"]:
        problem = problem_of(failure, outcome["request"], outcome["executionArn"], again)
        if problem not in found:
            found.append(problem)
    return found


def removed_keys(record: Record) -> list[RemovedKey]:
    """List the keys that wait for their deletion since a change removed them, by Region."""
    return [
        {
            "region": region,
            "keyState": "PendingDeletion" if key["notBefore"] else "PendingReplicaDeletion",
            **key,
        }
        for region, key in sorted(record.removed.items())
    ]


def replicas_not_asked_for(
    request: KeySetRequest, metadata: JsonObject | None, removed: Iterable[str]
) -> list[Problem]:
    """Name the replica keys that KMS lists of a finished key set beside those of the request.

    It lists a removed one until that is gone.
    """
    listed = metadata["MultiRegionConfiguration"]["ReplicaKeys"] if metadata else []
    return [
        new_problem(
            "replicas",
            "REPLICA_NOT_ASKED_FOR",
            f"{key['Arn']} is a replica key of this key set that the request does not ask for. It "
            "stays as it is. If nothing uses it, schedule its deletion: aws kms "
            f"schedule-key-deletion --region {key['Region']} --key-id {key['Arn']}",
        )
        for key in listed
        if key["Region"] not in (*regions(request), *removed)
    ]


def _keys_without_material(outcome: Outcome) -> list[Problem]:
    """Name the keys of a changed set whose key material has expired or was deleted."""
    keys = [key for key in (outcome["primary"], *outcome["replicas"]) if key]
    return [
        missing_material_warning("keyMaterial", key["region"])
        for key in keys
        if key["keyState"] == "PendingImport"
    ]


def _publish_unclaimed(
    outcome: Outcome | ChangeOutcome, problems: list[Problem], outlets: Outlets
) -> OutcomeDetail | None:
    """Publish the failure of a request that could not be claimed, where nobody else answers for it.

    Whoever holds the same content answers for it. Where the record has other content, revision or
    expiry, it stays as it is, and the event says what it has.
    """
    request, execution_arn = outcome["request"], outcome["executionArn"]
    could_claim = any(failure["step"] not in _BEFORE_THE_CLAIM for failure in outcome["failures"])
    held = None
    if problems and not could_claim:
        # It returns the record that is there, and this function may read it in no other way.
        held = outlets.records.note_refusal(
            request["requestId"], execution_arn, request["ticket"], problems
        )
    if held is None or held.request is None or _is_same(held.request, request):
        logger.warning("another execution holds this request and answers for it")
        return None
    text = (
        f"Nothing of this request was done. {held.request_id} stays as it is: revision "
        f"{held.revision}, status {held.status}, with other content. Send this request again: it "
        "is taken or refused by what the record has then."
    )
    problems = [*problems, new_problem("requestId", "NOT_CLAIMED", text)]
    status = Status(outcome["status"])
    detail: OutcomeDetail = {
        "outcomeId": _outcome_id(status, execution_arn),
        "requestId": request["requestId"],
        "revision": revision_of(request),
        "status": status,
        "executionArn": execution_arn,
        "ticket": request["ticket"],
        "key": held.key,
        "errors": problems,
        "warnings": [],
        "requester": None,
        "via": None,
        "approvals": [],
    }
    if status in OF_CHANGES:
        detail["removed"] = removed_keys(held)
    outlets.history.keep(detail, UNKNOWN)
    event_bus.put_event(outlets.events, outlets.bus, DETAIL_TYPES[status], detail)
    _forget_approval(detail, outlets)
    _count(status, started_at=outcome["startedAt"])
    logger.info("failure before the claim published", errors=[p["code"] for p in problems])
    return detail


def _provenance_before_the_claim(outcome: Outcome | ChangeOutcome) -> Provenance | None:
    """Return the webhook through which a request came that failed before any claim kept that."""
    is_unclaimed = any(failure["step"] in _BEFORE_THE_CLAIM for failure in outcome["failures"])
    via = outcome.get("via")
    return {**UNKNOWN, "via": via} if via and is_unclaimed else None


def _forget_approval(detail: OutcomeDetail | RefusalDetail, outlets: Outlets) -> None:
    """Forget the approval of a run that has ended: the next one needs another."""
    codes = {problem["code"] for problem in detail["errors"]}
    if detail["executionArn"] and (detail["approvals"] or codes & ENDS_OF_WAITING):
        outlets.approvals.forget(detail["requestId"], detail["executionArn"])


def _is_same(one: KeySetRequest, other: KeySetRequest) -> bool:
    return (
        content_hash(one) == content_hash(other)
        and revision_of(one) == revision_of(other)
        and material_terms(one) == material_terms(other)
    )


def _id_of(outcome: Outcome | ChangeOutcome, record: Record) -> str:
    request, status = outcome["request"], Status(outcome["status"])
    # A run that succeeds does so once, whichever execution finishes it.
    execution = "" if status in FINISHED else outcome["executionArn"]
    asked = content_hash(request)
    if request["origin"] == Origin.EXTERNAL:
        asked += json.dumps(material_terms(request))
    earlier = [str(record.run)] if record.run else []
    return _outcome_id(request["requestId"], asked, status, execution, *earlier)


def _outcome_id(*parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, " ".join(parts)))


def _count(status: Status, replicas: int = 0, started_at: str | None = None) -> None:
    if status == Status.CREATED:
        metrics.add_metric("KeysCreated", MetricUnit.Count, 1)
        metrics.add_metric("ReplicasCreated", MetricUnit.Count, replicas)
    elif status in FINISHED:
        metrics.add_metric("KeySetsChanged", MetricUnit.Count, 1)
    elif status == Status.REJECTED:
        metrics.add_metric("RequestsRejected", MetricUnit.Count, 1)
    else:
        metrics.add_metric("RequestsFailed", MetricUnit.Count, 1)
    if started_at:
        elapsed = now() - datetime.fromisoformat(started_at)
        metrics.add_metric("SecondsToCompletion", MetricUnit.Seconds, elapsed.total_seconds())
    metrics.flush_metrics()
