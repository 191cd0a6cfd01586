"""Ask for key material; the state machine waits for the answer, this function does not."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.domain.plan import key_facts
from provisioner.material.request import Need, Question, ask_for_material
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "events")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Take `{taskToken, question, kind, primary, replicas}`; return nothing.

    The question is asked with what exists of the key set.
    """
    need: Need = event["question"]
    key = key_facts(event["kind"], event["primary"], event["replicas"])
    question: Question = {**need, "key": key}
    logger.append_keys(request_id=question["requestId"])
    ask_for_material(
        question,
        event["taskToken"],
        records=Records(client("dynamodb"), settings().requests_table),
        events=client("events"),
        bus=settings().event_bus,
    )
    logger.info("key material is asked for", regions=[m["region"] for m in question["materials"]])
