"""Key sets that were finished, and changes of them, as their records have them."""

from typing import Any

from provisioner.aws.records import Record, Records, Status
from provisioner.domain.plan import KeyFacts, KeySetFacts, KeySetRequest, arn_in, key_facts, regions
from provisioner.errors import Problem
from tests.support.samples import EXECUTION, key_arn, request_of

CHANGE_EXECUTION = EXECUTION.replace("provision-key", "change-key-set")
OTHER_CHANGE_EXECUTION = CHANGE_EXECUTION.replace("first", "second")
REPLICAS = [{"region": "eu-west-1"}]
CREATED = request_of(description="first", replicas=REPLICAS)
CHANGED = request_of(description="second", replicas=REPLICAS, revision=2)
CHANGED_AGAIN = request_of(description="third", replicas=REPLICAS, revision=3)
PROBLEM: Problem = {"path": "policy", "code": "KMS_ACCESS_DENIED", "message": "It is not allowed."}


def key_of(request: KeySetRequest, arn: str | None = None) -> KeySetFacts:
    """Return the key set of a request as an outcome has it."""
    one = arn or key_arn(request["primaryRegion"])
    facts: list[KeyFacts] = [
        {"region": r, "arn": arn_in(r, one), "alias": request["alias"], "keyState": "Enabled"}
        for r in regions(request)
    ]
    found = key_facts(request, facts[0], facts[1:])
    assert found
    return found


def record_of(records: Records) -> Record:
    """Return the record of the request of these tests."""
    record = records.get(CREATED["requestId"])
    assert record
    return record


def create(
    records: Records,
    request: KeySetRequest = CREATED,
    execution: str = EXECUTION,
    arn: str | None = None,
) -> None:
    """Let a key set be created, and report that."""
    key = key_of(request, arn)
    assert records.claim(request, execution)[0]
    assert records.announce_attempt(request["requestId"], execution, 1, "token")
    records.close_attempt(request["requestId"], 1, key["primary"]["arn"])
    end(records, Status.CREATED, request, execution, key=key)


def claim(
    records: Records, request: KeySetRequest = CHANGED, execution: str = CHANGE_EXECUTION
) -> Record:
    """Let an execution claim a change."""
    claimed, record = records.claim_change(
        request, execution, seen=record_of(records), superseded={}
    )
    assert claimed
    return record


def end(
    records: Records,
    status: Status = Status.UPDATED,
    request: KeySetRequest = CHANGED,
    execution: str = CHANGE_EXECUTION,
    *,
    published: bool = True,
    **more: Any,
) -> None:
    """Let an execution record its outcome, and report that."""
    errors = [PROBLEM] if status in (Status.FAILED, Status.UPDATE_FAILED) else []
    fields = {"key": key_of(request), "errors": errors} | more
    assert records.finish(request, execution_arn=execution, status=status, **fields)
    if published:
        records.mark_published(request["requestId"], execution)


def change(
    records: Records,
    status: Status = Status.UPDATED,
    request: KeySetRequest = CHANGED,
    execution: str = CHANGE_EXECUTION,
    **more: Any,
) -> None:
    """Let an execution claim a change and end it."""
    claim(records, request, execution)
    end(records, status, request, execution, **more)
