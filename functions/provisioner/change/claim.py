"""Makes one execution the one that carries a planned change out."""

from provisioner.aws.client_types import SFNClient
from provisioner.aws.records import (
    FINISHED,
    UNDER_WAY,
    Record,
    Records,
    Status,
    refuse_if_cancelled,
)
from provisioner.creation.claim import Claim, Decision, decide_change, is_change
from provisioner.creation.correction import removed_names, superseded, with_restored
from provisioner.domain.plan import (
    KeySetRequest,
    RegionNames,
    content_hash,
    is_decommissioned,
    revision_of,
)
from provisioner.domain.provenance import Provenance
from provisioner.errors import RequestNotFound, RequestTakenOver


def claim_change(
    records: Records,
    step_functions: SFNClient,
    request: KeySetRequest,
    execution_arn: str,
    *,
    version: str,
    wait_for_unstarted: bool = False,
    provenance: Provenance | None = None,
) -> Claim:
    """Claim a change for an execution, or say why it has nothing to do.

    Parameters
    ----------
    version
        Of the record that the change was planned on.
    wait_for_unstarted
        Treat a holder that was not started yet as active, because the caller is about to start it.
    provenance
        Who asks for it. None leaves what was said of that when the same run was claimed before.

    Returns
    -------
    Claim
        PROCEED, or PUBLISH where the change is done and only its outcome is not published yet: the
        execution holds the request. CHANGE where the record is another one than the plan was made
        on, and the request is still to be carried out: plan again. Else what another execution does
        or has done.

    Raises
    ------
    Conflict
        The request does not fit what the record has now.
    RequestNotFound
        There is no record of the request.
    RequestBeingFinished
        A change failed and is about to say so: claim again in a moment.
    DependencyUnavailable
        DynamoDB or Step Functions did not answer.
    """
    record = records.get(request["requestId"])
    if record is None:
        raise RequestNotFound(f"There is no request {request['requestId']}.")
    if _is_held(record, request, execution_arn):
        if record.published:
            return Claim(Decision.ALREADY_CREATED, record)
    else:
        decided = _decide(record, step_functions, request, wait_for_unstarted)
        if decided.decision != Decision.CHANGE or record.version != version:
            return decided
    claimed, after = records.claim_change(
        request,
        execution_arn,
        seen=record,
        superseded=(names := failed_names(record, request)),
        removed_names=removed_names(record, request, names),
        provenance=provenance,
    )
    if not claimed:
        return _decide(after, step_functions, request, wait_for_unstarted)
    is_done = record.status in FINISHED and record.content_hash == content_hash(request)
    return Claim(Decision.PUBLISH if is_done and not record.published else Decision.PROCEED, after)


def held_record(records: Records, request: KeySetRequest, execution_arn: str) -> Record:
    """Read the record of a change, or of an operation, that an execution carries out.

    It may say `WAITING_FOR_MATERIAL` still, although the answer is there.

    Raises
    ------
    RequestTakenOver
        The execution does not hold the request, or not any more.
    DependencyUnavailable
        DynamoDB did not answer.
    """
    record = records.get(request["requestId"])
    if (
        record is None
        or record.execution_arn != execution_arn
        or record.status not in UNDER_WAY
        or record.revision != revision_of(request)
    ):
        raise RequestTakenOver(
            f"{execution_arn} does not hold revision {revision_of(request)} of request "
            f"{request['requestId']}."
        )
    return record


def check_wanted(records: Records, request: KeySetRequest, execution_arn: str) -> None:
    """Check, before a step of a change writes, that this execution is still to carry it out.

    Raises
    ------
    RequestTakenOver
        The execution does not hold the request, or not any more.
    Cancelled
        The change was cancelled: what it reached stays, and nothing more is to be done.
    DependencyUnavailable
        DynamoDB did not answer.
    """
    refuse_if_cancelled(held_record(records, request, execution_arn))


def failed_names(record: Record, request: KeySetRequest) -> RegionNames:
    """Name, by Region, what earlier revisions left behind and a request does not ask for.

    These are revisions that failed, and those of a set that was decommissioned: a key that waits
    for its deletion keeps what they took away from the declaration. So does the key of a Region
    that was removed, and that the request declares again.

    Raises
    ------
    RequestConflict
        It is more than a record can keep.
    """
    is_kept = record.is_changing or record.status == Status.DECOMMISSIONED
    found = superseded(record, request) if is_kept or is_decommissioned(request) else {}
    return with_restored(found, record, request)


def _decide(
    record: Record, step_functions: SFNClient, request: KeySetRequest, wait_for_unstarted: bool
) -> Claim:
    if not is_change(record, request):
        return Claim(Decision.ALREADY_CREATED, record)
    return decide_change(record, step_functions, request, wait_for_unstarted=wait_for_unstarted)


def _is_held(record: Record, request: KeySetRequest, execution_arn: str) -> bool:
    return (
        record.execution_arn == execution_arn
        and record.content_hash == content_hash(request)
        and record.revision == revision_of(request)
    )
