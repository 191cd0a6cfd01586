"""Key sets of the deployed stack, and changes of them, planned first and carried out then."""

from collections import Counter
from typing import Any

from local.stack.stack import Stack
from tests.support.stack.reading import WRITES, new_request, operations_since, read_key

HOME, EUROPE, WEST = "us-east-1", "eu-west-1", "us-west-2"
WRITES_OF_CHANGES = {*WRITES, "UpdatePrimaryRegion", "DisableKeyRotation"}
type Document = dict[str, Any]


def created(stack: Stack, name: str, *replicas: str, **fields: Any) -> Document:
    """Create a key set and return its declaration."""
    document = new_request(name, replicas=[{"region": one} for one in replicas], **fields)
    assert stack.api("POST", "/keys", json=document).status_code == 202
    outcome = stack.wait_for_outcome(document["requestId"])
    assert outcome["detail"]["status"] == "CREATED", outcome
    return document


def revised(before: Document, *words: str, **changed: Any) -> Document:
    """Return the next revision of a declaration."""
    revision = before.get("revision", 1) + 1
    return {**before, "revision": revision, "confirm": [*words], **changed}


class Changed:
    """What a change was planned to be, and what it was."""

    def __init__(self, stack: Stack, document: Document, status: str = "UPDATED") -> None:
        name = document["requestId"]
        planned = stack.api("POST", "/keys?plan=true", json=document)
        assert planned.status_code == 200, planned.text
        self.changes: list[dict[str, Any]] = planned.json()["changes"]
        self.primary = stack.api("GET", f"/keys/{name}").json()["key"]["primary"]["region"]
        before, outcomes = len(stack.kms_calls()), len(stack.outcomes(name))
        sent = stack.api("POST", f"/keys?planId={planned.json()['planId']}", json=document)
        assert sent.status_code == 202, sent.text
        self.outcome = stack.wait_for_outcomes(name, outcomes + 1)[-1]["detail"]
        assert (self.outcome["status"], self.outcome["errors"]) == (status, []), self.outcome
        assert self.outcome["revision"] == document["revision"]
        self.calls = operations_since(stack, before)

    @property
    def writes(self) -> Counter[tuple[str, str]]:
        return Counter(call for call in self.calls if call[0] in WRITES_OF_CHANGES)

    @property
    def planned(self) -> Counter[tuple[str, str]]:
        """The calls of the plan; the tags of a key that are set are one call."""
        calls = [
            (one["call"], _called_in(one, self.primary), one["property"]) for one in self.changes
        ]
        of_tags = {(call, region) for call, region, what in calls if what.startswith("tags.")}
        others = [(call, region) for call, region, what in calls if not what.startswith("tags.")]
        return Counter([*of_tags, *others])


def _called_in(change: dict[str, Any], primary: str) -> str:
    """Return the Region that a change's call goes to: with two of them the primary key's."""
    region: str = change["region"]
    return primary if change["call"] in ("ReplicateKey", "UpdatePrimaryRegion") else region


def keys_of(outcome: dict[str, Any]) -> dict[str, str]:
    """Map each Region of an outcome to the ARN of its key."""
    key = outcome["key"]
    return {one["region"]: one["arn"] for one in [key["primary"], *key["replicas"]]}


def state_in(stack: Stack, region: str, arn: str) -> tuple[str, str]:
    found = read_key(stack, region, arn)
    return found["type"], found["state"]
