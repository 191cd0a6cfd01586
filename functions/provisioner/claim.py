"""One execution at a time works on a request; this decides which."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from provisioner import executions
from provisioner.correction import check_correction, check_revision, superseded
from provisioner.errors import RequestBeingFinished, RequestConflict, RevisionSkipped
from provisioner.executions import Progress
from provisioner.plan import KeySetRequest, content_hash, material_terms, revision_of
from provisioner.records import UNDER_WAY, Record, Records, Status


class Decision(StrEnum):
    """What an execution does next."""

    PROCEED = "PROCEED"
    ALREADY_CREATED = "ALREADY_CREATED"
    ANOTHER_RUN_IS_ACTIVE = "ANOTHER_RUN_IS_ACTIVE"
    REFUSED = "REFUSED"


@dataclass(frozen=True)
class Claim:
    """The decision, and the record it was made on."""

    decision: Decision
    record: Record


def claim(
    records: Records,
    step_functions: Any,
    request: KeySetRequest,
    execution_arn: str,
    *,
    wait_for_unstarted: bool = False,
) -> Claim:
    """Claim a request for an execution, or say why it has nothing to do.

    An execution that stopped without recording an outcome does not hold its request for ever: once
    Step Functions says that it does not run, the claim passes on. A request that failed may be
    claimed with other content. A key set that is finished is taken up again where its imported key
    material is to expire at another time than before.

    Parameters
    ----------
    wait_for_unstarted
        Treat a holder that was not started yet as active, because the caller is about to start it.

    Raises
    ------
    Conflict
        The request has other content and cannot be corrected, or another execution is at work on
        it under other terms for the key material.
    RequestBeingFinished
        Its execution failed and is about to say so: claim again in a moment.
    DependencyUnavailable
        DynamoDB or Step Functions did not answer.
    """
    claimed, record = records.claim(request, execution_arn)
    if claimed:
        return Claim(Decision.PROCEED, record)
    if record.content_hash != content_hash(request):
        _correct(records, step_functions, record, request, execution_arn)
        # Where somebody else was faster, what the record says now decides.
        return claim(
            records, step_functions, request, execution_arn, wait_for_unstarted=wait_for_unstarted
        )
    check_revision(record, request)
    holder = record.execution_arn
    if holder is None:
        raise RuntimeError(f"The record of {record.request_id} refuses a claim, but has no holder.")
    if record.status == Status.CREATED and record.published:
        if not _has_other_terms(record, request):
            return Claim(Decision.ALREADY_CREATED, record)
        claimed, record = records.claim(request, execution_arn, renewing=True)
        return Claim(Decision.PROCEED, record) if claimed else _left_to(record, request)
    progress = executions.progress(step_functions, holder)
    if progress == Progress.RUNNING or (wait_for_unstarted and progress == Progress.NOT_STARTED):
        if record.status == Status.FAILED:
            raise _about_to_fail(record)
        return _left_to(record, request)
    claimed, record = records.claim(request, execution_arn, dead_execution=holder)
    return Claim(Decision.PROCEED, record) if claimed else _left_to(record, request)


def check_claim(records: Records, step_functions: Any, request: KeySetRequest) -> None:
    """Raise the conflict that `claim` would raise now; nothing is written.

    Raises
    ------
    Conflict
        The request has other content and cannot be corrected, or another execution is at work on
        it under other terms for the key material.
    DependencyUnavailable
        DynamoDB or Step Functions did not answer.
    """
    record = records.get(request["requestId"])
    if record is None or record.status == Status.REJECTED:
        if (revision := revision_of(request)) > 1:
            raise RevisionSkipped(request["requestId"], revision, 1)
        return
    if record.content_hash != content_hash(request):
        check_correction(record, request)
        return
    check_revision(record, request)
    holder = record.execution_arn
    if (
        record.status in UNDER_WAY
        and executions.progress(step_functions, str(holder)) != Progress.ENDED
    ):
        _left_to(record, request)


def _correct(
    records: Records,
    step_functions: Any,
    record: Record,
    request: KeySetRequest,
    execution_arn: str,
) -> None:
    """Claim a request with other content, as long as the record is as it was read."""
    if (
        record.status == Status.FAILED
        and not record.published
        and executions.progress(step_functions, str(record.execution_arn)) == Progress.RUNNING
    ):
        raise _about_to_fail(record)
    check_correction(record, request)
    names = superseded(record, request)
    records.correct(request, execution_arn, seen=record, superseded=names)


def _about_to_fail(record: Record) -> RequestBeingFinished:
    return RequestBeingFinished(
        f"{record.execution_arn} is about to report that {record.request_id} failed."
    )


def _left_to(record: Record, request: KeySetRequest) -> Claim:
    """Leave a request to the execution that holds it, if that does what is asked."""
    if _has_other_terms(record, request):
        raise RequestConflict(
            f"{record.execution_arn} works on {record.request_id} with another expiry of the key "
            "material; let it finish first."
        )
    if record.revision != revision_of(request):
        raise RequestConflict(
            f"{record.execution_arn} works on revision {record.revision} of {record.request_id}, "
            "which has the same content; let it finish first."
        )
    return Claim(Decision.ANOTHER_RUN_IS_ACTIVE, record)


def _has_other_terms(record: Record, request: KeySetRequest) -> bool:
    held = record.request
    return held is not None and material_terms(held) != material_terms(request)
