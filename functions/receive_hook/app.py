"""The door for ticket systems: check who delivers, and hand on what is asked for.

No line of the log has a header or a body: either may hold a secret.
"""

import os
from collections.abc import Mapping
from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner import json_text
from provisioner.aws.clients import client, prepare
from provisioner.aws.event_bus import put_event
from provisioner.aws.secrets import Secret
from provisioner.errors import (
    DependencyUnavailable,
    EventNotPublished,
    Problem,
    RequestRejected,
    new_problem,
)
from provisioner.hooks.entries import Entries, read_entries
from provisioner.hooks.receiving import (
    HandedOn,
    NotProved,
    Taken,
    TooLarge,
    delivery_of,
    proved,
    take,
)
from provisioner.json_text import JsonObject
from provisioner.outcomes.failures import error_code
from provisioner.settings import settings
from provisioner.telemetry import count_broken_hooks, logger

prepare("events", "secretsmanager")

REQUESTED = "Multi-Region Key Requested"
SOURCE = "mrk.hooks"


class Answer(TypedDict):
    """What API Gateway passes on to the caller."""

    statusCode: int
    headers: dict[str, str]
    body: str


def _read(text: str) -> Entries:
    entries = read_entries(text)
    for source, reason in entries.broken.items():
        logger.error("an entry of the webhooks' secret is broken", source=source, reason=reason)
    if entries.broken:
        count_broken_hooks(len(entries.broken))
    return entries


_entries = Secret(client("secretsmanager"), os.environ["HOOKS_SECRET"], _read)


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: JsonObject, _context: LambdaContext) -> Answer:
    """Answer one delivery that came through API Gateway's Lambda proxy integration."""
    source = (event.get("pathParameters") or {}).get("source") or ""
    try:
        delivery = delivery_of(event)
        entry = proved(_entries.value(), source, delivery)
        logger.append_keys(source=source)
        taken = take(entry, source, delivery.body, settings())
        return _hand_on(taken) if taken else _nothing_asked()
    except TooLarge:
        return _problem(413, "TOO_LARGE", "A delivery has at most 262,144 bytes.")
    except NotProved as error:
        logger.warning("delivery refused", reason=str(error))
        return _problem(401, "NOT_AUTHENTICATED", "The delivery is not authenticated.")
    except RequestRejected as rejection:
        logger.info("delivery is not JSON", codes=_codes(rejection.problems))
        return _answer(400, {"errors": rejection.problems})
    except (DependencyUnavailable, EventNotPublished) as error:
        logger.exception("a service that webhooks need failed")
        return _problem(503, error_code(type(error).__name__), "Deliver it again in a moment.")


def _hand_on(taken: Taken) -> Answer:
    if taken.request_id:
        logger.append_keys(request_id=taken.request_id)
    # A refusal is published by the workflow, so that the ticket hears of it too.
    put_event(client("events"), settings().event_bus, REQUESTED, taken.detail, source=SOURCE)
    if taken.problems:
        logger.info("delivery asks for what is refused", codes=_codes(taken.problems))
        return _answer(400, {"errors": taken.problems})
    logger.info("delivery handed on")
    body: HandedOn = {"requestId": taken.request_id}
    return _answer(202, body)


def _nothing_asked() -> Answer:
    logger.info("delivery asks for nothing")
    return {"statusCode": 204, "headers": {}, "body": ""}


def _problem(status: int, code: str, text: str) -> Answer:
    return _answer(status, {"errors": [new_problem("", code, text)]})


def _answer(status: int, body: Mapping[str, object]) -> Answer:
    headers = {"Content-Type": "application/json"}
    return {"statusCode": status, "headers": headers, "body": json_text.text(body)}


def _codes(problems: list[Problem]) -> list[str]:
    return [problem["code"] for problem in problems]
