"""A request that fails by its own content, and is then sent with the right one, under faults."""

from collections.abc import Callable
from typing import Any

from tests.support.faults import wiring
from tests.support.faults.aws import Aws, Call, Network
from tests.support.faults.faults import Fault, FaultyNetwork, Schedule, go_wrong
from tests.support.faults.kms import NO_SUCH_ROLE
from tests.support.faults.scenario import (
    REQUEST,
    REQUEST_ID,
    Report,
    Scenario,
    is_created,
    policy_of,
    problems,
    recorded_key,
    surplus_problems,
)

_REFUSED = {"document": policy_of(NO_SUCH_ROLE)}
_ALIASES = {REQUEST["alias"], *(one["alias"] for one in REQUEST["replicas"] if "alias" in one)}

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


STILL_BAD: dict[str, Any] = {
    **BAD_REPLICA,
    "alias": "alias/payments/cards",
    "onFailure": "ROLL_BACK",
    "replicas": BAD_REPLICA["replicas"][1:],
}
"""Renames the keys and leaves a replica out, and fails once more."""

ORGANISATION_ALIAS = "alias/organisation/cards"
ORGANISATION_TAG = ("cost-centre", "42")


def mark_by_hand(aws: Aws) -> None:
    """Put a tag and an alias on every key, as organisations do."""
    name, value = ORGANISATION_TAG
    for key in aws.kms.keys.values():
        key.tags[name] = value
        place = key.region, ORGANISATION_ALIAS
        aws.kms.aliases[place] = key.arn
        aws.kms.named_at[place] = aws.time


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

    sure_runs = 2

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
        mark_by_hand(self.aws)
        self.marked = [*self.aws.kms.keys]
        self.document = self.right
        self.deliver()
        self.network.end_faults()
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
        return found + self._problems_of_the_keys()

    def _problems_of_the_keys(self) -> list[str]:
        """Say what the wrong content left, and what was taken that others had set."""
        kms, (name, value) = self.aws.kms, ORGANISATION_TAG
        named = {alias for _, alias in kms.aliases}
        # The wrong content may ask for the right alias as well.
        found = [f"{alias} is left" for alias in named & {self.wrong["alias"]} - _ALIASES]
        for arn, key in kms.keys.items():
            if arn.endswith(str(recorded_key(self.aws)).rsplit("/", 1)[1]) and (
                "stage" in key.tags or key.rotation_days
            ):
                found.append(f"{arn} has what only the wrong content asked for: {key}")
        for arn in self.marked:
            key = kms.keys[arn]
            if key.tags.get(name) != value:
                found.append(f"{arn} lost the tag of others")
            if kms.aliases.get((key.region, ORGANISATION_ALIAS)) != self._last_marked(key.region):
                found.append(f"the alias of others in {key.region} was moved")
        return found

    def _last_marked(self, region: str) -> str:
        return [arn for arn in self.marked if self.aws.kms.keys[arn].region == region][-1]


class FailedCorrection(Scenario):
    """Wrong content, then other wrong content that asks for a rollback."""

    sure_runs = 2

    def __init__(self, schedule: Schedule = ()) -> None:
        super().__init__(schedule, document=BAD_REPLICA)

    def play(self) -> Report:
        """Send both contents; the second one again, without faults, as the first may be lost."""
        self.deliver()
        self.document = STILL_BAD
        self.deliver()
        self.network.end_faults()
        self.aws.time += wiring.QUIET_SECONDS + 1
        self.sweep()
        self.deliver()
        return Report(self.schedule, self.network.calls, self._problems(), self.aws)

    def _problems(self) -> list[str]:
        item = self.aws.dynamodb.tables["requests"][REQUEST_ID]
        found = [*self.aws.violations, *surplus_problems(self.aws)]
        if item["status"] != {"S": "FAILED"} or "publishedAt" not in item:
            found.append(f"the record is {item}")
        key_id = str(recorded_key(self.aws)).rsplit("/", 1)[1]
        kms = self.aws.kms
        found += [f"{place} still points to {arn}" for place, arn in kms.aliases.items()]
        keys = [key for key in kms.keys.values() if key.key_id == key_id]
        found += [f"{key.arn} stays" for key in keys if not key.leaving]
        return found if keys else [*found, "no key is recorded"]


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
