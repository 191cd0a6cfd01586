"""The dead-letter queues of EventBridge's targets, for events that a target cannot get.

An event may have 1 MiB, and Step Functions takes 256 KiB of it. The emulator drops what it cannot
deliver; here it goes to the queue of the target's DeadLetterConfig, with the attributes that say
why. A target gets JSON that is compact and in UTF-8, where the emulator writes escapes.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
"""

import json
import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ministack.core.arn import parse_arn
from ministack.services import eventbridge, sqs

from local.emulator.sizes import MAX_DATA_BYTES, MAX_EVENT_BYTES, size, text

_logger = logging.getLogger(__name__)

_LIMITS = {
    "_dispatch_to_stepfunctions": MAX_DATA_BYTES,
    "_dispatch_to_lambda": MAX_EVENT_BYTES,
    "_dispatch_to_sqs": MAX_EVENT_BYTES,
}


@dataclass(frozen=True)
class _Delivery:
    """An event on its way to a target."""

    target: dict[str, Any]
    event: dict[str, Any]
    rule: dict[str, Any]


_delivery: ContextVar[_Delivery] = ContextVar("delivery")
_emulator_dispatch_to_sqs = eventbridge._dispatch_to_sqs


def install() -> None:
    """Put our functions in the place of the emulator's; after `local.emulator.service_roles`."""
    for name, most in _LIMITS.items():
        setattr(eventbridge, name, _limited(getattr(eventbridge, name), most))
    invoke_target = eventbridge._invoke_target

    def invoke_noted_target(
        target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], *view: Any
    ) -> None:
        noted = _delivery.set(_Delivery(target, event, rule))
        try:
            invoke_target(target, event, rule, *view)
        finally:
            _delivery.reset(noted)

    eventbridge._invoke_target = invoke_noted_target


def current_target() -> dict[str, Any]:
    """Return the target that an event is on its way to."""
    return _delivery.get().target


def send(code: str, message: str) -> None:
    """Send the event that is on its way to the dead-letter queue of its target."""
    _send_dead_letter(_delivery.get(), code, message)


def _limited(dispatch: Callable[..., None], most: int) -> Callable[..., None]:
    def limited(target: Any, payload: str, *details: Any) -> None:
        payload = _compact(payload)
        if (given := size(payload)) > most:
            _send_dead_letter(
                _delivery.get(),
                "ERROR_FROM_TARGET",
                f"The input has {given} bytes, and the target takes {most}.",
            )
        else:
            dispatch(target, payload, *details)

    return limited


def _compact(payload: str) -> str:
    """Write JSON as a target gets it; a target's constant Input need not be JSON."""
    try:
        return text(json.loads(payload))
    except ValueError:
        return payload


def _send_dead_letter(delivery: _Delivery, code: str, message: str) -> None:
    arn = (delivery.target.get("DeadLetterConfig") or {}).get("Arn")
    queue = sqs._queue_by_arn(arn) if arn else None
    if queue is None:
        _logger.warning("EventBridge: %s was not delivered: %s", delivery.event["EventId"], message)
        return
    event = eventbridge._pattern_event_view(delivery.event).event_with_detail()
    _emulator_dispatch_to_sqs(parse_arn(arn), text(event))
    attributes = {
        "RULE_ARN": delivery.rule["Arn"],
        "TARGET_ARN": delivery.target["Arn"],
        "ERROR_CODE": code,
        "ERROR_MESSAGE": message,
    }
    queue["messages"][-1]["message_attributes"] = {
        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
    }
