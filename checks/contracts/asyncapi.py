"""The AsyncAPI document of the events on the stack's bus.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks.contracts.openapi import VERSION
from checks.contracts.schemas import PLACE, Schema, schemas_for
from provisioner.approval import asking
from provisioner.aws.event_bus import SOURCE
from provisioner.aws.records import Status
from provisioner.domain.operation import Ended
from provisioner.material import request, response
from provisioner.operation import publishing
from provisioner.outcomes import findings, outcome
from provisioner.upkeep import looking

REQUESTED = "Multi-Region Key Requested"
MATERIAL_PROVIDED = "Multi-Region Key Material Provided"


@dataclass(frozen=True)
class Event:
    """An event with one detail type. `details` are the schemas that its detail can have."""

    details: tuple[str, ...]
    summary: str


RECEIVED = {
    REQUESTED: Event(("Request",), "A key set is requested, or its next revision."),
    MATERIAL_PROVIDED: Event(("MaterialAnswer",), "Key material is handed over, wrapped."),
}
"""What the stack takes from anybody who may put events on its bus."""

_OUTCOMES = outcome.DETAIL_TYPES
_OPERATIONS = publishing.DETAIL_TYPES

SENT = {
    _OUTCOMES[Status.CREATED]: Event(("Outcome",), "Every key exists as requested."),
    _OUTCOMES[Status.REJECTED]: Event(("Refusal",), "A request is refused; nothing was done."),
    _OUTCOMES[Status.FAILED]: Event(
        ("Outcome", "Refusal"), "A request stopped part-way: what exists, and why."
    ),
    _OUTCOMES[Status.UPDATED]: Event(("Outcome",), "A key set is as its new revision says."),
    _OUTCOMES[Status.UPDATE_FAILED]: Event(("Outcome",), "A change stopped part-way."),
    _OUTCOMES[Status.DECOMMISSIONED]: Event(("Outcome",), "Every key waits for its deletion."),
    _OPERATIONS[Ended.FINISHED]: Event(("OperationOutcome",), "An operation is finished."),
    _OPERATIONS[Ended.FAILED]: Event(("OperationOutcome",), "An operation failed."),
    asking.DETAIL_TYPE: Event(("ApprovalQuestion",), "Somebody has to approve a request."),
    request.DETAIL_TYPE: Event(("MaterialQuestion",), "Key material is to be handed over."),
    response.REFUSAL_DETAIL_TYPE: Event(
        ("MaterialRefusal",), "An answer with key material is refused."
    ),
    findings.DETAIL_TYPE: Event(("Finding",), "Something is not as it should be."),
    looking.DETAIL_TYPE: Event(("Drift",), "A key is not as declared."),
}
"""What the stack publishes."""


def asyncapi() -> Schema:
    """Return the document. A message's payload is the whole event, as EventBridge delivers it."""
    messages = {
        **{_name(kind): _message(kind, event) for kind, event in RECEIVED.items()},
        **{_name(kind): _message(kind, event, SOURCE) for kind, event in SENT.items()},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Events of multi-Region key sets",
            "version": VERSION,
            "description": (
                "An event is sent again whenever it is not known to have arrived, and has the "
                "same outcomeId then."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "bus": {
                "address": "{EventBusName}",
                "description": "The stack's EventBridge bus.",
                "parameters": {"EventBusName": {"description": "The stack's output of this name."}},
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "takeRequests": _operation("receive", [*RECEIVED]),
            "publish": _operation("send", [*SENT]),
        },
        "components": {"messages": messages, "schemas": schemas_for(messages)},
    }


def _name(detail_type: str) -> str:
    return detail_type.replace(" ", "").replace("-", "")


def _operation(action: str, kinds: list[str]) -> Schema:
    messages = [{"$ref": f"#/channels/bus/messages/{_name(kind)}"} for kind in kinds]
    return {"action": action, "channel": {"$ref": "#/channels/bus"}, "messages": messages}


def _message(kind: str, event: Event, source: str | None = None) -> Schema:
    details = [{"$ref": f"{PLACE}{name}"} for name in event.details]
    # https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
    properties: Schema = {
        "version": {"type": "string"},
        "id": {"type": "string"},
        "detail-type": {"const": kind},
        "source": {"const": source} if source else {"type": "string"},
        "account": {"type": "string"},
        "time": {"type": "string", "format": "date-time"},
        "region": {"type": "string"},
        "resources": {"type": "array", "items": {"type": "string"}},
        "detail": details[0] if len(details) == 1 else {"anyOf": details},
    }
    payload = {
        "type": "object",
        "properties": properties,
        "required": ["detail-type", "source", "detail"],
    }
    message: Schema = {
        "name": kind,
        "title": kind,
        "summary": event.summary,
        "payload": payload,
    }
    if kind == REQUESTED:
        message["examples"] = [{"payload": _sample("key-requested.json")}]
    return message


def _sample(name: str) -> Any:
    return json.loads((Path("events") / name).read_text())
