"""The key sets that are made: the same settings for every contender, a fresh name each time."""

import itertools
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from bench.account import REGION
from bench.errors import BenchError
from local.settings import ACCOUNT_ID
from local.stack.stack import Stack
from mrk.verify.policy_meaning import canonical

REPLICA_REGIONS = (
    "eu-west-1",
    "us-west-2",
    "ap-southeast-2",
    "eu-central-1",
    "ap-northeast-1",
    "us-east-2",
    "ca-central-1",
    "eu-north-1",
    "sa-east-1",
    "ap-south-1",
)
_ROLE = f"arn:aws:iam::{ACCOUNT_ID}:role"
_STARTED = uuid.uuid4().hex[:8]
_numbers = itertools.count()


@dataclass(frozen=True)
class Key:
    """What one Region's key is to have."""

    region: str
    alias: str
    description: str
    tags: dict[str, str]
    policy: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """What CreateKey and ReplicateKey take alike."""
        return {
            "Description": self.description,
            "Tags": [{"TagKey": key, "TagValue": value} for key, value in self.tags.items()],
            "Policy": json.dumps(self.policy),
        }


@dataclass(frozen=True)
class KeySet:
    """A key set to make: `request` for this project, `keys` for the others, the primary first."""

    name: str
    request: dict[str, Any]
    keys: tuple[Key, ...]

    @property
    def primary(self) -> Key:
        """The primary key."""
        return self.keys[0]

    @property
    def replicas(self) -> tuple[Key, ...]:
        """The replica keys."""
        return self.keys[1:]


def new_key_set(stack: Stack, replicas: int) -> KeySet:
    """Return a key set that was never made.

    What its keys are to have is the plan that the stack's own API answers for the request, so that
    every contender makes what this project makes.

    Raises
    ------
    BenchError
        The API refused the request.
    """
    name = f"bench-{_STARTED}-{next(_numbers)}"
    request = {
        "requestId": name,
        "primaryRegion": REGION,
        "alias": f"alias/bench/{name}",
        "description": "Card data",
        "tags": {"team": "payments"},
        "policy": {
            "administrators": [f"{_ROLE}/KeyAdmin"],
            "users": [f"{_ROLE}/CardService"],
        },
        "replicas": [{"region": region} for region in REPLICA_REGIONS[:replicas]],
    }
    answer = stack.api("POST", "/keys?plan=true", request)
    if answer.status_code != HTTPStatus.OK:
        raise BenchError(f"The request was refused: {answer.text}")
    keys = tuple(
        Key(key["region"], key["alias"], key["description"], key["tags"], key["policy"])
        for key in answer.json()["keys"]
    )
    return KeySet(name, request, keys)


def check(stack: Stack, key_set: KeySet) -> None:
    """Check that KMS has a key set as it was asked for, in every Region.

    Raises
    ------
    BenchError
        Something is missing or different.
    """
    with stack.changed_kms_settings(latency_seconds=0):
        wrong = [text for key in key_set.keys for text in _differences(stack, key_set, key)]
    if wrong:
        raise BenchError(f"The key set {key_set.name} is not as asked for: {'; '.join(wrong)}.")


def _differences(stack: Stack, key_set: KeySet, key: Key) -> Iterator[str]:
    kms = stack.client("kms", key.region)
    described = kms.describe_key(KeyId=key.alias)["KeyMetadata"]
    configuration = described["MultiRegionConfiguration"]
    listed = kms.list_resource_tags(KeyId=described["KeyId"])["Tags"]
    tags = {tag["TagKey"]: tag["TagValue"] for tag in listed}
    policy = json.loads(kms.get_key_policy(KeyId=described["KeyId"])["Policy"])
    members = [configuration["PrimaryKey"], *configuration["ReplicaKeys"]]
    for what, found, wanted in (
        ("state", described["KeyState"], "Enabled"),
        ("description", described["Description"], key.description),
        ("policy", canonical(policy, partition="aws"), canonical(key.policy, partition="aws")),
        # This project adds the number of the attempt to the primary's.
        ("tags", tags | key.tags, tags),
        ("primary", configuration["PrimaryKey"]["Region"], key_set.primary.region),
        ("Regions", {m["Region"] for m in members}, {k.region for k in key_set.keys}),
    ):
        if found != wanted:
            yield f"{what} in {key.region} is {found}, not {wanted}"
