"""Who may put which events on the stack's bus, by its policy and whatever else they may do."""

from typing import Any

import pytest
from ministack.core import iam_evaluator

from checks.template import PSEUDO_PARAMETERS, Template, resolved, statements
from tests.support.template import expanded_template

ACCOUNT = PSEUDO_PARAMETERS["AWS::AccountId"]
BUS = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/mrk-provisioner-keys"
REQUESTED, PROVIDED = "Multi-Region Key Requested", "Multi-Region Key Material Provided"
OUTCOME = "Multi-Region Key Created"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
TICKETS, HOLDER = (
    f"arn:aws:iam::{ACCOUNT}:role/Tickets",
    f"arn:aws:iam::{ACCOUNT}:role/vault/Holder",
)


@pytest.fixture(scope="module")
def template() -> Template:
    return expanded_template()


@pytest.fixture(scope="module")
def closed(template: Template) -> Any:
    """Return the bus's policy in a stack whose parameters name no senders."""
    policy = template["Resources"]["EventBus"]["Properties"]["Policy"]
    return resolved(template, policy, condition=False)


@pytest.fixture(scope="module")
def opened() -> Any:
    """Return the bus's policy in a stack that names a sender of requests and one of material."""
    template = expanded_template()
    template["Parameters"]["RequestSenders"]["Default"] = f"{TICKETS},arn:aws:iam::{ACCOUNT}:user/*"
    template["Parameters"]["MaterialSenders"]["Default"] = f"arn:aws:iam::{ACCOUNT}:role/vault/*"
    policy = template["Resources"]["EventBus"]["Properties"]["Policy"]
    return resolved(template, policy, condition=True)


def is_denied(
    policy: Any,
    principal: str,
    detail_type: str | list[str],
    source: str | list[str] = "tickets",
) -> bool:
    shown = {"events:source": source, "events:detail-type": detail_type}
    asked = iam_evaluator.EvalContext(
        principal, "Role", ACCOUNT, "events:PutEvents", BUS, "us-east-1", service_context=shown
    )
    return bool(iam_evaluator.evaluate_resource_policy(policy, asked).decision == "Deny")


def publishers(template: Template) -> set[str]:
    """List the roles that may put events under the product's name."""
    return {
        one["role"]
        for one in statements(template)
        for statement in one["policy"]["Statement"]
        if "events:PutEvents" in statement["Action"]
        and statement["Condition"]["StringEquals"]["events:source"] == "mrk.provisioner"
    }


def test_the_roles_that_publish_may_and_nobody_else_under_our_name(
    template: Template, closed: Any
) -> None:
    roles = {n for n, r in template["Resources"].items() if r["Type"] == "AWS::IAM::Role"}
    allowed = {
        role
        for role in roles
        if not is_denied(closed, f"arn:aws:iam::{ACCOUNT}:role/{role}", OUTCOME, "mrk.provisioner")
    }

    # The door for ticket systems requests keys, and publishes nothing under our name.
    assert allowed == publishers(template) - {"ReceiveHookFunctionRole"}
    assert len(allowed) == 9
    for other in (ROOT, TICKETS, f"arn:aws:iam::{ACCOUNT}:role/mrk-provisioner-xFunctionRole-1"):
        assert is_denied(closed, other, OUTCOME, "mrk.provisioner")


@pytest.mark.parametrize("detail_type", [REQUESTED, PROVIDED])
@pytest.mark.parametrize("principal", [ROOT, TICKETS, HOLDER])
def test_a_stack_that_names_nobody_takes_no_events_from_anybody(
    closed: Any, principal: str, detail_type: str
) -> None:
    assert is_denied(closed, principal, detail_type)


@pytest.mark.parametrize(
    ("principal", "may_request", "may_provide"),
    [
        (TICKETS, True, False),
        (f"arn:aws:iam::{ACCOUNT}:user/me", True, False),
        (HOLDER, False, True),
        (ROOT, False, False),
        (f"arn:aws:iam::{ACCOUNT}:role/TicketsToo", False, False),
        ("arn:aws:iam::444455556666:role/Tickets", False, False),
    ],
)
def test_who_is_named_for_requests_may_not_provide_material_and_the_other_way_round(
    opened: Any, principal: str, *, may_request: bool, may_provide: bool
) -> None:
    assert is_denied(opened, principal, REQUESTED) is not may_request
    assert is_denied(opened, principal, PROVIDED) is not may_provide
    assert is_denied(opened, principal, OUTCOME, "mrk.provisioner")
    assert is_denied(opened, principal, REQUESTED, "mrk.provisioner")


def test_events_of_several_kinds_in_one_call_hide_none_that_is_denied(closed: Any) -> None:
    for detail_type in (REQUESTED, PROVIDED):
        assert is_denied(closed, ROOT, ["x", detail_type])
    assert is_denied(closed, ROOT, "x", ["tickets", "mrk.provisioner"])
    assert not is_denied(closed, ROOT, ["x", "y"], ["tickets", "builds"])


def test_the_door_for_tickets_hands_on_requests_and_nothing_else(
    template: Template, closed: Any, opened: Any
) -> None:
    door = f"arn:aws:iam::{ACCOUNT}:role/ReceiveHookFunctionRole"
    (granted,) = (
        statement
        for one in statements(template)
        for statement in one["policy"]["Statement"]
        if one["role"] == "ReceiveHookFunctionRole" and statement["Action"] == "events:PutEvents"
    )
    assert granted["Condition"] == {
        "StringEquals": {"events:source": "mrk.hooks", "events:detail-type": REQUESTED}
    }
    for policy in (closed, opened):
        assert not is_denied(policy, door, REQUESTED, "mrk.hooks")
        assert is_denied(policy, door, PROVIDED, "mrk.hooks")
        assert is_denied(policy, door, OUTCOME, "mrk.provisioner")


def test_our_own_functions_request_nothing_by_event(template: Template, closed: Any) -> None:
    for role in publishers(template):
        arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
        assert is_denied(closed, arn, REQUESTED, "mrk.provisioner")
        assert is_denied(closed, arn, PROVIDED, "mrk.provisioner")
