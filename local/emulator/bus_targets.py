"""Event buses as targets of rules, in the rule's Region or another.

The emulator knows buses of the rule's own Region, and asks nobody. In AWS the target's role has to
be allowed to put the event, and the bus's own policy not to deny it; what was denied goes to the
target's dead-letter queue. The event arrives as it was: with the Region that it is of.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-region.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-bus-to-bus.html
"""

import logging
from typing import Any

from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import eventbridge

from local.emulator import authorization, bus_policies, dead_letters
from local.emulator.checks import Check

_logger = logging.getLogger(__name__)

_emulator_dispatch_to_event_bus = eventbridge._dispatch_to_event_bus


def install() -> None:
    """Put our delivery in the place of the emulator's; after `local.emulator.dead_letters`."""
    eventbridge._dispatch_to_event_bus = _dispatch


def _dispatch(
    bus: Any, event: dict[str, Any], rule: dict[str, Any], path: set[str], payload: str | None
) -> None:
    if bus.account_id != get_account_id():
        _logger.warning("EventBridge: there is no other account with a bus %s", bus)
        return
    role: str = dead_letters.current_target().get("RoleArn", "")
    with request_scope(bus.account_id, bus.region):
        denied = role and not _may_put(role, bus, event, rule)
    if denied:
        dead_letters.send("NO_PERMISSIONS", f"{role} may not put events on {bus}.")
    elif bus.region == get_region():
        _emulator_dispatch_to_event_bus(bus, event, rule, path, payload)
    else:
        _dispatch_to_other_region(bus, event, payload)


def _may_put(role: str, bus: Any, event: dict[str, Any], rule: dict[str, Any]) -> bool:
    context = {
        "aws:sourcearn": rule["Arn"],
        "events:source": event["Source"],
        "events:detail-type": event["DetailType"],
    }
    check = Check("events:PutEvents", bus.region, str(bus), context)
    return authorization.role_passes(role, check) and not bus_policies.denies_role(role, check)


def _dispatch_to_other_region(bus: Any, event: dict[str, Any], payload: str | None) -> None:
    """Deliver an event to a bus of another Region, which sends it to no third one.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html
    """
    if event["Region"] != get_region():
        _logger.warning("EventBridge: %s came from %s already", event["EventId"], event["Region"])
        return
    name = bus.resource.partition("/")[2]
    arrived = event | {"EventBusName": name, "_DispatchPath": []}
    if payload is not None:
        arrived["Detail"] = payload
    with request_scope(bus.account_id, bus.region):
        if name != "default" and name not in eventbridge._event_buses:
            _logger.warning("EventBridge: there is no bus %s", bus)
            return
        eventbridge._dispatch_event(arrived)
        eventbridge._archive_event(arrived)
