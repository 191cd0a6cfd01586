"""What an execution, and the API before it starts one, asks before it claims a request."""

from dataclasses import dataclass, replace

from provisioner.approval.gate import Asked, Gate, Standing, check_gate, start_waiting
from provisioner.aws.approvals import Approvals
from provisioner.aws.client_types import SFNClient
from provisioner.aws.records import Record, Records
from provisioner.creation.claim import check_claim, is_change, is_left_to_do
from provisioner.domain.approval import (
    Planned,
    content_of,
    is_needed,
    planned_keys,
    planned_operation,
    shown,
)
from provisioner.domain.change import Change
from provisioner.domain.operation import Operation
from provisioner.domain.plan import KeySetRequest, fingerprint
from provisioner.domain.provenance import Via
from provisioner.errors import Cancelled, DependencyUnavailable
from provisioner.settings import ApprovalSettings


@dataclass(frozen=True)
class Gatekeeper:
    """What the gate works with.

    `requester` is the ARN of the API's caller, None for everybody else. `wait_for_unstarted` treats
    an execution that was not started yet as one that runs.
    """

    approvals: Approvals
    records: Records
    step_functions: SFNClient
    settings: ApprovalSettings
    requester: str | None = None
    wait_for_unstarted: bool = False

    def pass_request(
        self,
        request: KeySetRequest,
        execution_arn: str,
        *,
        via: Via | None = None,
        material_missing: bool = False,
    ) -> Gate:
        """Decide whether a request may be claimed, and write down what waits.

        A change is let through: its own gate knows what it does.

        Raises
        ------
        Conflict
            The request does not fit what is known of its ID, or other content waits under it.
        Cancelled
            The request was cancelled while it waited.
        DependencyUnavailable
            DynamoDB or Step Functions did not answer.
        """
        may_need = is_needed(self.settings.mode, via, ())
        if not may_need and self.approvals.get(request["requestId"]) is None:
            return Gate(Standing.OPEN)
        record = check_claim(self.records, self.step_functions, request)
        asked = Asked(
            request=request,
            content=content_of(request),
            execution_arn=execution_arn,
            is_needed=may_need
            and is_left_to_do(
                record,
                request,
                execution_arn,
                step_functions=self.step_functions,
                material_missing=material_missing,
            ),
            record=record,
        )
        if record is not None and is_change(record, request):
            gate = self._check(replace(asked, is_needed=False))
            return gate if gate.standing == Standing.TAKEN else Gate(Standing.OPEN)
        return self._pass(asked, planned_keys(request), via)

    def pass_change(
        self,
        request: KeySetRequest,
        execution_arn: str,
        changes: list[Change] | None,
        *,
        record: Record,
        via: Via | None = None,
    ) -> Gate:
        """Decide whether a planned change may be claimed, and write down what waits.

        Parameters
        ----------
        changes
            None where the change is only to be ended.

        Raises
        ------
        Conflict, Cancelled, DependencyUnavailable
            As in `pass_request`.
        """
        if changes is None:
            return Gate(Standing.OPEN)
        words = {change["confirm"] for change in changes if change["confirm"]}
        asked = Asked(
            request=request,
            content=content_of(request, changes),
            execution_arn=execution_arn,
            is_needed=is_needed(self.settings.mode, via, words),
            record=record,
        )
        return self._pass(asked, shown(changes), via)

    def pass_operation(
        self,
        request: KeySetRequest,
        operation: Operation,
        execution_arn: str,
        *,
        record: Record,
    ) -> Gate:
        """Decide whether an operation may be carried out, and write down what waits.

        What is approved is the operation on the key set as it is declared; what a repair takes may
        be more by the time that it is carried out.

        Raises
        ------
        Conflict, Cancelled, DependencyUnavailable
            As in `pass_request`.
        """
        asked = Asked(
            request=request,
            content={"request": fingerprint([request, operation]), "changes": []},
            execution_arn=execution_arn,
            is_needed=is_needed(self.settings.mode, None, operation["confirm"]),
            record=record,
            operation=operation,
        )
        return self._pass(asked, planned_operation(request, operation), None)

    def _check(self, asked: Asked) -> Gate:
        return check_gate(
            asked,
            approvals=self.approvals,
            step_functions=self.step_functions,
            wait_for_unstarted=self.wait_for_unstarted,
        )

    def _pass(self, asked: Asked, plan: list[Planned], via: Via | None) -> Gate:
        gate = self._check(asked)
        is_open = gate.standing == Standing.OPEN and gate.pending is None
        if is_open or gate.standing == Standing.TAKEN:
            return gate
        pending = start_waiting(
            asked,
            gate,
            plan=plan,
            via=via,
            requester=self.requester,
            window=self.settings.window,
            approvals=self.approvals,
        )
        if pending is None:
            # Somebody else was faster; what is there now decides.
            return self._pass(asked, plan, via)
        if gate.standing == Standing.CANCELLED:
            raise Cancelled(pending.request_id)
        if gate.pending is None:
            self._refuse_late_question(asked)
        return replace(gate, pending=pending)

    def _refuse_late_question(self, asked: Asked) -> None:
        """Take back a question about what another execution has done meanwhile.

        While that one ran, its own approval was there, and nothing could be written in its place.
        Once it is forgotten the record shows the outcome, so reading that now misses nothing.
        """
        request_id = asked.request["requestId"]
        if self.records.get(request_id) != asked.record:
            self.approvals.forget(request_id, asked.execution_arn)
            raise DependencyUnavailable(f"Request {request_id} has changed while it was read.")
