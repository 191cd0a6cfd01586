"""Takes the decision of an approver and wakes the execution that waits for it."""

from provisioner.aws import executions
from provisioner.aws.approvals import Approvals, Pending, State
from provisioner.aws.client_types import SFNClient
from provisioner.aws.records import Records
from provisioner.clock import now
from provisioner.domain.approval import Decision, approvals_needed, is_one_of
from provisioner.domain.provenance import Approval
from provisioner.errors import (
    AlreadyDecided,
    ApproverIsRequester,
    ContentChanged,
    DependencyUnavailable,
    NotAwaited,
)

_TRIES = 5
"""Approvers who decide at the same moment read each other's decision and try again."""


def decide(
    request_id: str,
    content_hash: str,
    approval: Approval,
    *,
    one_per_role: bool,
    approvals: Approvals,
    step_functions: SFNClient,
) -> Pending:
    """Write down a decision, and wake the execution where that settles it.

    The same decision of the same approver again changes nothing and wakes once more.

    Parameters
    ----------
    approval
        Who decides what; `at` is set here.
    one_per_role
        Take all sessions of a role for one person.

    Raises
    ------
    NotAwaited
        The request does not wait for approval, or not any more.
    ContentChanged
        What waits is something else.
    ApproverIsRequester
        The approver may be who asked or who has approved already. Anybody may refuse.
    DependencyUnavailable
        DynamoDB or Step Functions did not answer; sending the same decision again is safe.
    """
    for _ in range(_TRIES):
        pending = approvals.get(request_id)
        if pending is None:
            raise NotAwaited(f"Request {request_id} does not wait for approval.")
        if pending.content_hash != content_hash:
            raise ContentChanged(
                f"Request {request_id} waits with the content hash {pending.content_hash}."
            )
        if _is_decided_so(pending, approval):
            return _wake(pending, step_functions) if pending.state != State.WAITING else pending
        _check(pending, approval, one_per_role=one_per_role)
        made: list[Approval] = [*pending.approvals, {**approval, "at": now().isoformat()}]
        state = _state_after(pending.requester, made)
        if approvals.decide(pending, made, state):
            return _wake(pending, step_functions) if state != State.WAITING else pending
    raise DependencyUnavailable(f"Others decide about {request_id} at the same moment.")


def cancel_waiting(
    request_id: str, *, approvals: Approvals, records: Records, step_functions: SFNClient
) -> Pending | None:
    """Cancel a request that waits for approval; None where it does not wait for that.

    Raises
    ------
    AlreadyDecided
        It was approved and is not claimed yet, or refused and that is not published yet: until
        then its record knows nothing of it that could be cancelled.
    DependencyUnavailable
        DynamoDB or Step Functions did not answer; calling again is safe.
    """
    pending = approvals.get(request_id)
    if pending is not None and pending.state == State.WAITING:
        if approvals.cancel(pending):
            return _wake(pending, step_functions)
        # Somebody has decided meanwhile, or it is cancelled, and the answer to that was lost.
        pending = approvals.get(request_id)
    if pending is None:
        return None
    if pending.state == State.CANCELLED:
        return _wake(pending, step_functions)
    # Read after the approval: of one that is used up meanwhile, the record shows what came of it.
    if pending.is_ahead_of(records.get(request_id)):
        state = pending.state.lower()
        raise AlreadyDecided(f"Request {request_id} is {state}, and about to go on by that.")
    return None


def _check(pending: Pending, approval: Approval, *, one_per_role: bool) -> None:
    request_id, approver = pending.request_id, approval["approver"]
    if pending.state != State.WAITING or pending.is_over:
        state = "expired" if pending.state == State.WAITING else pending.state.lower()
        raise NotAwaited(f"The approval of request {request_id} is {state}.")
    earlier = [one["approver"] for one in pending.approvals]
    people = [pending.requester, *earlier] if pending.requester else earlier
    if approval["decision"] == Decision.APPROVE and is_one_of(
        approver, people, one_per_role=one_per_role
    ):
        raise ApproverIsRequester(f"{approver} asked for {request_id} or has approved it already.")


def _is_decided_so(pending: Pending, approval: Approval) -> bool:
    mine = (approval["approver"], approval["decision"])
    return any((one["approver"], one["decision"]) == mine for one in pending.approvals)


def _state_after(requester: str | None, made: list[Approval]) -> State:
    if made[-1]["decision"] == Decision.REFUSE:
        return State.REFUSED
    return State.APPROVED if len(made) >= approvals_needed(requester) else State.WAITING


def _wake(pending: Pending, step_functions: SFNClient) -> Pending:
    """Wake the execution. One that does not wait any more reads the decision by itself."""
    if pending.task_token:
        executions.answer_task(step_functions, pending.task_token, {})
    return pending
