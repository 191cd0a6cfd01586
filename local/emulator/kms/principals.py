"""The principals of IAM, as KMS knows them."""

import datetime as dt
import re
from functools import lru_cache
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
    kind, account, name = _parts(arn)
    if not kind:
        return None
    store = iam._users if kind == "user" else iam._roles
    found: dict[str, Any] | None = store.get_scoped(account, None, name)
    return found if kind == "session" or (found and found["Arn"] == arn) else None


@lru_cache(maxsize=1024)
def _parts(arn: str) -> tuple[str, str, str]:
    """Split an ARN into its kind (`session`, `role`, `user` or none), account and name."""
    if session := _SESSION.fullmatch(arn):
        return "session", session["account"], session["name"]
    if named := _ENTITY.fullmatch(arn):
        return named["kind"], named["account"], named["name"]
    return "", "", ""


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
    role = find(arn) if _parts(arn)[0] == "session" else None
    return str(role["Arn"]) if role else arn


def as_arn(principal: str) -> str:
    """Return the ARN of a principal of a policy: an account's ID stands for its root."""
    return f"arn:aws:iam::{principal}:root" if _ACCOUNT.fullmatch(principal) else principal


def unique_id(arn: str) -> str | None:
    """Return the ID by which KMS keeps a role or user: a new one of the same name has another.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
    """
    found = find(arn) if _parts(arn)[0] != "session" else None
    return str(found.get("RoleId") or found["UserId"]) if found else None
