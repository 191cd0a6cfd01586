"""Who asked for a run of a request, and who approved it."""

from typing import TypedDict


class Via(TypedDict):
    """The webhook through which a request came, and whom its ticket system names, if anybody."""

    hook: str
    actor: str | None


class Approval(TypedDict):
    """What one approver has decided.

    `approver` is the ARN that IAM shows of the caller, `decision` APPROVE or REFUSE, `at` ISO 8601
    in UTC, and `sourceIp` where the call came from.
    """

    approver: str
    decision: str
    at: str
    comment: str | None
    sourceIp: str | None


class Provenance(TypedDict):
    """Who asked for a run of a request, by which webhook, and who decided about it.

    `requester` is the ARN that IAM shows of the API's caller, None for everybody else: events,
    started executions, batches and webhooks show nobody.
    """

    requester: str | None
    via: Via | None
    approvals: list[Approval]


UNKNOWN: Provenance = {"requester": None, "via": None, "approvals": []}
