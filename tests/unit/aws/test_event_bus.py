import json
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from provisioner.aws.clients import client
from provisioner.aws.event_bus import put_event
from provisioner.errors import DependencyUnavailable, EventNotPublished
from tests.support.answering import answer, answer_on_the_wire, calls_of, lose_on_the_wire, refusal


def put(detail: dict[str, Any] | None = None) -> None:
    put_event(client("events"), "keys", "Multi-Region Key Created", detail or {"requestId": "CHG1"})


@pytest.mark.usefixtures("aws")
def test_an_event_goes_to_the_stacks_bus() -> None:
    calls = calls_of(client("events"))

    put({"requestId": "CHG1", "ticket": {"title": "Schlüssel"}})

    ((name, parameters),) = calls
    (entry,) = parameters["Entries"]
    assert name == "PutEvents"
    assert (entry["Source"], entry["DetailType"], entry["EventBusName"]) == (
        "mrk.provisioner",
        "Multi-Region Key Created",
        "keys",
    )
    assert json.loads(entry["Detail"]) == {"requestId": "CHG1", "ticket": {"title": "Schlüssel"}}


def test_an_entry_that_is_refused_was_not_published() -> None:
    entry = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}
    answer(client("events"), "PutEvents", {"FailedEntryCount": 1, "Entries": [entry]})

    with pytest.raises(EventNotPublished, match="ThrottlingException: Rate exceeded"):
        put()


def test_a_call_that_is_refused_makes_eventbridge_unavailable() -> None:
    answer(client("events"), "PutEvents", refusal("AccessDeniedException", "not authorized"))

    with pytest.raises(DependencyUnavailable, match=r"EventBridge did not do PutEvents.*not auth"):
        put()


def test_a_call_without_an_answer_makes_eventbridge_unavailable() -> None:
    lose_on_the_wire(client("events"), ReadTimeoutError(endpoint_url="https://events.invalid"))

    with pytest.raises(DependencyUnavailable, match="PutEvents"):
        put()


def test_eventbridge_is_asked_again_before_it_counts_as_unavailable() -> None:
    sent = answer_on_the_wire(client("events"), 500, {"__type": "InternalException"})

    with pytest.raises(DependencyUnavailable):
        put()

    assert len(sent) == 3
