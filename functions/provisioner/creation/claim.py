"""One execution at a time works on a request; this decides which."""

from dataclasses import dataclass
from enum import StrEnum

from provisioner.aws import executions
from provisioner.aws.client_types import SFNClient
from provisioner.aws.executions import Progress
from provisioner.aws.records import FINISHED, UNDER_WAY, Record, Records, Status
from provisioner.creation.correction import (
    check_change,
    check_correction,
    check_revision,
    superseded,
    too_early_problems,
    under_way,
)
from provisioner.domain.key_specs import Origin
from provisioner.domain.plan import (
    KeyFacts,
    KeySetRequest,
    arn_in,
    content_hash,
    material_terms,
    regions,
    revision_of,
    unread_key,
)
from provisioner.domain.provenance import Provenance
from provisioner.errors import (
    RequestBeingFinished,
    RequestConflict,
    RequestRejected,
    RevisionSkipped,
)


class Decision(StrEnum):
    """What an execution does next."""

    PROCEED = "PROCEED"
    RENEW = "RENEW"
    """The key set was finished once: its imported key material is all that is touched."""
    PUBLISH = "PUBLISH"
    """The key set is finished, and only its outcome is not published yet."""
    CHECK = "CHECK"
    """Nothing is claimed: whether the key set still has its material is known to KMS alone."""
    CHANGE = "CHANGE"
    """Nothing is claimed: the key set is finished, and has to become what the request says now."""
    ALREADY_CREATED = "ALREADY_CREATED"
    """The key set is as the request says, by what was recorded."""
    ANOTHER_RUN_IS_ACTIVE = "ANOTHER_RUN_IS_ACTIVE"
    ASK_FOR_APPROVAL = "ASK_FOR_APPROVAL"
    """Nothing is claimed: the request waits until it is approved."""
    REFUSED = "REFUSED"


@dataclass(frozen=True)
class Claim:
    """The decision, and the record it was made on."""

    decision: Decision
    record: Record


def claim(
    records: Records,
    step_functions: SFNClient,
    request: KeySetRequest,
    execution_arn: str,
    *,
    wait_for_unstarted: bool = False,
    material_missing: bool = False,
    provenance: Provenance | None = None,
) -> Claim:
    """Claim a request for an execution, or say why it has nothing to do.

    An execution that stopped without recording an outcome does not hold its request for ever: once
    Step Functions says that it does not run, the claim passes on. A request that failed may be
    claimed with other content. A key set that is finished is taken up again where its imported key
    material is to expire at another time than before, or is missing. Its next revision is a change,
    which is claimed once it is planned: `claim_change`.

    Parameters
    ----------
    wait_for_unstarted
        Treat a holder that was not started yet as active, because the caller is about to start it.
    material_missing
        A key of the finished set was seen without the material that is asked for.
    provenance
        Who asks for it. None leaves what was said of that when the same run was claimed before.

    Raises
    ------
    Conflict
        The request has other content and cannot be corrected, or another execution is at work on
        it under other terms for the key material.
    RequestRejected
        The key set was never finished, and the request asks for what only a finished one can.
    RequestBeingFinished
        Its execution failed and is about to say so: claim again in a moment.
    DependencyUnavailable
        DynamoDB or Step Functions did not answer.
    """
    claimed, record = _claim_unless_too_early(records, request, execution_arn, provenance)
    if claimed:
        return Claim(_what_is_left(record, request), record)
    if is_change(record, request):
        return decide_change(record, step_functions, request, wait_for_unstarted=wait_for_unstarted)
    if record.content_hash != content_hash(request):
        _correct(records, step_functions, record, request, execution_arn, provenance=provenance)
        # Where somebody else was faster, what the record says now decides.
        return claim(
            records,
            step_functions,
            request,
            execution_arn,
            wait_for_unstarted=wait_for_unstarted,
            material_missing=material_missing,
            provenance=provenance,
        )
    check_revision(record, request)
    if record.execution_arn is None:
        raise RuntimeError(f"The record of {record.request_id} refuses a claim, but has no holder.")
    if record.status in FINISHED and record.published:
        return _check_finished(
            records,
            record,
            request,
            execution_arn,
            provenance=provenance,
            missing=material_missing,
        )
    if _is_at_work(step_functions, record.execution_arn, wait_for_unstarted=wait_for_unstarted):
        if record.status == Status.FAILED:
            raise _about_to_fail(record)
        return _left_to(record, request)
    return _take_over(records, record, request, execution_arn, provenance)


def _claim_unless_too_early(
    records: Records, request: KeySetRequest, execution_arn: str, provenance: Provenance | None
) -> tuple[bool, Record]:
    too_early = too_early_problems(request)
    claimed, record = records.claim(
        request, execution_arn, only_created=bool(too_early), provenance=provenance
    )
    if too_early and not record.ever_created:
        raise RequestRejected(too_early)
    return claimed, record


def is_change(record: Record, request: KeySetRequest) -> bool:
    """Whether a request is about a change of a key set that was finished once.

    That is other content, the next revision of the same, or what a change under way, or one that
    failed, is about. A renewal of key material is none, and neither is what is there already, also
    while an operation is under way.
    """
    if not record.ever_created:
        return False
    if record.content_hash != content_hash(request):
        return True
    if record.operation:
        return False
    if record.status in FINISHED and record.published:
        is_next = revision_of(request) > record.revision
        return is_next and not _has_other_terms(record, request)
    return record.is_of_a_change


def is_left_to_do(
    record: Record | None,
    request: KeySetRequest,
    execution_arn: str,
    *,
    step_functions: SFNClient,
    material_missing: bool = False,
) -> bool:
    """Whether a claim would leave something to do that is not a change of a finished key set.

    Raises
    ------
    DependencyUnavailable
        Step Functions did not answer.
    """
    if record is None or record.status == Status.REJECTED:
        return True
    if is_change(record, request) or record.operation:
        return False
    if record.status in FINISHED and record.published:
        is_other = material_missing or _has_other_terms(record, request)
        return is_other and record.status != Status.DECOMMISSIONED
    if record.published or record.execution_arn == execution_arn:
        return True
    return executions.progress(step_functions, str(record.execution_arn)) != Progress.RUNNING


def decide_change(
    record: Record,
    step_functions: SFNClient,
    request: KeySetRequest,
    *,
    wait_for_unstarted: bool = False,
) -> Claim:
    """Decide whether a request which is a change has to be carried out; nothing is claimed.

    Returns
    -------
    Claim
        CHANGE, or that another execution is at it.

    Raises
    ------
    Conflict
        The revision, or its content, does not fit what the record has or what is under way.
    RequestBeingFinished
        A change failed and is about to say so: decide again in a moment.
    DependencyUnavailable
        Step Functions did not answer.
    """
    check_revision(record, request)
    is_same = record.content_hash == content_hash(request)
    if record.published:
        check_change(record, request)
        return Claim(Decision.CHANGE, record)
    holder = str(record.execution_arn)
    if _is_at_work(step_functions, holder, wait_for_unstarted=wait_for_unstarted):
        if record.status in (Status.FAILED, Status.UPDATE_FAILED):
            raise _about_to_fail(record)
        if is_same:
            return _left_to(record, request)
    if not is_same:
        raise under_way(record)
    check_change(record, request)
    return Claim(Decision.CHANGE, record)


def _is_at_work(step_functions: SFNClient, execution_arn: str, *, wait_for_unstarted: bool) -> bool:
    progress = executions.progress(step_functions, execution_arn)
    is_about_to_start = wait_for_unstarted and progress == Progress.NOT_STARTED
    return progress == Progress.RUNNING or is_about_to_start


def _check_finished(
    records: Records,
    record: Record,
    request: KeySetRequest,
    execution_arn: str,
    *,
    provenance: Provenance | None,
    missing: bool,
) -> Claim:
    """Take a finished key set up again where its key material has to be imported once more."""
    if record.status == Status.DECOMMISSIONED:
        return Claim(Decision.ALREADY_CREATED, record)
    if not missing and not _has_other_terms(record, request):
        imported = request["origin"] == Origin.EXTERNAL
        return Claim(Decision.CHECK if imported else Decision.ALREADY_CREATED, record)
    claimed, record = records.claim(request, execution_arn, renewing=True, provenance=provenance)
    return Claim(Decision.RENEW, record) if claimed else _left_to(record, request)


def _take_over(
    records: Records,
    record: Record,
    request: KeySetRequest,
    execution_arn: str,
    provenance: Provenance | None,
) -> Claim:
    """Claim a request whose holder died before its outcome was published."""
    is_finished = record.status == Status.CREATED and not _has_other_terms(record, request)
    claimed, record = records.claim(
        request, execution_arn, dead_execution=record.execution_arn, provenance=provenance
    )
    if not claimed:
        return _left_to(record, request)
    return Claim(Decision.PUBLISH if is_finished else _what_is_left(record, request), record)


def known_keys(record: Record, request: KeySetRequest) -> list[KeyFacts]:
    """List the keys of a set, the primary's first: as they were published once it was finished.

    There are none as long as no primary key is recorded. A replica has the key ID of its primary,
    so its ARN is known where nothing else is.
    """
    if record.key_arn is None:
        return []
    key = record.key if record.ever_created else None
    facts: list[KeyFacts] = [key["primary"], *key["replicas"]] if key else []
    known = {one["region"]: one for one in facts}
    return [
        known.get(region) or unread_key(arn_in(region, record.key_arn))
        for region in regions(request)
    ]


def _what_is_left(record: Record, request: KeySetRequest) -> Decision:
    """Decide what a claimed request needs: what was finished once is in use."""
    if not record.ever_created:
        return Decision.PROCEED
    return Decision.RENEW if request["origin"] == Origin.EXTERNAL else Decision.PUBLISH


def check_claim(
    records: Records, step_functions: SFNClient, request: KeySetRequest
) -> Record | None:
    """Raise the conflict that `claim` would raise now; nothing is written.

    Returns
    -------
    Record or None
        The request's, if it has one.

    Raises
    ------
    Conflict
        The request has other content and cannot be corrected, or another execution is at work on
        it under other terms for the key material.
    RequestRejected
        The key set was never finished, and the request asks for what only a finished one can.
    DependencyUnavailable
        DynamoDB or Step Functions did not answer.
    """
    record = records.get(request["requestId"])
    if record is None or record.status == Status.REJECTED:
        if (revision := revision_of(request)) > 1:
            raise RevisionSkipped(request["requestId"], revision, 1)
        return record
    if not record.ever_created and (too_early := too_early_problems(request)):
        raise RequestRejected(too_early)
    if is_change(record, request):
        return decide_change(record, step_functions, request, wait_for_unstarted=True).record
    if record.content_hash != content_hash(request):
        check_correction(record, request)
        return record
    check_revision(record, request)
    holder = record.execution_arn
    if (
        record.status in UNDER_WAY
        and executions.progress(step_functions, str(holder)) != Progress.ENDED
    ):
        _left_to(record, request)
    return record


def _correct(
    records: Records,
    step_functions: SFNClient,
    record: Record,
    request: KeySetRequest,
    execution_arn: str,
    *,
    provenance: Provenance | None,
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
    records.correct(request, execution_arn, seen=record, superseded=names, provenance=provenance)


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
