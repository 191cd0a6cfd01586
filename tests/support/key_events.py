"""Events about KMS keys as EventBridge delivers them.

https://docs.aws.amazon.com/kms/latest/developerguide/understanding-kms-entries.html
https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-kms.html
"""

import uuid
from typing import Any

from tests.support.samples import ACCOUNT, KEY_ID, key_arn

ALICE = f"arn:aws:iam::{ACCOUNT}:user/Alice"
AT = "2026-11-27T05:00:00Z"


def call_event(
    name: str,
    region: str = "us-east-1",
    *,
    key_id: str = KEY_ID,
    at: str = AT,
    role: str | None = None,
    **parameters: Any,
) -> dict[str, Any]:
    """Return the event of a call; a call about an alias names it in `aliasName`."""
    arn = key_arn(region, key_id)
    asked = {"keyId": key_id, **parameters}
    resources = [arn]
    if alias := parameters.get("aliasName"):
        asked = {"targetKeyId": key_id, **parameters}
        resources = [f"arn:aws:kms:{region}:{ACCOUNT}:{alias}", arn]
        if name == "DeleteAlias":
            del asked["targetKeyId"]
    who: dict[str, Any] = {"type": "IAMUser", "arn": ALICE, "userName": "Alice"}
    if role:
        who = {
            "type": "AssumedRole",
            "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/session",
            "sessionContext": {"sessionIssuer": {"type": "Role", "userName": role}},
        }
    detail = {
        "eventVersion": "1.11",
        "userIdentity": who,
        "eventTime": at,
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "awsRegion": region,
        "requestParameters": asked,
        "responseElements": None,
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "resources": [
            {"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": one} for one in resources
        ],
        "eventType": "AwsApiCall",
    }
    return _event("AWS API Call via CloudTrail", region, at, detail, [])


def kms_event(
    detail_type: str, region: str = "us-east-1", *, key_id: str = KEY_ID, at: str = AT
) -> dict[str, Any]:
    """Return an event of KMS's own."""
    return _event(detail_type, region, at, {"key-id": key_id}, [key_arn(region, key_id)])


def _event(
    detail_type: str, region: str, at: str, detail: dict[str, Any], resources: list[str]
) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": "aws.kms",
        "account": ACCOUNT,
        "time": at,
        "region": region,
        "resources": resources,
        "detail": detail,
    }
