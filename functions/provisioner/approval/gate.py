"""Whether a request may go on, has to wait for approval, or was refused by its approvers.

Whoever is about to claim a request asks here first: an execution, and the API before it starts one.
What the table says of the approval decides; that an execution was woken means nothing.
One approval is for one run. A run that died is taken over with its approval.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from provisioner.aws import executions
from provisioner.aws.approvals import Approvals, Pending, State
from provisioner.aws.client_types import SFNClient
from provisioner.aws.executions import Progress
from provisioner.aws.records import Record
from provisioner.clock import now
from provisioner.domain.approval import Content, Planned, covers, hash_of
from provisioner.domain.operation import Operation, again_of
from provisioner.domain.plan import KeySetRequest, content_hash, revision_of
from provisioner.domain.provenance import UNKNOWN, Provenance, Via
from provisioner.errors import Problem, RequestConflict, new_problem

LOOK_AGAIN_SECONDS = 3_600
"""After this an execution that waits reads the item, in case what should wake it was lost."""


class Standing(StrEnum):
    """What an execution does next."""

    OPEN = "OPEN"
    WAIT = "WAIT"
    TAKEN = "TAKEN"
    """Another execution waits for the approval of the same request."""
    REFUSED = "REFUSED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True)
class Gate:
    """The decision, and what there is of an approval.

    `pending` is what waits or was decided, None where no approval is needed, or none was asked for
    yet. `problems` says why the request is refused. `replaces` is what is there and counts no more:
    only in its place may approval be asked for.
    """

    standing: Standing
    pending: Pending | None = None
    problems: tuple[Problem, ...] = ()
    replaces: Pending | None = None

    def provenance_of(self, via: Via | None) -> Provenance | None:
        """Return who asked and who decided; None where nothing is known of that here."""
        if self.pending is not None:
            return self.pending.provenance
        return {**UNKNOWN, "via": via} if via else None


@dataclass(frozen=True)
class Asked:
    """What is about to be done, and by whom.

    `is_needed` says whether that needs approval at all. `record` is the request's, if it has one.
    `operation` is the one that is asked for, None for the request itself.
    """

    request: KeySetRequest
    content: Content
    execution_arn: str
    is_needed: bool
    record: Record | None
    operation: Operation | None = None


def check_gate(
    asked: Asked,
    *,
    approvals: Approvals,
    step_functions: SFNClient,
    wait_for_unstarted: bool = False,
) -> Gate:
    """Decide whether a request may go on; nothing is written.

    Parameters
    ----------
    wait_for_unstarted
        Treat an execution that was not started yet as one that runs.

    Raises
    ------
    RequestConflict
        Other content waits for approval under the same ID.
    DependencyUnavailable
        DynamoDB or Step Functions did not answer.
    """
    pending = approvals.get(asked.request["requestId"])
    if pending is None or _is_used_up(pending, asked.record):
        return _undecided(asked, pending)
    if pending.execution_arn != asked.execution_arn:
        if _runs(pending, step_functions, wait_for_unstarted=wait_for_unstarted):
            return _left_to(pending, asked)
        if not _goes_on_with(pending, asked):
            return _undecided(asked, pending)
    return _decided(pending, asked)


def _undecided(asked: Asked, replaces: Pending | None) -> Gate:
    return Gate(Standing.WAIT if asked.is_needed else Standing.OPEN, replaces=replaces)


def _decided(pending: Pending, asked: Asked) -> Gate:
    """Return what an approval says that this execution has waited for, or goes on with."""
    if pending.state == State.CANCELLED:
        return Gate(Standing.CANCELLED, pending)
    if pending.state == State.REFUSED:
        return Gate(Standing.REFUSED, pending, (_refused(pending),))
    if not covers(pending.content, asked.content):
        return Gate(Standing.WAIT, replaces=pending)
    if pending.state == State.APPROVED:
        return Gate(Standing.OPEN, pending)
    if pending.is_over:
        return Gate(Standing.REFUSED, pending, (_expired(pending),))
    return Gate(Standing.WAIT, pending)


def start_waiting(
    asked: Asked,
    gate: Gate,
    *,
    plan: list[Planned],
    via: Via | None,
    requester: str | None,
    window: timedelta,
    approvals: Approvals,
) -> Pending | None:
    """Write down what has to be approved, unless that is there already.

    Returns
    -------
    Pending or None
        None where somebody else wrote something else meanwhile: decide again.
    """
    if gate.pending is not None and gate.pending.execution_arn == asked.execution_arn:
        return gate.pending
    if gate.pending is not None:
        # What a run that died has asked for counts for the one that goes on.
        taken = replace(gate.pending, execution_arn=asked.execution_arn)
        return taken if approvals.ask(taken, seen=gate.pending) else None
    # Read once more, it could be what another execution has asked meanwhile, and somebody decided.
    seen = gate.replaces
    at = now()
    kept = seen.requester if seen and seen.execution_arn == asked.execution_arn else None
    pending = Pending(
        request_id=asked.request["requestId"],
        request=asked.request,
        content=asked.content,
        execution_arn=asked.execution_arn,
        requester=requester or kept,
        via=via,
        plan=plan,
        asked_at=at.isoformat(),
        until=(at + window).isoformat(),
        approvals=[],
        state=State.WAITING,
        operation=asked.operation,
    )
    return pending if approvals.ask(pending, seen=seen) else None


def seconds_to_wait(pending: Pending) -> int:
    """Return after how many seconds an execution reads the item again."""
    left = (datetime.fromisoformat(pending.until) - now()).total_seconds()
    return max(1, min(LOOK_AGAIN_SECONDS, int(left) + 1))


def _is_used_up(pending: Pending, record: Record | None) -> bool:
    """Whether the run that this was for has ended, and died before it could forget it."""
    return record is not None and record.published and record.execution_arn == pending.execution_arn


def _runs(pending: Pending, step_functions: SFNClient, *, wait_for_unstarted: bool) -> bool:
    progress = executions.progress(step_functions, pending.execution_arn)
    is_about_to_start = wait_for_unstarted and progress == Progress.NOT_STARTED
    return progress == Progress.RUNNING or is_about_to_start


def _goes_on_with(pending: Pending, asked: Asked) -> bool:
    """Whether an execution takes over what one that died has waited for.

    A refusal that was not published yet is taken over by the successor alone: whoever sends a
    request again asks anew.
    """
    machine = executions.machine_of(pending.execution_arn)
    successor = executions.successor_arn(machine, pending.request_id, pending.execution_arn)
    is_successor = asked.execution_arn == successor
    is_undecided = pending.state in (State.WAITING, State.APPROVED) and not pending.is_over
    return covers(pending.content, asked.content) and (is_successor or is_undecided)


def _left_to(pending: Pending, asked: Asked) -> Gate:
    is_same = content_hash(pending.request) == content_hash(asked.request)
    is_same = is_same and pending.operation == asked.operation
    if is_same and revision_of(pending.request) == revision_of(asked.request):
        return Gate(Standing.TAKEN, pending)
    name = pending.request_id
    if held := pending.operation:
        raise RequestConflict(
            f"{held['operation']} {held['operationId']} of request {name} waits for approval. Wait "
            f"for its outcome, or cancel it with DELETE /keys/{name}, and ask again then."
        )
    raise RequestConflict(
        f"Request {name} waits for approval with other content (revision "
        f"{revision_of(pending.request)}, content hash {hash_of(pending.content)}). Wait for its "
        f"outcome, or cancel it with DELETE /keys/{name}, and send this request then."
    )


def _refused(pending: Pending) -> Problem:
    last = pending.approvals[-1]
    why = f": {last['comment']}" if last["comment"] else ""
    text = (
        f"{last['approver']} refused it{why}. Nothing was called in KMS to change anything. Once "
        f"that is settled, {_again(pending)}; it then asks for approval anew."
    )
    return new_problem("requestId", "APPROVAL_REFUSED", text)


def _expired(pending: Pending) -> Problem:
    again = _again(pending)
    text = (
        f"Nobody approved it in time: it waited from {pending.asked_at} until {pending.until}. "
        f"Nothing was called in KMS to change anything. {again[0].upper()}{again[1:]}, and have "
        f"it approved with POST /keys/{pending.request_id}/approval."
    )
    return new_problem("requestId", "APPROVAL_EXPIRED", text)


def _again(pending: Pending) -> str:
    if pending.operation is None:
        return "send the request again"
    return again_of(pending.operation["operation"])
