"""The key sets that `mrk verify` asks for: together they have every setting that a request has."""

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mrk.verify.account import TAG, Account

REQUEST_ID_PREFIX = f"{TAG}-"
ALIAS_PREFIX = f"alias/{TAG}/"
MISSING_ALIAS = f"{ALIAS_PREFIX}missing"

COMPLETE, BY_EVENT, ROLLED_BACK, IMPORTED, NOT_ENABLED = (
    "complete",
    "by-event",
    "rolled-back",
    "imported",
    "not-enabled",
)
ROTATION_DAYS = 365
MATERIAL_BYTES = {"aws-cn": 16}
_VALID_DAYS = 30


def new_run() -> str:
    """Name a run, so that its keys are known by it."""
    return f"{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class KeySets:
    """The requests of one run, by what they show."""

    run: str
    account: Account
    not_enabled_region: str | None
    """A Region that the account has not enabled, if the caller named one."""
    valid_to: datetime

    @classmethod
    def of(cls, run: str, account: Account, not_enabled_region: str | None) -> "KeySets":
        """Decide what a run asks for."""
        valid_to = datetime.now(UTC).replace(microsecond=0) + timedelta(days=_VALID_DAYS)
        return cls(run, account, not_enabled_region, valid_to)

    def request_id(self, name: str) -> str:
        """Return the ID of a request."""
        return f"{REQUEST_ID_PREFIX}{self.run}-{name}"

    def alias(self, name: str) -> str:
        """Return an alias of this run."""
        return f"{ALIAS_PREFIX}{self.run}/{name}"

    def requests(self) -> dict[str, dict[str, Any]]:
        """Return the requests in the order in which they are sent."""
        requests = {
            COMPLETE: self._complete(),
            BY_EVENT: self._request(
                BY_EVENT, keySpec="HMAC_256", keyUsage="GENERATE_VERIFY_MAC", onFailure="RETAIN"
            ),
            # Nobody has that role, so KMS refuses the replica, and the primary is rolled back.
            ROLLED_BACK: self._request(
                ROLLED_BACK,
                replicas=[{"region": self.account.other, "policy": {"users": [self._nobody()]}}],
            ),
            IMPORTED: self.imported(self.valid_to),
        }
        if self.not_enabled_region:
            # Without an alias, which would be looked for there before any key is made.
            replica = {"region": self.not_enabled_region, "alias": None}
            requests[NOT_ENABLED] = self._request(NOT_ENABLED, replicas=[replica])
        return requests

    def imported(self, valid_to: datetime) -> dict[str, Any]:
        """Return the request for a key with imported material; a later `valid_to` renews it."""
        return self._request(
            IMPORTED,
            origin="EXTERNAL",
            keyMaterial={
                "validTo": f"{valid_to:%Y-%m-%dT%H:%M:%SZ}",
                "wrappingAlgorithm": "RSAES_OAEP_SHA_256",
                "wrappingKeySpec": "RSA_2048",
                "deadlineInDays": 1,
            },
        )

    def refused(self, size: int) -> dict[str, Any]:
        """Return a request of that many bytes that the stack refuses, since its ticket is long."""
        request = self._request("refused", ticket={"text": ""})
        room = size - len(json.dumps(request, separators=(",", ":")))
        text = "\N{LATIN SMALL LETTER A WITH DIAERESIS}" * (room // 2)
        return request | {"ticket": {"text": text}}

    def keys(self) -> int:
        """Count the keys that the requests make."""
        fail = (ROLLED_BACK, NOT_ENABLED)
        return sum(
            1 + (0 if name in fail else len(request.get("replicas", [])))
            for name, request in self.requests().items()
        )

    def _nobody(self) -> str:
        return f"arn:{self.account.partition}:iam::{self.account.id}:role/{TAG}-{self.run}-nobody"

    def _complete(self) -> dict[str, Any]:
        # The account's root is the one principal that every account has. It names nobody new:
        # the statement that leaves the key to IAM names it already.
        root = f"arn:{self.account.partition}:iam::{self.account.id}:root"
        return self._request(
            COMPLETE,
            description="Made by mrk verify",
            policy={"administrators": [root], "users": [root]},
            rotation={"periodInDays": ROTATION_DAYS},
            onFailure="RETAIN",
            replicas=[
                {
                    "region": self.account.other,
                    "alias": self._replica_alias(),
                    "description": "Replica made by mrk verify",
                    "tags": {TAG: self.run, "part": "replica"},
                    "policy": {"administrators": [root]},
                }
            ],
        )

    def _replica_alias(self) -> str:
        return self.alias(f"{COMPLETE}-replica")

    def _request(self, name: str, **fields: Any) -> dict[str, Any]:
        return {
            "requestId": self.request_id(name),
            "primaryRegion": self.account.home,
            "alias": self.alias(name),
            "tags": {TAG: self.run},
            "onFailure": "ROLL_BACK",
            "ticket": {"system": TAG, "id": self.run},
            **fields,
        }
