"""Event buses of the emulator as targets of rules, in the rule's Region and in another, as in AWS.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-region.html
"""

import json
import uuid
from typing import Any

import pytest

from local.stack.endpoint import Endpoint
from tests.support.stack.bus_events import Queue, heard, rule
from tests.support.stack.kms_calls import HOME, OTHER

THIRD = "eu-west-1"
PATTERN = {"source": ["test"]}


@pytest.fixture
def bus(emulator: Endpoint) -> str:
    """Return the ARN of a bus in the home Region."""
    return new_bus(emulator, HOME)


def new_bus(emulator: Endpoint, region: str) -> str:
    events, name = emulator.client("events", region), f"bus-{uuid.uuid4()}"
    arn: str = events.create_event_bus(Name=name)["EventBusArn"]
    return arn


def name_of(bus: str) -> str:
    return bus.rpartition("/")[2]


def role(emulator: Endpoint, resource: str, action: str = "events:PutEvents") -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    policy = {"Version": "2012-10-17", "Statement": statement}
    return emulator.create_role(f"events-{uuid.uuid4()}", policy=policy)


def deny(emulator: Endpoint, bus: str, **condition: Any) -> None:
    statement = {
        "Sid": "Deny",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "events:PutEvents",
        "Resource": bus,
        "Condition": condition,
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    emulator.client("events").put_permission(EventBusName=name_of(bus), Policy=json.dumps(policy))


def put(emulator: Endpoint, region: str, detail: dict[str, Any]) -> None:
    entry = {"Source": "test", "DetailType": "Test", "Detail": json.dumps(detail)}
    emulator.client("events", region).put_events(Entries=[entry])


@pytest.mark.parametrize("region", [HOME, OTHER])
def test_an_event_arrives_as_it_was(emulator: Endpoint, bus: str, region: str) -> None:
    target = {"Arn": bus, "RoleArn": role(emulator, bus)}
    with (
        heard(emulator, region, PATTERN) as before,
        heard(emulator, HOME, PATTERN, name_of(bus)) as arrived,
        rule(emulator, region, PATTERN, target),
    ):
        put(emulator, region, {"number": 1})

        assert arrived.wait_for_events(1) == before.wait_for_events(1)
    assert arrived.received[0]["Body"]["region"] == region


@pytest.mark.parametrize("region", [HOME, OTHER])
@pytest.mark.parametrize(
    ("allowed", "suffix", "denied_source"),
    [
        ("events:PutEvents", "-of-others", "none"),
        ("events:PutRule", "", "none"),
        ("events:PutEvents", "", "test"),
    ],
)
def test_what_may_not_be_put_is_a_dead_letter(
    emulator: Endpoint, bus: str, region: str, *, allowed: str, suffix: str, denied_source: str
) -> None:
    deny(emulator, bus, StringEquals={"events:source": denied_source})
    dead = Queue.create(emulator, region)
    target = {"Arn": bus, "RoleArn": role(emulator, f"{bus}{suffix}", allowed)}
    target_with_queue = target | {"DeadLetterConfig": {"Arn": dead.arn}}
    with (
        heard(emulator, HOME, PATTERN, name_of(bus)) as arrived,
        rule(emulator, region, PATTERN, target_with_queue) as rule_arn,
    ):
        put(emulator, region, {"number": 1})

        (event,) = dead.wait_for_events(1)
        assert arrived.events() == []
    assert event["detail"] == {"number": 1}
    (message,) = dead.received
    assert (message["ERROR_CODE"], message["RULE_ARN"]) == ("NO_PERMISSIONS", rule_arn)
    assert message["TARGET_ARN"] == bus


def test_a_bus_can_deny_all_but_the_role_of_a_rule(emulator: Endpoint, bus: str) -> None:
    used = role(emulator, bus)
    deny(emulator, bus, ArnNotEquals={"aws:PrincipalArn": used})
    target = {"Arn": bus, "RoleArn": used}
    with (
        heard(emulator, HOME, PATTERN, name_of(bus)) as arrived,
        rule(emulator, OTHER, PATTERN, target),
    ):
        put(emulator, OTHER, {"number": 1})

        arrived.wait_for_events(1)


def test_an_event_goes_from_one_region_to_another_and_no_further(
    emulator: Endpoint, bus: str
) -> None:
    last = new_bus(emulator, THIRD)
    onward = {"Arn": last, "RoleArn": role(emulator, last)}
    target = {"Arn": bus, "RoleArn": role(emulator, bus)}
    with (
        heard(emulator, THIRD, PATTERN, name_of(last)) as further,
        heard(emulator, HOME, PATTERN, name_of(bus)) as arrived,
        rule(emulator, HOME, PATTERN, onward, name_of(bus)),
        rule(emulator, OTHER, PATTERN, target),
    ):
        put(emulator, OTHER, {"number": 1})
        arrived.wait_for_events(1)
        emulator.client("events").put_events(
            Entries=[
                {
                    "EventBusName": bus,
                    "Source": "test",
                    "DetailType": "Test",
                    "Detail": json.dumps({"number": 2}),
                }
            ]
        )

        (event,) = further.wait_for_events(1)
    assert event["detail"] == {"number": 2}
