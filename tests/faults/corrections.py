"""A request that fails by its own content, and is then sent with the right one, under faults."""

from collections.abc import Callable
from typing import Any

from tests.faults import wiring
from tests.faults.aws import Call, Network
from tests.faults.faults import Fault, FaultyNetwork, Schedule, go_wrong
from tests.faults.kms import NO_SUCH_ROLE
from tests.faults.scenario import (
    REQUEST,
    REQUEST_ID,
    Report,
    Scenario,
    is_created,
    policy_of,
    problems,
)

_REFUSED = {"document": policy_of(NO_SUCH_ROLE)}

BAD_REPLICA: dict[str, Any] = {
    **REQUEST,
    "alias": "alias/payments/crads",
    "description": "Crad data",
    "tags": {"team": "payment", "stage": "test"},
    "rotation": {"periodInDays": 180},
    "replicas": [REQUEST["replicas"][0], {**REQUEST["replicas"][1], "policy": _REFUSED}],
}
"""Fails when the primary and a replica exist and have their aliases."""

BAD_PRIMARY: dict[str, Any] = {
    **REQUEST,
    "policy": _REFUSED,
    "keySpec": "HMAC_256",
    "description": None,
}
"""Fails before there is any key, and asks for another kind of key."""


class Correction(Scenario):
    """The wrong content, then the right one, sent over a network with faults.

    Parameters
    ----------
    wrong
        The content that is sent first.
    revision
        The revision of the right content; the wrong one has the first.
    duplicate
        Deliver, where a fault delivers an event again, the wrong content whatever was sent since.
    """

    def __init__(
        self,
        schedule: Schedule = (),
        *,
        wrong: dict[str, Any] = BAD_REPLICA,
        revision: int = 1,
        duplicate: bool = False,
    ) -> None:
        super().__init__(schedule, document=wrong)
        self.wrong = wrong
        self.right = {**REQUEST, "revision": revision}
        self.network = FaultyNetwork(
            self.aws, schedule, self.deliver_wrong if duplicate else self.deliver
        )
        self.aws.network = self.network

    def deliver_wrong(self) -> None:
        self.run(self.aws.new_execution(self.wrong))

    def play(self) -> Report:
        """Send both contents; the right one again while it did not succeed; sweep later."""
        self.deliver()
        self.document = self.right
        self.deliver()
        self.network.mend()
        for _ in range(2):
            if not is_created(self.aws):
                # What died over the wrong content is resumed by the sweep, and ends with FAILED.
                self.aws.time += wiring.QUIET_SECONDS + 1
                self.sweep()
                self.deliver()
        self.aws.time += wiring.QUIET_SECONDS + 1
        self.sweep()
        found = problems(self.aws, self.right) + self._problems_of_the_correction()
        return Report(self.schedule, self.network.calls, found, self.aws)

    def _problems_of_the_correction(self) -> list[str]:
        item = self.aws.dynamodb.tables["requests"][REQUEST_ID]
        found = []
        if item.get("revision") != {"N": str(self.right["revision"])}:
            found.append(f"the record has revision {item.get('revision')}")
        if "superseded" in item:
            found.append(f"the record of what is created still has {item['superseded']}")
        if any(key.leaving for key in self.aws.kms.keys.values()):
            found.append("a key waits for its deletion")
        return [*found, *self._left_of_the_wrong_content()]

    def _left_of_the_wrong_content(self) -> list[str]:
        kms = self.aws.kms
        old = {self.wrong["alias"]} - {self.right["alias"]}
        found = [f"{place} still points to a key" for place in kms.aliases if place[1] in old]
        for key in kms.keys.values():
            if "stage" in key.tags or key.rotation_days:
                found.append(f"{key.arn} has what only the wrong content asked for: {key}")
        return found


class LostKey(Network):
    """Loses the answer to CreateKey, and lists no keys by their tags from then on."""

    def __init__(self) -> None:
        self.is_lost = False

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if call.operation == "CreateKey":
            self.is_lost = True
            return go_wrong(call, effect, Fault.SILENT_AFTER)
        if self.is_lost and call.operation == "GetResources":
            return go_wrong(call, effect, Fault.REFUSED)
        return effect()


def with_an_open_attempt() -> Scenario:
    """Return a request that failed with an unanswered CreateKey, whose key exists."""
    scenario = Scenario()
    scenario.aws.network = LostKey()
    scenario.deliver()
    scenario.aws.network = scenario.network
    return scenario
