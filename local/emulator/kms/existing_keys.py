"""Keys that an account has already, made at once instead of call by call.

`POST /_local/existing-keys` takes `region`, `count`, `first` and `tags`. Each key is a multi-Region
primary with an alias, and its tag `mrk:request-id` is a number of its own, counted from `first`.
No call of KMS is recorded for them.
"""

import json
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import kms

from local.emulator.kms.settings import now
from local.settings import ACCOUNT_ID


def add(asked: Any) -> dict[str, int]:
    """Make keys; return how many the Region has then.

    Raises
    ------
    ValueError
        What was asked for is not as it must be.
    """
    if not isinstance(asked, dict) or asked.keys() != {"region", "count", "first", "tags"}:
        raise ValueError("Existing keys need region, count, first and tags.")
    with request_scope(ACCOUNT_ID, str(asked["region"])):
        first = int(asked["first"])
        for number in range(first, first + int(asked["count"])):
            _add_one(f"existing-{number}", asked["tags"])
        return {"keys": len(list(kms._keys.values()))}


def _add_one(name: str, tags: dict[str, str]) -> None:
    own = {**tags, "mrk:request-id": name}
    _, _, body = kms._create_key(
        {
            "MultiRegion": True,
            "KeySpec": "SYMMETRIC_DEFAULT",
            "KeyUsage": "ENCRYPT_DECRYPT",
            "Tags": [{"TagKey": key, "TagValue": value} for key, value in own.items()],
        }
    )
    key_id = json.loads(body)["KeyMetadata"]["KeyId"]
    kms._keys[key_id]["CreationDate"] = now()
    kms._create_alias({"AliasName": f"alias/{name}", "TargetKeyId": key_id})
