"""The JSON schemas of what goes in and out, from the models and types of the code itself."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.config import ConfigDict
from pydantic.json_schema import GenerateJsonSchema

from keys_api import contract
from provisioner.approval.asking import ApprovalQuestion
from provisioner.aws.listing import Listed
from provisioner.hooks.receiving import HandedOn
from provisioner.intake.adoption import AdoptionFields
from provisioner.intake.approval_decision import DecisionFields
from provisioner.intake.material_response import AnswerFields
from provisioner.intake.operation_request import OperationFields
from provisioner.intake.request import RequestFields
from provisioner.material.request import Question
from provisioner.material.response import MaterialRefusal
from provisioner.operation.publishing import OperationDetail
from provisioner.outcomes.findings import FindingDetail
from provisioner.outcomes.outcome import OutcomeDetail, RefusalDetail
from provisioner.upkeep.looking import DriftDetail

type Schema = dict[str, Any]

PLACE = "#/components/schemas/"


def _alias_may_be_missing(schema: Schema) -> None:
    schema["required"] = [name for name in schema["required"] if name != "alias"]


class AdoptionRequest(RequestFields, AdoptionFields):
    """A key set that exists, and its declaration; a plan alone may leave the declaration out."""

    model_config = ConfigDict(json_schema_extra=_alias_may_be_missing)


def _request_is_named_by_the_path(schema: Schema) -> None:
    schema["required"] = [name for name in schema["required"] if name != "requestId"]


class MaterialOfRequest(AnswerFields):
    """An answer for some or all of the Regions; the path names the request."""

    model_config = ConfigDict(json_schema_extra=_request_is_named_by_the_path)


REQUESTS: Mapping[str, type] = {
    "Request": RequestFields,
    "AdoptionRequest": AdoptionRequest,
    "OperationRequest": OperationFields,
    "Decision": DecisionFields,
    "MaterialAnswer": AnswerFields,
    "MaterialOfRequest": MaterialOfRequest,
}
"""What is sent to the stack, by the name that the contracts have for it."""

ANSWERS: Mapping[str, type] = {
    "Accepted": contract.Accepted,
    "AcceptedOperation": contract.AcceptedOperation,
    "AdoptionPlan": contract.AdoptionPlan,
    "Errors": contract.Errors,
    "HandedOn": HandedOn,
    "KeySetStatus": contract.KeySetStatus,
    "Listed": Listed,
    "PastOutcomes": contract.PastOutcomes,
    "RequestPlan": contract.RequestPlan,
}
"""What the API answers."""

EVENTS: Mapping[str, type] = {
    "Outcome": OutcomeDetail,
    "Refusal": RefusalDetail,
    "OperationOutcome": OperationDetail,
    "ApprovalQuestion": ApprovalQuestion,
    "MaterialQuestion": Question,
    "MaterialRefusal": MaterialRefusal,
    "Finding": FindingDetail,
    "Drift": DriftDetail,
}
"""What the events of the stack carry as their detail."""


class _WithoutTitles(GenerateJsonSchema):
    """A title would be the field's name once more, without its capitals."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


_NAMES = {
    "provisioner__domain__operation__Kind": "OperationKind",
    "provisioner__outcomes__findings__Kind": "FindingKind",
}
"""Of types that have the same name in two modules."""


@cache
def all_schemas() -> Schema:
    """Return every schema by its name; each refers to the others under `PLACE`."""
    answers = {**ANSWERS, **EVENTS}
    asked: list[tuple[str, Literal["validation", "serialization"], TypeAdapter[Any]]] = [
        *((name, "validation", TypeAdapter(one)) for name, one in REQUESTS.items()),
        *((name, "serialization", TypeAdapter(one)) for name, one in answers.items()),
    ]
    _, made = TypeAdapter.json_schemas(
        asked, ref_template=f"{PLACE}{{model}}", schema_generator=_WithoutTitles
    )
    names = _NAMES | {one.__name__: name for name, one in {**REQUESTS, **answers}.items()}
    found = {names.get(name, name): schema for name, schema in made["$defs"].items()}
    renamed: Schema = _renamed(found, {PLACE + old: PLACE + new for old, new in names.items()})
    return renamed


def schemas_for(document: Any) -> Schema:
    """Return the schemas that a document refers to, and those that these refer to."""
    found: Schema = {}
    missing = {*_referred(document)}
    while missing:
        found |= {name: all_schemas()[name] for name in missing}
        missing = {*_referred([*found.values()])} - found.keys()
    return {name: found[name] for name in sorted(found)}


def _referred(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for one in node:
            yield from _referred(one)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref" and value.startswith(PLACE):
                yield value.removeprefix(PLACE)
            else:
                yield from _referred(value)


def _renamed(node: Any, references: Mapping[str, str]) -> Any:
    """Let references go to the new names; drop what only repeats a name."""
    if isinstance(node, list):
        return [_renamed(one, references) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        name: references.get(value, value)
        if name == "$ref"
        else _one_line(value)
        if name == "description" and isinstance(value, str)
        else _renamed(value, references)
        for name, value in node.items()
        if not (name == "title" and isinstance(value, str))
    }


def _one_line(text: str) -> str:
    """Join the lines of each paragraph of a docstring, and say null for None."""
    text = re.sub(r"\bNone\b", "null", text)
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def closed(node: Any) -> Any:
    """Return a schema that refuses fields which it does not name.

    The published ones take them, so that a field can be added; what the stack answers today has
    none that is not published.
    """
    if isinstance(node, list):
        return [closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    shut = {name: closed(value) for name, value in node.items()}
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        shut.setdefault("additionalProperties", False)
    return shut
