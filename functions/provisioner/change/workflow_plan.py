"""Plans a change: what differs between a declaration and what KMS has."""

from collections.abc import Callable
from typing import TypedDict

from provisioner.approval.gate import Gate, Standing, seconds_to_wait
from provisioner.approval.gatekeeper import Gatekeeper
from provisioner.aws.client_types import KMSClient, TaggingClient
from provisioner.aws.records import Record, Removed
from provisioner.change.confirm import removed_key
from provisioner.change.last_use import read_last_uses
from provisioner.change.planning import ChangePlan, plan_of_change
from provisioner.change.work import WaveWork, waves, with_look_for_promotion
from provisioner.creation.claim import Decision, decide_change, is_change
from provisioner.creation.confirm import as_json
from provisioner.domain.change import Change, ObservedKey, ObservedSet, Wave
from provisioner.domain.key_states import MOVING_STATES, PENDING_DELETION_STATES
from provisioner.domain.plan import (
    KeyFacts,
    KeySetRequest,
    arn_in,
    is_decommissioned,
    names_by_region,
    regions,
)
from provisioner.domain.provenance import Provenance, Via
from provisioner.errors import ChangeRefused, Conflict, Problem
from provisioner.json_text import JsonObject
from provisioner.outcomes.failures import Failure, conflict_problems, failure_of
from provisioner.settings import Settings

_CHANGES_METADATA = ("description", "region", "keyState", "primaryRegion")
_PLANNED_PER_REGION = ("region", "keyState")


class Plan(TypedDict):
    """What ChangeKeySet does next.

    `decision` is CHANGE, NOTHING, REFUSED or ASK_FOR_APPROVAL; but with CHANGE the rest is empty,
    except for the `problems`, or `waitSeconds`: after these at the latest it is planned again.
    `provenance` is who asked and who decided, null where nobody was asked. With CHANGE, `failures`
    says why a revision that was claimed before cannot go on. `warnings` are for the outcome.
    `version` is the record's. `waves` is what has to
    be done, in order. `keys` are those of the set as KMS has them now. `removed` are keys that wait
    for their deletion already, by Region. `toConfirm` lists the Regions whose keys have to be read
    again at the end. `promoteTo` is the Region in which the primary key is to be in the end, and
    `promotionIn` lists those that have to agree on it.
    """

    decision: str
    problems: list[Problem]
    failures: list[Failure]
    warnings: list[Problem]
    version: str | None
    waves: list[WaveWork]
    primaryRegion: str | None
    primaryKeyArn: str | None
    keys: list[KeyFacts]
    keyMetadata: JsonObject | None
    removed: dict[str, Removed]
    toConfirm: list[str]
    promoteTo: str | None
    promotionIn: list[str]
    provenance: Provenance | None
    waitSeconds: int


def plan_key_set(
    request: KeySetRequest,
    execution_arn: str,
    *,
    via: Via | None,
    gatekeeper: Gatekeeper,
    kms_for: Callable[[str], KMSClient],
    tagging_for: Callable[[str], TaggingClient],
    settings: Settings,
) -> Plan:
    """Plan what brings a key set to a declaration, or say why there is nothing to do.

    Raises
    ------
    RequestBeingFinished
        A change failed and is about to say so: plan again in a moment.
    PromotionUnderWay
        KMS does not show yet which key is the primary key.
    KmsError, DependencyUnavailable
        A call failed.
    """
    record = gatekeeper.records.get(request["requestId"])
    if record is None or not is_change(record, request):
        return empty_plan("NOTHING")
    try:
        if record.execution_arn != execution_arn:
            decision = decide_change(record, gatekeeper.step_functions, request).decision
            if decision != Decision.CHANGE:
                return empty_plan("NOTHING")
        plan = plan_of_change(
            record, request, settings=settings, kms_for=kms_for, tagging_for=tagging_for
        )
        if plan.problems and not plan.is_resumed:
            return empty_plan(Decision.REFUSED.value, plan.problems)
        # One that cannot go on ends, and does nothing that needs approval.
        changes = None if plan.problems else plan.changes
        gate = gatekeeper.pass_change(
            request,
            execution_arn,
            changes,
            record=record,
            last_uses=lambda: read_last_uses(plan.changes, plan.observed, kms_for).known,
            via=via,
        )
    except Conflict as conflict:
        return empty_plan(Decision.REFUSED.value, conflict_problems(conflict))
    if gate.standing != Standing.OPEN:
        return closed(gate)
    return {
        **plan_with(plan, waves(plan.changes, plan.observed, settings.partition), record, request),
        "failures": _refused(plan.problems, plan.observed["primaryRegion"]),
        "provenance": gate.provenance_of(via),
    }


def plan_with(
    plan: ChangePlan, planned: list[WaveWork], record: Record, request: KeySetRequest
) -> Plan:
    """Return what the state machine needs to carry waves out, one after the other.

    Parameters
    ----------
    request
        What the key set is declared as in the end.
    """
    observed = plan.observed
    promotes = any(one["wave"] == Wave.PROMOTE for one in planned)
    if record.promotion and not promotes:
        # An earlier try announced one, which is looked for before anything needs the primary key.
        planned = with_look_for_promotion(planned)
    return {
        **empty_plan(Decision.CHANGE.value),
        "version": plan.version,
        "warnings": plan.lasting,
        "waves": [] if plan.problems else planned,
        "primaryRegion": observed["primaryRegion"],
        "primaryKeyArn": arn_in(observed["primaryRegion"], str(record.key_arn)),
        "keys": _facts(request, observed),
        "keyMetadata": as_json(plan.metadata),
        "removed": {
            **_still_removed(record, request),
            **_removed(record.applied or request, request, observed),
        },
        "toConfirm": _to_confirm(request, plan.changes, observed),
        "promoteTo": request["primaryRegion"] if promotes else observed["primaryRegion"],
        "promotionIn": _members_then(plan.changes, observed),
    }


def closed(gate: Gate) -> Plan:
    """Return what an execution does where the gate is not open."""
    if gate.standing == Standing.TAKEN or gate.pending is None:
        return empty_plan("NOTHING")
    if gate.standing == Standing.REFUSED:
        refused = empty_plan(Decision.REFUSED.value, [*gate.problems])
        return {**refused, "provenance": gate.pending.provenance}
    waiting = empty_plan(Decision.ASK_FOR_APPROVAL.value)
    return {**waiting, "waitSeconds": seconds_to_wait(gate.pending)}


def empty_plan(decision: str, problems: list[Problem] | None = None) -> Plan:
    """Return a plan in which nothing is to be done."""
    return {
        "decision": decision,
        "problems": problems or [],
        "failures": [],
        "warnings": [],
        "version": None,
        "waves": [],
        "primaryKeyArn": None,
        "keys": [],
        "keyMetadata": None,
        "primaryRegion": None,
        "removed": {},
        "toConfirm": [],
        "promoteTo": None,
        "promotionIn": [],
        "provenance": None,
        "waitSeconds": 0,
    }


def _refused(problems: list[Problem], region: str) -> list[Failure]:
    """Return the failure of a revision that was claimed before, whose words do not fit any more."""
    if not problems:
        return []
    error = ChangeRefused(" ".join(problem["message"] for problem in problems))
    return [failure_of("PlanChange", region, type(error).__name__, str(error))]


def _facts(request: KeySetRequest, observed: ObservedSet) -> list[KeyFacts]:
    """Return the keys of the declared Regions that are there, each with its alias if it has it."""
    names, found = names_by_region(request), list[KeyFacts]()
    for region in regions(request):
        if key := observed["keys"].get(region):
            alias = _alias(key, names[region]["aliases"])
            facts: KeyFacts = {
                "region": region,
                "arn": key["arn"],
                "alias": alias,
                "keyState": key["keyState"],
            }
            if "validTo" in key:
                facts["validTo"] = key["validTo"]
            found.append(facts)
    return found


def _alias(key: ObservedKey, names: list[str]) -> str | None:
    return next((name for name in names if key["aliases"].get(name) == key["arn"]), None)


def _still_removed(record: Record, request: KeySetRequest) -> dict[str, Removed]:
    """Return the keys that earlier revisions have removed and this one does not keep."""
    kept = [] if is_decommissioned(request) else regions(request)
    return {region: key for region, key in record.removed.items() if region not in kept}


def _removed(
    applied: KeySetRequest, request: KeySetRequest, observed: ObservedSet
) -> dict[str, Removed]:
    """Return the keys that wait for their deletion already, and are to do so."""
    kept = [] if is_decommissioned(request) else regions(request)
    return {
        region: removed_key(request, key["arn"], key["deletionDate"])
        for region in regions(applied)
        if region not in kept
        and (key := observed["keys"].get(region))
        and key["keyState"] in PENDING_DELETION_STATES
    }


def _to_confirm(request: KeySetRequest, changes: list[Change], observed: ObservedSet) -> list[str]:
    """List the Regions whose keys are read at the end: a state, a role or the list of replicas.

    What KMS answers with success needs no reading. A primary key's metadata is part of the outcome.
    """
    found = {c["region"] for c in changes if c["property"] in _PLANNED_PER_REGION}
    if any(c["property"] == "primaryRegion" for c in changes):
        found |= {*_members_then(changes, observed)} & {*regions(request)}
    home = observed["primaryRegion"]
    changed = {c["region"] for c in changes if c["property"] in _CHANGES_METADATA}
    in_transition = {r for r, k in observed["keys"].items() if k["keyState"] in MOVING_STATES}
    found |= in_transition & {*regions(request)}
    if home in changed or found:
        found.add(request["primaryRegion"] if not is_decommissioned(request) else home)
    return sorted(found)


def _members_then(changes: list[Change], observed: ObservedSet) -> list[str]:
    """List the Regions that have a key of the set which stays, those that are added included."""
    kept = {
        region
        for region, key in observed["keys"].items()
        if key["keyState"] not in PENDING_DELETION_STATES
    }
    more = {c["region"] for c in changes if c["call"] in ("ReplicateKey", "CancelKeyDeletion")}
    return sorted(kept | more)
