"""A key set in the stand-in for KMS, its clients, and the calls that they send."""

import json
from collections.abc import Callable
from typing import Any

from provisioner.domain.key_policy import default_policy
from tests.support.faults.aws import Aws, Call, Client, Network
from tests.support.faults.errors import refusal
from tests.support.faults.kms import ACCOUNT, Key, KmsInRegion

ALIAS = "alias/payments/cards"
POLICY = default_policy("aws", ACCOUNT)
TAGS = {"team": "payments", "mrk:request-id": "CHG0031337", "mrk:stack": "mrk"}
REQUEST: dict[str, Any] = {
    "requestId": "CHG0031337",
    "primaryRegion": "us-east-1",
    "keySpec": "SYMMETRIC_DEFAULT",
    "keyUsage": "ENCRYPT_DECRYPT",
    "origin": "AWS_KMS",
    "alias": ALIAS,
    "description": "Card data",
    "tags": {"team": "payments"},
    "policy": None,
    "rotation": None,
    "replicas": [{"region": "eu-west-1"}, {"region": "us-west-2"}],
    "onFailure": "RETAIN",
    "ticket": None,
}


class KeySet(Network):
    """A primary key in us-east-1 and two replicas, whose tags count, and which are all Enabled."""

    def __init__(self) -> None:
        self.aws = Aws()
        self.aws.network = self
        self.calls: list[Call] = []
        self.refused: dict[tuple[str, str], Exception] = {}
        self.denied: Key | None = None
        """A key that keeps its callers out."""
        home = KmsInRegion(self.aws.kms, "us-east-1")
        tags = [{"TagKey": key, "TagValue": value} for key, value in TAGS.items()]
        shared: Any = {"Description": "Card data", "Policy": json.dumps(POLICY), "Tags": tags}
        created = home.create_key(
            MultiRegion=True,
            KeySpec="SYMMETRIC_DEFAULT",
            KeyUsage="ENCRYPT_DECRYPT",
            Origin="AWS_KMS",
            **shared,
        )
        self.arn = str(created["KeyMetadata"]["Arn"])
        for region in ("eu-west-1", "us-west-2"):
            home.replicate_key(KeyId=self.arn, ReplicaRegion=region, **shared)
        for region in ("us-east-1", "eu-west-1", "us-west-2"):
            self.point(region, ALIAS, self.key(region))
        self.aws.time += 3600

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        """Note each call; fail those that a test wants to fail."""
        self.calls.append(call)
        if error := self.refused.get((call.region, call.operation)):
            raise error
        answer = effect()
        if self.denied and answer and answer.get("KeyMetadata", {}).get("Arn") == self.denied.arn:
            raise refusal("AccessDeniedException", call.operation)
        return answer

    def key(self, region: str) -> Key:
        return self.aws.kms.keys[self.arn.replace("us-east-1", region)]

    def point(self, region: str, alias: str, key: Key) -> None:
        """Let an alias point to a key, whoever does that."""
        self.aws.kms.aliases[region, alias] = key.arn
        self.aws.kms.named_at[region, alias] = 0

    def in_region(self, region: str) -> KmsInRegion:
        """Return KMS as somebody calls it by hand."""
        return KmsInRegion(self.aws.kms, region)

    def kms_for(self, region: str) -> Any:
        return Client(lambda: self.aws, "kms", region, 3)

    def send_once(self, region: str) -> Any:
        return Client(lambda: self.aws, "kms", region, 1)

    def tagging_for(self, region: str) -> Any:
        return Client(lambda: self.aws, "resourcegroupstaggingapi", region, 3)

    def kms_calls(self) -> list[str]:
        """Name the calls to KMS that were sent, each with its Region."""
        return [f"{c.operation} {c.region}" for c in self.calls if c.service == "kms"]

    def writes(self) -> list[str]:
        """Name the calls to KMS that change something."""
        return [
            f"{c.operation} {c.region}" for c in self.calls if c.service == "kms" and not c.is_read
        ]
