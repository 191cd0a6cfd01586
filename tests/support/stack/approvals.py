"""People who share a role of the deployed stack's account, and gates that ask them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from local.stack.endpoint import Credentials
from local.stack.stack import Stack
from tests.support.stack.workflow_paths import APPROVERS as ROLE

_GATES = ("ClaimRequestFunction", "PlanChangeFunction", "KeysApiFunction")


def people_of(stack: Stack, *names: str) -> dict[str, Credentials]:
    """Return the credentials of people who share a role, as Identity Center makes them."""
    allowed = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
    stack.create_role(ROLE, policy={"Version": "2012-10-17", "Statement": [allowed]})
    return {name: stack.credentials_of(ROLE, name) for name in names}


@contextmanager
def approving(stack: Stack, mode: str, days: int = 7) -> Iterator[None]:
    """Deploy the gates with another RequireApproval and ApprovalWindowInDays."""
    with ExitStack() as gates:
        for function in _GATES:
            value = f"{mode},{days},false"
            gates.enter_context(stack.changed_environment(function, APPROVAL=value))
        yield
