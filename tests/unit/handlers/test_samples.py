"""Every function has a sample in events/, for `make invoke`, and takes it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keys_api import app, tables
from local.hooks import new_entries
from provisioner.aws.approvals import Approvals
from provisioner.aws.clients import client
from provisioner.aws.history import History
from provisioner.aws.records import Records
from provisioner.aws.secrets import Secret
from provisioner.intake.approval_decision import parse_decision
from receive_hook import app as receive_hook
from tests.support.published import published_on
from tests.support.samples import sample_event
from tests.support.template import load_template

FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in load_template()["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}
ROUTES = [
    (event["Properties"]["Path"], event["Properties"]["Method"].upper())
    for function in FUNCTIONS.values()
    for event in function.get("Events", {}).values()
    if event["Type"] == "Api"
]
SAMPLES: dict[str, Any] = {
    path.stem: json.loads(path.read_text()) for path in sorted(Path("events").glob("*.json"))
}
PROXIED = {name: sample for name, sample in SAMPLES.items() if "httpMethod" in sample}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_has_a_sample(name: str) -> None:
    step = FUNCTIONS[name]["Handler"].removesuffix(".app.handler")

    assert step.replace("_", "-") in SAMPLES or step == "keys_api"


def test_every_route_has_a_sample_and_every_sample_its_route() -> None:
    sampled = {(sample["resource"], sample["httpMethod"]) for sample in PROXIED.values()}

    assert sampled == {*ROUTES}


@pytest.mark.parametrize("name", PROXIED)
def test_a_sample_of_a_route_says_the_same_throughout(name: str) -> None:
    sample = PROXIED[name]
    path = sample["resource"].format(**(sample["pathParameters"] or {}))
    context = sample["requestContext"]

    assert sample["path"] == path
    assert (context["resourcePath"], context["httpMethod"]) == (
        sample["resource"],
        sample["httpMethod"],
    )


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("api-list-keys", 200),
        ("api-get-schema", 200),
        ("api-get-openapi", 200),
        ("api-get-asyncapi", 200),
        ("api-get-history", 404),
        ("api-get-keys", 404),
        ("api-delete-keys", 404),
        ("api-post-approval", 409),
    ],
)
@pytest.mark.usefixtures("records")
def test_the_api_takes_a_sample_where_its_request_is_not_known(
    name: str, status: int, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "records", Records(client("dynamodb"), "requests"))
    monkeypatch.setattr(tables, "approvals", Approvals(client("dynamodb"), "requests"))
    monkeypatch.setattr(tables, "history", History(client("dynamodb"), "history"))

    answered = app.handler(sample_event(name), context)

    assert answered["statusCode"] == status, answered["body"]
    errors = json.loads(answered["body"]).get("errors", [])
    assert "NO_SUCH_ROUTE" not in [error["code"] for error in errors]


def test_the_sample_of_a_decision_is_one() -> None:
    assert parse_decision(json.loads(sample_event("api-post-approval")["body"]))


@pytest.mark.usefixtures("aws")
def test_the_door_takes_its_sample_with_the_entry_that_is_a_sample_too(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = new_entries()
    (token,) = entries["gitlab"]["secrets"]
    secret = {"SecretString": json.dumps(entries)}
    manager: Any = SimpleNamespace(get_secret_value=lambda **_: secret)
    monkeypatch.setattr(receive_hook, "_entries", Secret(manager, "arn", receive_hook._read))
    published = published_on(client("events"))

    sample = json.loads(json.dumps(sample_event("receive-hook")).replace("REPLACE-ME", token))
    answered = receive_hook.handler(sample, context)

    assert (answered["statusCode"], json.loads(answered["body"])) == (
        202,
        {"requestId": "platform-keys-23"},
    )
    assert len(published) == 1
