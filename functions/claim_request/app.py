"""Second step: make this execution the only one that works on the request."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.approval.gate import Gate, Standing, seconds_to_wait
from provisioner.approval.gatekeeper import Gatekeeper
from provisioner.aws.approvals import Approvals
from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.creation.claim import Claim, Decision, claim, known_keys
from provisioner.domain.plan import KeyFacts, KeySetRequest, RegionNames
from provisioner.domain.provenance import Provenance, Via
from provisioner.errors import Conflict, Problem, RequestRejected
from provisioner.json_text import JsonObject
from provisioner.outcomes.failures import conflict_problems
from provisioner.settings import approval_settings, settings
from provisioner.telemetry import logger

prepare("dynamodb", "stepfunctions")


_DONE_BY_ANOTHER = (Decision.ALREADY_CREATED, Decision.ANOTHER_RUN_IS_ACTIVE)


class Payload(TypedDict):
    """What the state machine hands over; `via` is the webhook through which the request came."""

    request: KeySetRequest
    executionArn: str
    materialMissing: bool
    via: Via | None


class Claimed(TypedDict):
    """What the execution has to do, and what is known of the key set.

    `primary` is the key that an earlier run recorded, its state and alias not read yet, or null.
    `everCreated` says that the key set was finished once: then it is never rolled back, and
    `primary`, `replicas` and `keyMetadata` are what was published of it.
    `superseded` is what earlier contents of the request asked for and this one does not, by Region.
    CHANGE claims nothing: the key set is finished, and another state machine changes it.
    ASK_FOR_APPROVAL claims nothing either: after `waitSeconds` at the latest this is decided again.
    `problems` says why the request is refused, where it does not fit what is known of its ID, or
    its approvers refuse it. `provenance` is who asked and who decided, null where nobody was asked.
    """

    decision: Decision
    primary: KeyFacts | None
    replicas: list[KeyFacts]
    keyMetadata: JsonObject | None
    everCreated: bool
    superseded: RegionNames
    problems: list[Problem]
    provenance: Provenance | None
    waitSeconds: int


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> Claimed:
    """Claim the request for the execution, if it may go on, and return what that leaves to do."""
    request, execution_arn = event["request"], event["executionArn"]
    logger.append_keys(request_id=request["requestId"])
    dynamodb, step_functions = client("dynamodb"), client("stepfunctions")
    records = Records(dynamodb, settings().requests_table)
    gatekeeper = Gatekeeper(
        Approvals(dynamodb, settings().requests_table),
        records,
        step_functions,
        approval_settings(),
    )
    missing, via = event["materialMissing"], event["via"]
    try:
        gate = gatekeeper.pass_request(request, execution_arn, via=via, material_missing=missing)
        if gate.standing != Standing.OPEN:
            return _unclaimed(gate)
        claimed = claim(
            records,
            step_functions,
            request,
            execution_arn,
            material_missing=missing,
            provenance=gate.provenance_of(via),
        )
    except (Conflict, RequestRejected) as refusal:
        problems = conflict_problems(refusal) if isinstance(refusal, Conflict) else refusal.problems
        logger.info("claim refused", codes=[problem["code"] for problem in problems])
        return _nothing(Decision.REFUSED, problems)
    if gate.pending is not None and claimed.decision in _DONE_BY_ANOTHER:
        gatekeeper.approvals.forget(request["requestId"], execution_arn)
    logger.info("claim decided", decision=claimed.decision, known_key=claimed.record.key_arn)
    return _claimed(claimed, request)


def _claimed(claimed: Claim, request: KeySetRequest) -> Claimed:
    record = claimed.record
    key = record.key if record.ever_created else None
    keys = known_keys(record, request)
    return {
        "decision": claimed.decision,
        "primary": keys[0] if keys else None,
        "replicas": keys[1:] if record.ever_created else [],
        "keyMetadata": key["keyMetadata"] if key else None,
        "everCreated": record.ever_created,
        "superseded": record.superseded,
        "problems": [],
        "provenance": None,
        "waitSeconds": 0,
    }


def _unclaimed(gate: Gate) -> Claimed:
    """Return what the execution does where the gate is not open."""
    logger.info("not to be claimed yet", standing=gate.standing)
    if gate.standing == Standing.TAKEN or gate.pending is None:
        return _nothing(Decision.ANOTHER_RUN_IS_ACTIVE)
    if gate.standing == Standing.REFUSED:
        refused = _nothing(Decision.REFUSED, [*gate.problems])
        return {**refused, "provenance": gate.pending.provenance}
    return {**_nothing(Decision.ASK_FOR_APPROVAL), "waitSeconds": seconds_to_wait(gate.pending)}


def _nothing(decision: Decision, problems: list[Problem] | None = None) -> Claimed:
    return {
        "decision": decision,
        "primary": None,
        "replicas": [],
        "keyMetadata": None,
        "everCreated": False,
        "superseded": {},
        "problems": problems or [],
        "provenance": None,
        "waitSeconds": 0,
    }
