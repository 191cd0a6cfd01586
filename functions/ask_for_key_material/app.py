"""Ask for key material; the state machine waits for the answer, this function does not."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.domain.plan import KeyFacts, KeyKind, key_facts
from provisioner.material.request import Need, Question, ask_for_material
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "events")


class Payload(TypedDict):
    """What the state machine hands over; `primary` and `replicas` are the keys that exist."""

    taskToken: str
    question: Need
    kind: KeyKind
    primary: KeyFacts | None
    replicas: list[KeyFacts]


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> None:
    """Ask with what exists of the key set."""
    key = key_facts(event["kind"], event["primary"], event["replicas"])
    question: Question = {**event["question"], "key": key}
    logger.append_keys(request_id=question["requestId"])
    ask_for_material(
        question,
        event["taskToken"],
        records=Records(client("dynamodb"), settings().requests_table),
        events=client("events"),
        bus=settings().event_bus,
    )
    logger.info("key material is asked for", regions=[m["region"] for m in question["materials"]])
