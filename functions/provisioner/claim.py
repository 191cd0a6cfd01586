"""One execution at a time works on a request; this decides which."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from provisioner import executions
from provisioner.errors import RequestBeingFinished, RequestConflict
from provisioner.executions import Progress
from provisioner.plan import KeySetRequest, material_terms
from provisioner.records import Record, Records, Status


class Decision(StrEnum):
    """What an execution does next."""

    PROCEED = "PROCEED"
    ALREADY_CREATED = "ALREADY_CREATED"
    ANOTHER_RUN_IS_ACTIVE = "ANOTHER_RUN_IS_ACTIVE"


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
    Step Functions says that it does not run, the claim passes on. A key set that is finished is
    taken up again where its imported key material is to expire at another time than before.

    Parameters
    ----------
    wait_for_unstarted
        Treat a holder that was not started yet as active, because the caller is about to start it.

    Raises
    ------
    RequestConflict
        The requestId was used before with other content, or another execution is at work on it
        under other terms for the key material.
    RequestBeingFinished
        Its execution failed and is about to say so: claim again in a moment.
    DependencyUnavailable
        DynamoDB or Step Functions did not answer.
    """
    claimed, record = records.claim(request, execution_arn)
    if claimed:
        return Claim(Decision.PROCEED, record)
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
            raise RequestBeingFinished(
                f"{holder} is about to tell that {record.request_id} failed."
            )
        return _left_to(record, request)
    claimed, record = records.claim(request, execution_arn, dead_execution=holder)
    return Claim(Decision.PROCEED, record) if claimed else _left_to(record, request)


def _left_to(record: Record, request: KeySetRequest) -> Claim:
    """Leave a request to the execution that holds it, if that does what is asked."""
    if _has_other_terms(record, request):
        raise RequestConflict(
            f"{record.execution_arn} works on {record.request_id} with another expiry of the key "
            "material; let it finish first."
        )
    return Claim(Decision.ANOTHER_RUN_IS_ACTIVE, record)


def _has_other_terms(record: Record, request: KeySetRequest) -> bool:
    held = record.request
    return held is not None and material_terms(held) != material_terms(request)
