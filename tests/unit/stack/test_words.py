"""No sentence about a wrong value is a library's, or has a pattern in it."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from provisioner.errors import RequestRejected
from provisioner.intake.field_texts import FIELD_TEXTS
from provisioner.intake.material_response import AnswerFields, parse_answer
from provisioner.intake.request import RequestFields, parse_request
from tests.support.samples import SETTINGS, document_of, problems_of

WRONG_VALUES: list[Any] = [
    *(None, True, 0, -1, 7, 365.0, 2.5, 10**30, "", "a", "no such value", "alias/aws/x", "\n\t"),
    *("^[a-z]+$", "é" * 3, "x" * 9_000, "1", "-", [], [None], [1], ["a"], [[]], [{}], {}, {"": ""}),
    *(
        {"a": 1},
        {"a": None},
        {"a b": "\n"},
        {"x" * 200: "y"},
        {"team": "z" * 300},
        {"a": {"b": []}},
    ),
]
# What pydantic, regular expressions and Python say of themselves.
NOT_OURS = re.compile(
    r"Input should|should (be|have|match)|valid (dict|string|integer|list|bool)|\w+Fields|instance"
    r"|pattern|\bdict|\bstr\b|\bint\b|\bNone\b|\bTrue\b|\bFalse\b|[\^$]\S*\[|\]\+|\{\d+,|\\[wdZAx]"
    r"|Literal|Enum|pydantic|Extra inputs|Field required"
)


def models(model: Any) -> Iterator[type[BaseModel]]:
    """List a model and those of its fields."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        yield model
        for field in model.model_fields.values():
            yield from models(field.annotation)
    for inner in get_args(model):
        yield from models(inner)


def inner_model(annotation: Any) -> type[BaseModel] | None:
    return next(models(annotation), None)


def wrong_objects(model: type[BaseModel]) -> Iterator[dict[str, Any]]:
    """Return objects in which one field is wrong at a time, at every depth of a model."""
    for name, field in model.model_fields.items():
        yield from ({name: value} for value in WRONG_VALUES)
        yield {f"{name}s": "x"}
        if inner := inner_model(field.annotation):
            is_list = "list[" in str(field.annotation)
            for value in wrong_objects(inner):
                yield {name: [value] if is_list else value}


def is_in_our_words(message: str) -> bool:
    return (
        re.fullmatch(r"\S[^\n]*[.]", message) is not None
        and len(message) < 300
        and not NOT_OURS.search(_without_quotes(message))
    )


def _without_quotes(message: str) -> str:
    """Take out what the caller gave, which may hold anything."""
    return re.sub(r'"(\\.|[^"\\])*("|\.\.\.)|\'[^\']*\'', "", message)


def refused(document: dict[str, Any]) -> list[str]:
    try:
        parse_request(document, SETTINGS)
    except RequestRejected as error:
        return [problem["message"] for problem in error.problems]
    return []


def refused_answer(document: dict[str, Any]) -> list[str]:
    try:
        parse_answer(document)
    except RequestRejected as error:
        return [problem["message"] for problem in error.problems]
    return []


@pytest.mark.parametrize("model", [RequestFields, AnswerFields])
def test_every_field_has_a_sentence_of_ours(model: type[BaseModel]) -> None:
    names = {name for one in models(model) for name in one.model_fields}

    assert names <= FIELD_TEXTS.keys()
    assert all(is_in_our_words(text) for text in FIELD_TEXTS.values())


def test_no_wrong_value_of_a_request_is_refused_in_other_words_than_ours() -> None:
    tried = [
        message
        for given in wrong_objects(RequestFields)
        for origin in ("AWS_KMS", "EXTERNAL")
        for message in refused({**document_of(origin=origin), **given})
    ]

    assert len(tried) > 1_000
    assert [message for message in tried if not is_in_our_words(message)] == []


def test_no_wrong_value_of_an_answer_is_refused_in_other_words_than_ours() -> None:
    tried = [
        message
        for given in wrong_objects(AnswerFields)
        for message in refused_answer({"requestId": "CHG1", **given})
    ]

    assert len(tried) > 200
    assert [message for message in tried if not is_in_our_words(message)] == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"alias": "alias/no spaces"},
            "An alias is `alias/` and letters, digits, `/`, `_`, `-`: at most 256 characters; "
            '"alias/no spaces" is not.',
        ),
        (
            {"rotation": {"periodInDays": 89}},
            "periodInDays is a whole number from 90 to 2,560; 89 is not.",
        ),
        ({"rotation": 365}, 'rotation is an object such as {"periodInDays": 365}; 365 is not.'),
        ({"onFailure": "KEEP"}, 'onFailure is RETAIN or ROLL_BACK; "KEEP" is not.'),
        ({"replica": []}, "There is no such field. Perhaps replicas is meant."),
        ({"primaryregion": "us-east-1"}, "There is no such field. Perhaps primaryRegion is meant."),
        (
            {"replicas": [{"region": "eu-west-1", "zzz": 1}]},
            "There is no such field; check its spelling.",
        ),
        (
            {"replicas": [{}]},
            "This field is required. region is the name of a Region, such as eu-west-1.",
        ),
        (
            {"description": "x" * 8_193},
            "A description is a text of at most 8,192 characters. This one has 8,193 characters.",
        ),
        ({"primaryRegion": "eu-wset-1"}, 'Partition aws has no Region "eu-wset-1".'),
        ({"keySpec": ["RSA_2048"]}, "keySpec is a text such as SYMMETRIC_DEFAULT; a list is not."),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_refusal_says_what_a_field_is_and_what_was_given(
    fields: dict[str, Any], message: str
) -> None:
    assert [problem["message"] for problem in problems_of(document_of(**fields))] == [message]


@pytest.mark.parametrize(
    "fields",
    [
        {"ticket": "hunter2"},
        {"policy": "hunter2"},
        {"policy": {"document": "hunter2"}},
        {"ticket": ["hunter2"]},
    ],
    ids=json.dumps,
)
def test_a_policy_or_a_ticket_is_not_quoted(fields: dict[str, Any]) -> None:
    assert "hunter2" not in json.dumps(problems_of(document_of(**fields)))


def test_key_material_is_not_quoted() -> None:
    material = {"region": "eu-west-1", "importToken": ["hunter2"], "encryptedKeyMaterial": "hunter"}

    assert "hunter" not in json.dumps(
        refused_answer({"requestId": "CHG1", "materials": [material, "hunter"]})
    )
