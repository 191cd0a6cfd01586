"""Plans an operation: what is to be done with a finished key set, in the waves of a change."""

from collections.abc import Callable
from dataclasses import replace

from provisioner.approval.gate import Standing
from provisioner.approval.gatekeeper import Gatekeeper
from provisioner.aws.client_types import KMSClient, TaggingClient
from provisioner.aws.operations import Operations
from provisioner.aws.records import Record
from provisioner.change.planning import ChangePlan, plan_of_change
from provisioner.change.work import WaveWork, waves
from provisioner.change.workflow_plan import Plan, closed, empty_plan, plan_with
from provisioner.creation.claim import Decision
from provisioner.domain.operation import Kind, Operation, is_for
from provisioner.domain.plan import KeySetRequest
from provisioner.domain.provenance import UNKNOWN, Provenance
from provisioner.errors import Conflict, OperationRefused, Problem
from provisioner.json_text import JsonObject
from provisioner.operation.adoption import plan_adoption
from provisioner.operation.claim import decide_operation
from provisioner.operation.releasing import release_work
from provisioner.operation.rotation_waves import rotation_waves
from provisioner.outcomes.failures import conflict_problems, failure_of
from provisioner.settings import Settings


def plan_operation(
    request: KeySetRequest,
    operation: Operation,
    execution_arn: str,
    *,
    operations: Operations,
    gatekeeper: Gatekeeper,
    kms_for: Callable[[str], KMSClient],
    tagging_for: Callable[[str], TaggingClient],
    settings: Settings,
) -> Plan:
    """Plan what an operation does, or say why there is nothing to do.

    Raises
    ------
    PromotionUnderWay
        KMS does not show yet which key is the primary key.
    KmsError, DependencyUnavailable
        A call failed.
    """
    record = gatekeeper.records.get(request["requestId"])
    if record is None:
        return empty_plan("NOTHING")
    is_held = is_for(record.operation, operation["operationId"])
    known = operations.get(record.request_id, operation["operationId"])
    try:
        decision = decide_operation(
            request,
            operation,
            execution_arn,
            record=record,
            known=known,
            step_functions=gatekeeper.step_functions,
        )
        if over := _over(decision, record):
            return over
        if operation["operation"] == Kind.ADOPT:
            plan, planned = plan_adoption(record, request, kms_for=kms_for, settings=settings)
        else:
            plan = plan_of_change(
                record,
                {**request, "confirm": operation["confirm"]},
                settings=settings,
                kms_for=kms_for,
                tagging_for=tagging_for,
                is_resumed=is_held,
            )
            plan, planned = _planned(operation, plan, record, request, settings)
        if plan.problems:
            return _refused(record, plan.problems, is_held=is_held)
        gate = gatekeeper.pass_operation(request, operation, execution_arn, record=record)
    except Conflict as conflict:
        return _refused(record, conflict_problems(conflict), is_held=is_held)
    if gate.standing != Standing.OPEN:
        return closed(gate)
    asked: Provenance = {**UNKNOWN, "requester": known.requester if known else None}
    return {
        **plan_with(plan, planned, record, request),
        "provenance": gate.provenance_of(None) or asked,
    }


def _over(decision: Decision, record: Record) -> Plan | None:
    """Return the plan where nothing is to be done; None where the operation is to be planned."""
    if decision != Decision.PROCEED:
        return empty_plan("NOTHING")
    is_ended = record.operation is not None and record.operation["ended"] is not None
    return _to_be_published(record) if is_ended else None


def _planned(
    operation: Operation,
    plan: ChangePlan,
    record: Record,
    request: KeySetRequest,
    settings: Settings,
) -> tuple[ChangePlan, list[WaveWork]]:
    """Return what an operation changes, and its waves.

    Parameters
    ----------
    plan
        What brings KMS back to the declaration; of the other operations nothing but what was read
        for it counts.

    Raises
    ------
    OperationRefused
        What KMS has does not allow the operation.
    """
    if operation["operation"] == Kind.REPAIR:
        _refuse_moved_primary(record, request["primaryRegion"], plan)
        return plan, waves(plan.changes, plan.observed, settings.partition)
    read_only = replace(plan, changes=[], problems=[], warnings=[])
    if operation["operation"] == Kind.RELEASE:
        work = release_work(plan.observed, request)
        return read_only, [{"wave": Kind.RELEASE.value, "work": work}] if work else []
    return read_only, rotation_waves(operation, record, request, plan.observed)


def _refuse_moved_primary(record: Record, home: str, plan: ChangePlan) -> None:
    """Refuse to repair a key set whose primary key was moved.

    Whoever has moved it may have had to, and the next revision says by its word whether it is to go
    back.

    Raises
    ------
    OperationRefused
        It was moved.
    """
    now = plan.observed["primaryRegion"]
    if now != home and plan.observed["keys"]:
        raise OperationRefused(
            f"The primary key of request {record.request_id} was moved from {home} to {now}. Send "
            f"revision {record.revision + 1}: with primaryRegion {now} and {home} as a replica it "
            f"stays there, with the word PROMOTE:{home} it moves back."
        )


def _refused(record: Record, problems: list[Problem], *, is_held: bool) -> Plan:
    """Refuse an operation; one that an execution has claimed before is claimed again, and fails."""
    if not is_held:
        return empty_plan(Decision.REFUSED.value, problems)
    plan = _to_be_published(record)
    text = " ".join(problem["message"] for problem in problems)
    failure = failure_of("PlanChange", str(plan["primaryRegion"]), OperationRefused.__name__, text)
    return {**plan, "failures": [failure]}


def _to_be_published(record: Record) -> Plan:
    """Return the plan of an operation of which nothing is left to do but to publish its end."""
    key = record.key
    metadata: JsonObject | None = key["keyMetadata"] if key else None
    return {
        **empty_plan(Decision.CHANGE.value),
        "version": record.version,
        "primaryRegion": key["primary"]["region"] if key else None,
        "primaryKeyArn": record.key_arn,
        "keys": [key["primary"], *key["replicas"]] if key else [],
        "keyMetadata": metadata,
        "removed": record.removed,
    }
