"""What needs approval, what exactly is approved, and who may approve it."""

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import TypedDict

from provisioner.domain.change import Change
from provisioner.domain.operation import Operation
from provisioner.domain.plan import KeySetRequest, fingerprint, regions
from provisioner.domain.provenance import Via
from provisioner.json_text import Json, size

MAX_SHOWN_BYTES = 512
"""Of one value in what approvers are shown; the plan that the API answers has all of it."""
MAX_PLAN_BYTES = 48 * 1024
"""Of all that approvers are shown, which an event carries beside a request's ticket."""


class Mode(StrEnum):
    """The stack's parameter RequireApproval: which requests need it."""

    NONE = "none"
    HOOKS = "hooks"
    """What came through a webhook."""
    DESTRUCTIVE = "destructive"
    """That, and whatever needs a word of `confirm`."""
    ALL = "all"


class Decision(StrEnum):
    """What an approver decides."""

    APPROVE = "APPROVE"
    REFUSE = "REFUSE"


Planned = TypedDict(
    "Planned",
    {
        "region": str,
        "property": str,
        "from": Json,
        "to": Json,
        "call": str,
        "confirm": str | None,
    },
)
"""One thing that is going to be done in one Region, as approvers see it."""


class Content(TypedDict):
    """What exactly is approved: a request, and of a change each single one, as fingerprints."""

    request: str
    changes: list[str]


def is_needed(mode: str, via: Via | None, words: Collection[str]) -> bool:
    """Whether a request needs approval; `words` are those of `confirm` that it takes."""
    if mode == Mode.NONE:
        return False
    return mode == Mode.ALL or via is not None or (mode == Mode.DESTRUCTIVE and bool(words))


def content_of(request: KeySetRequest, changes: Iterable[Change] = ()) -> Content:
    """Return what is approved of a request; of a change, what it does as well."""
    done = [{name: change[name] for name in _WHAT_IS_DONE} for change in changes]  # type: ignore[literal-required]
    return {"request": fingerprint(request), "changes": sorted(map(fingerprint, done))}


_WHAT_IS_DONE = ("region", "property", "to", "call", "confirm")


def hash_of(content: Content) -> str:
    """Return the text by which approvers name what they approve."""
    return fingerprint(content)


def covers(approved: Content, content: Content) -> bool:
    """Whether all that is left to do was approved: the same request, and no change beside those."""
    is_same = approved["request"] == content["request"]
    return is_same and set(content["changes"]) <= set(approved["changes"])


def planned_keys(request: KeySetRequest) -> list[Planned]:
    """List the keys of a new set as approvers see them."""
    facts = ("alias", "keySpec", "keyUsage", "origin")
    return [
        {
            "region": region,
            "property": "key",
            "from": None,
            "to": {name: request[name] for name in facts},  # type: ignore[literal-required]
            "call": "CreateKey" if region == request["primaryRegion"] else "ReplicateKey",
            "confirm": None,
        }
        for region in regions(request)
    ]


def planned_operation(request: KeySetRequest, operation: Operation) -> list[Planned]:
    """List what an operation is for, as approvers see it: the Regions, and the words."""
    words = operation["confirm"]
    return [
        {
            "region": region,
            "property": "operation",
            "from": None,
            "to": operation["operation"],
            "call": operation["operation"],
            "confirm": next((word for word in words if word.endswith(f":{region}")), None),
        }
        for region in regions(request)
    ]


def shown(changes: Iterable[Change]) -> list[Planned]:
    """List changes as approvers see them, a long value by its size only."""
    rows: list[Planned] = []
    for one in changes:
        row: Planned = {
            "region": one["region"],
            "property": one["property"],
            "from": _short(one["from"]),
            "to": _short(one["to"]),
            "call": one["call"],
            "confirm": one["confirm"],
        }
        rows.append(row)
    return (
        rows
        if size(rows) <= MAX_PLAN_BYTES
        else [{**row, "from": None, "to": None} for row in rows]
    )


def _short(value: Json) -> Json:
    length = size(value)
    return value if length <= MAX_SHOWN_BYTES else f"({length} bytes; see the plan)"


def approvals_needed(requester: str | None) -> int:
    """Return how many have to approve: two where one of them might be who asked."""
    return 1 if requester else 2


def is_one_of(approver: str, people: Sequence[str], *, one_per_role: bool) -> bool:
    """Whether an approver may be one of these people: the same ARN, or the same session name.

    A session's name is its caller's choice, unless the role's trust policy fixes it.
    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html

    Parameters
    ----------
    one_per_role
        Take all sessions of a role for one person.
    """
    return any(
        approver.casefold() == one.casefold()
        or _name(approver) == _name(one)
        or (one_per_role and _role(approver) is not None and _role(approver) == _role(one))
        for one in people
    )


def _name(arn: str) -> str:
    """Return the session name in an ARN, or a user's name."""
    return arn.rsplit("/", 1)[-1].casefold()


def _role(arn: str) -> str | None:
    """Return account and role of `arn:aws:sts::111122223333:assumed-role/Role/session`."""
    account, _, rest = arn.partition(":assumed-role/")
    return f"{account.rsplit(':', 1)[-1]}/{rest.split('/', 1)[0]}" if rest else None
