"""Second step: make this execution the only one that works on the request."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.creation.claim import Decision, claim, known_keys
from provisioner.domain.plan import KeyFacts, KeySetRequest, RegionNames
from provisioner.errors import Conflict, Problem, RequestRejected
from provisioner.json_text import JsonObject
from provisioner.outcomes.failures import conflict_problems
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "stepfunctions")


class Payload(TypedDict):
    """What the state machine hands over."""

    request: KeySetRequest
    executionArn: str
    materialMissing: bool


class Claimed(TypedDict):
    """What the execution has to do, and what is known of the key set.

    `primary` is the key that an earlier run recorded, its state and alias not read yet, or null.
    `everCreated` says that the key set was finished once: then it is never rolled back, and
    `primary`, `replicas` and `keyMetadata` are what was published of it.
    `superseded` is what earlier contents of the request asked for and this one does not, by Region.
    CHANGE claims nothing: the key set is finished, and another state machine changes it.
    `problems` says why the request is refused, where it does not fit what is known of its ID.
    """

    decision: Decision
    primary: KeyFacts | None
    replicas: list[KeyFacts]
    keyMetadata: JsonObject | None
    everCreated: bool
    superseded: RegionNames
    problems: list[Problem]


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> Claimed:
    """Claim the request for the execution and return what that leaves to do."""
    request, execution_arn = event["request"], event["executionArn"]
    logger.append_keys(request_id=request["requestId"])
    records = Records(client("dynamodb"), settings().requests_table)
    try:
        claimed = claim(
            records,
            client("stepfunctions"),
            request,
            execution_arn,
            material_missing=event["materialMissing"],
        )
    except (Conflict, RequestRejected) as refusal:
        problems = conflict_problems(refusal) if isinstance(refusal, Conflict) else refusal.problems
        logger.info("claim refused", codes=[problem["code"] for problem in problems])
        return {
            "decision": Decision.REFUSED,
            "primary": None,
            "replicas": [],
            "keyMetadata": None,
            "everCreated": False,
            "superseded": {},
            "problems": problems,
        }
    record = claimed.record
    logger.info("claim decided", decision=claimed.decision, known_key=record.key_arn)
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
    }
