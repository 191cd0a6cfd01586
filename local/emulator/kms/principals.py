"""The principals of IAM, as KMS knows them."""

import datetime as dt
import re
from typing import Any

from ministack.services import iam

from local.emulator.kms.settings import current, now

_SESSION = re.compile(r"arn:aws[\w-]*:sts::(?P<account>\d{12}):assumed-role/(?P<name>[^/*?]+)/.+")
_ENTITY = re.compile(
    r"arn:aws[\w-]*:iam::(?P<account>\d{12}):(?P<kind>role|user)/(?:.*/)?(?P<name>[^/*?]+)"
)
_ACCOUNT = re.compile(r"\d{12}")


def find(arn: str) -> dict[str, Any] | None:
    """Return IAM's record of a role or user, or of the role of a session; None if there is none."""
    session = _SESSION.fullmatch(arn)
    named = session or _ENTITY.fullmatch(arn)
    if not named:
        return None
    is_user = not session and named["kind"] == "user"
    store = iam._users if is_user else iam._roles
    found: dict[str, Any] | None = store.get_scoped(named["account"], None, named["name"])
    return found if session or (found and found["Arn"] == arn) else None


def is_visible(arn: str) -> bool:
    """Say whether a role or user, or the role of a session, is there for KMS by now.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
    """
    found = find(arn)
    if found is None:
        return False
    created = dt.datetime.fromisoformat(found["CreateDate"]).timestamp()
    return bool(created + current().principal_seconds <= now())


def arn_of_role(arn: str) -> str:
    """Return the ARN of the role of a session; what is none stays.

    It is what `aws:PrincipalArn` says of a session:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
    role = find(arn) if _SESSION.fullmatch(arn) else None
    return str(role["Arn"]) if role else arn


def as_arn(principal: str) -> str:
    """Return the ARN of a principal of a policy: an account's ID stands for its root."""
    return f"arn:aws:iam::{principal}:root" if _ACCOUNT.fullmatch(principal) else principal


def unique_id(arn: str) -> str | None:
    """Return the ID by which KMS keeps a role or user: a new one of the same name has another.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
    """
    if _SESSION.fullmatch(arn):
        return None
    found = find(arn)
    return str(found.get("RoleId") or found["UserId"]) if found else None
