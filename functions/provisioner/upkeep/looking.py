"""Compares key sets with their declarations when events arrive, and publishes what has drifted.

However many events a batch has of a key set, it is looked at once, and not again for events of
before that look. What was published is kept, so that a difference is published once until it
changes; one that holds no more is forgotten. A key set that a run works on, or has just worked on,
is looked at later: what is seen of it then is neither old nor new.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from typing import TypedDict

from aws_lambda_powertools.metrics import MetricUnit

from provisioner.aws import event_bus, executions
from provisioner.aws.approvals import Approvals
from provisioner.aws.client_types import EventBridgeClient, KMSClient, SFNClient
from provisioner.aws.drift_table import DriftTable, Watched
from provisioner.aws.look_queue import LookQueue
from provisioner.aws.operations import Operations
from provisioner.aws.records import UNDER_WAY, Record, Records, Status
from provisioner.change.observe import read_key_set
from provisioner.clock import now
from provisioner.domain import drift, key_access
from provisioner.domain.change import ObservedSet
from provisioner.domain.drift import Difference, Repair
from provisioner.domain.operation import Kind, Operation
from provisioner.domain.plan import (
    KeySetRequest,
    arn_in,
    fingerprint,
    is_decommissioned,
    plan_key,
)
from provisioner.domain.policy_evaluation import Role
from provisioner.errors import KmsKeyNotFound, PromotionUnderWay
from provisioner.intake.envelope import resumed
from provisioner.json_text import JsonObject
from provisioner.outcomes.outcome import ENDS_OF_WAITING
from provisioner.settings import Settings
from provisioner.telemetry import logger, metrics
from provisioner.upkeep.key_events import KeyEvent, cause_of

DETAIL_TYPE = "Multi-Region Key Drift Detected"
LOOK_SECONDS = 120
"""How long a look takes at most: the timeout of the function."""
_AGAIN = 30
"""Seconds until the next look at a key set that cannot be judged now."""
_EARLY = 5
"""Seconds before a look that is on its way, from which on others are made as well."""
_SETTLING = timedelta(minutes=5)
"""KMS may show what was before a change for so long.
https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html#programming-eventual-consistency
"""
_LATE = timedelta(seconds=5)
"""How much earlier than an event's time, in whole seconds, a change may still show afterwards."""
_REPAIRS_A_DAY = 3
_TRIED_AGAIN_AFTER = timedelta(minutes=50)
"""A repair that has not lasted is tried again by the look that the next hour's sweep asks for."""
_FINISH_FIRST = (
    "A change of this key set has failed. Finish it first: send the same revision again, or the "
    "next one. Either makes the key as declared."
)


class Cause(TypedDict):
    """The event that may have caused a difference: what was called when, and by whom, if known."""

    arn: str | None
    eventName: str
    at: str
    eventId: str


class DriftDetail(Difference, TypedDict):
    """A difference as its event has it; `by` is null where no event names a cause."""

    requestId: str
    revision: int
    keyArn: str
    by: Cause | None
    ticket: JsonObject | None


class _NotNow(Exception):
    """The key set cannot be judged now, but after some seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(frozen=True)
class Looker:
    """What looks at key sets. `role` is the one under which it reads keys."""

    records: Records
    operations: Operations
    approvals: Approvals
    table: DriftTable
    queue: LookQueue
    kms_for: Callable[[str], KMSClient]
    events: EventBridgeClient
    step_functions: SFNClient
    role: Role
    repairs: bool
    settings: Settings

    def look(self, request_id: str, events: Sequence[KeyEvent]) -> None:
        """Look at a key set, unless a look was made since what the events report.

        Parameters
        ----------
        events
            What the look is asked for because of; none where it is not because of events.

        Raises
        ------
        KmsError, DependencyUnavailable, EventNotPublished
            The look is to be made again.
        """
        if self.table.leave_to_next_look(request_id, events):
            return
        record = self.records.get(request_id)
        if record is None or not record.ever_created:
            return
        if _is_under_way(record):
            self._look_later(request_id, events, _AGAIN)
            return
        worker = str(uuid.uuid4())
        watched = self.table.take(request_id, worker, LOOK_SECONDS)
        if watched is None:
            self._look_later(request_id, events, _AGAIN)
        elif record.released_at:  # Nothing here manages its keys, so nothing of them is open.
            self.table.save(request_id, worker, replace(watched, published={}, owes_repair=False))
        elif _was_looked_at(watched, events):
            self.table.save(request_id, worker, watched)
        else:
            self._look(record, _with_waiting(events, watched), watched, worker)

    def _look(
        self, record: Record, events: Sequence[KeyEvent], watched: Watched, worker: str
    ) -> None:
        request_id, published = record.request_id, dict(watched.published)
        watched, began = replace(watched, published=published), now()
        try:
            found = self._compare(record)
            before, shut_out = watched.shut_out, _shut_out(found)
            watched = replace(watched, shut_out=shut_out)
            _check_shut_out_twice(shut_out, before)
            fresh = [one for one in found if self._is_news(record, one, events, watched)]
            owes_repair = (
                self.repairs
                and bool(found)
                and (bool(fresh) or watched.owes_repair or self._may_try_again(request_id, watched))
            )
            if fresh or owes_repair:
                self._check_quiet(record)
            for one in fresh:
                self._publish(record, one, events)
                published[drift.subject_of(one)] = drift.digest_of(one, self.settings)
            for subject in published.keys() - {*map(drift.subject_of, found)}:
                logger.info("drift is settled", subject=subject)
                del published[subject]
            watched = replace(watched, looked=began, owes_repair=owes_repair)
            if owes_repair:
                watched = self._repair(record, found, watched)
        except _NotNow as not_now:
            self._look_later(request_id, events, not_now.seconds)
        except PromotionUnderWay:
            self._look_later(request_id, events, _AGAIN)
        finally:
            self.table.save(request_id, worker, watched)

    def _look_later(self, request_id: str, events: Sequence[KeyEvent], seconds: int) -> None:
        """Ask for another look; sent first, so that it may be sent twice and is never lost.

        However long the sending takes, that look comes after the end of what is written down.
        """
        until = now() + timedelta(seconds=seconds - _EARLY)
        self.queue.ask(request_id, events, seconds)
        self.table.look_again(request_id, until)

    def _compare(self, record: Record) -> list[Difference]:
        applied, key_arn = record.applied, record.key_arn
        if applied is None or key_arn is None or record.request is None:
            return []
        request = record.request if record.is_changing else applied
        shut_out: set[str] = set()
        try:
            read = read_key_set(
                applied,
                request,
                key_arn,
                superseded={},
                kms_for=self.kms_for,
                tagging_for=None,
                shut_out=shut_out,
            )
        except KmsKeyNotFound:
            read = None
        empty: ObservedSet = {"primaryRegion": applied["primaryRegion"], "keys": {}}
        observed = read[0] if read else empty
        if drift.is_moving(observed):
            raise _NotNow(_AGAIN)
        declared = [applied, *([request] if request != applied else [])]
        found = drift.differences(
            declared, observed, self.settings, removed=record.removed, shut_out=shut_out
        )
        return [
            self._as_it_may_be(record, one)
            for one in found
            if self._lets_the_stack_look(request, one)
        ]

    def _lets_the_stack_look(self, request: KeySetRequest, difference: Difference) -> bool:
        """Whether the key policy that is declared lets the stack look: else nothing was changed."""
        if difference["to"] != drift.SHUT_OUT:
            return True
        region = difference["region"]
        policy = plan_key(request, region, self.settings).policy
        is_let_in = key_access.may_read(policy, self.role, region, self.settings)
        if not is_let_in:
            logger.warning("the declared key policy lets nobody look", region=region)
        return is_let_in

    def _as_it_may_be(self, record: Record, difference: Difference) -> Difference:
        """Say what is to be done first where no operation can begin."""
        if difference["repair"]["operation"] and record.status == Status.UPDATE_FAILED:
            repair: Repair = {**difference["repair"], "operation": None}
            return {**difference, "repair": repair, "whatToDo": _FINISH_FIRST}
        return difference

    def _is_news(
        self, record: Record, difference: Difference, events: Sequence[KeyEvent], watched: Watched
    ) -> bool:
        before = watched.published.get(drift.subject_of(difference))
        if before != drift.digest_of(difference, self.settings):
            return True
        return _was_made_again(record, watched, cause_of(difference, events))

    def _check_quiet(self, record: Record) -> None:
        """Check that no run has worked on the key set since, nor just before.

        Raises
        ------
        _NotNow
            What was seen may be from before it.
        """
        latest = self.records.get(record.request_id)
        settling = min(_SETTLING, timedelta(seconds=self.settings.quiet_period_seconds))
        if latest is None or latest.version != record.version or record.published_at is None:
            raise _NotNow(_AGAIN)
        left = (record.published_at + settling - now()).total_seconds()
        if left > 0:
            raise _NotNow(min(_AGAIN, ceil(left)))

    def _publish(self, record: Record, difference: Difference, events: Sequence[KeyEvent]) -> None:
        cause = cause_of(difference, events)
        detail: DriftDetail = {
            "requestId": record.request_id,
            "revision": record.revision,
            "keyArn": arn_in(difference["region"], str(record.key_arn)),
            **difference,
            "by": _by(cause) if cause else None,
            "ticket": record.ticket,
        }
        event_bus.put_event(self.events, self.settings.event_bus, DETAIL_TYPE, detail)
        count()
        logger.warning(
            "drift", region=difference["region"], property=difference["property"], by=detail["by"]
        )

    def _may_try_again(self, request_id: str, watched: Watched) -> bool:
        """Whether what is open is to be repaired once more: a repair of it has not lasted.

        One that somebody has stopped is not tried again, nor one that waits for approval. One that
        has not ended otherwise has died before it could begin.
        """
        if watched.repairs and watched.repairs[-1] > (now() - _TRIED_AGAIN_AFTER).isoformat():
            return False
        last = self.operations.get(request_id, watched.repair) if watched.repair else None
        if last is not None and last.ended is None:
            return self.approvals.get(request_id) is None
        return last is None or not any(one["code"] in ENDS_OF_WAITING for one in last.errors)

    def _repair(self, record: Record, found: list[Difference], watched: Watched) -> Watched:
        """Start the operation that repairs all that was found, where none of it needs a person."""
        request = record.request
        may_begin = record.status in (Status.CREATED, Status.UPDATED)
        if not (self.repairs and may_begin and request and all(map(drift.repairs_itself, found))):
            return watched
        if self.approvals.get(record.request_id):
            logger.info("drift is not repaired while an approval is waited for")
            return watched
        day_ago = (now() - timedelta(days=1)).isoformat()
        lately = [at for at in watched.repairs if at > day_ago]
        if len(lately) >= _REPAIRS_A_DAY or is_decommissioned(request):
            logger.warning("drift is not repaired again today")
            return replace(watched, repairs=lately)
        digests = [drift.digest_of(one, self.settings) for one in found]
        operation: Operation = {
            "operationId": f"drift-{fingerprint([digests, watched.repairs])[:24]}",
            "operation": Kind.REPAIR.value,
            "confirm": [],
        }
        machine = self.settings.change_state_machine_arn
        arn = executions.new_execution_arn(machine, record.request_id)
        known = self.operations.begin(record.request_id, operation, arn, requester=None)
        document = resumed(request, None, operation)
        executions.start(self.step_functions, machine, known.execution_arn, document)
        logger.info("drift is repaired", operation_id=operation["operationId"])
        # What becomes of it: calls of our own roles are no reason for a look.
        self._look_later(record.request_id, [], _AGAIN)
        return replace(
            watched,
            repairs=[*lately, now().isoformat()],
            repair=operation["operationId"],
            owes_repair=False,
        )


def count() -> None:
    """Count a difference that is published."""
    metrics.add_metric("DriftDetected", MetricUnit.Count, 1)
    metrics.flush_metrics()


def by_request(
    looks: Iterable[tuple[str, Iterable[KeyEvent]]],
) -> dict[str, list[KeyEvent]]:
    """Gather what asks for looks at the same key sets, each event once, the oldest first."""
    gathered: defaultdict[str, list[KeyEvent]] = defaultdict(list)
    for request_id, events in looks:
        gathered[request_id] += events
    return {request_id: _in_order(events) for request_id, events in gathered.items()}


def _in_order(events: Iterable[KeyEvent]) -> list[KeyEvent]:
    by_id = {event["eventId"]: event for event in events}
    return sorted(by_id.values(), key=lambda event: event["at"])


def is_own(event: KeyEvent, settings: Settings) -> bool:
    """Whether a step of the workflow caused an event: a run ends with what was declared."""
    return event["role"] is not None and event["role"] in settings.key_role_names


def _is_under_way(record: Record) -> bool:
    return record.status in UNDER_WAY or record.operation is not None or not record.published


def _shut_out(found: Iterable[Difference]) -> list[str]:
    return [one["region"] for one in found if one["to"] == drift.SHUT_OUT]


def _check_shut_out_twice(shut_out: list[str], before: list[str]) -> None:
    """Check that keys which have refused a look have refused the one before as well.

    A refusal may pass: permissions of IAM take effect late, too. A key policy stays.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency

    Raises
    ------
    _NotNow
        One has not, so it is to be seen once more.
    """
    if not {*shut_out} <= {*before}:
        raise _NotNow(_AGAIN)


def _was_looked_at(watched: Watched, events: Sequence[KeyEvent]) -> bool:
    if watched.looked is None or not events or watched.owes_repair:
        return False
    return all(_is_before_look(event, watched) for event in events)


def _with_waiting(events: Sequence[KeyEvent], watched: Watched) -> list[KeyEvent]:
    """Return what a look is asked for because of, and what came while it was on its way."""
    since = [event for event in watched.waiting if not _is_before_look(event, watched)]
    return _in_order([*events, *since])


def _is_before_look(event: KeyEvent, watched: Watched) -> bool:
    """Whether a look was made since what an event reports."""
    looked = watched.looked
    return looked is not None and datetime.fromisoformat(event["at"]) + _LATE < looked


def _was_made_again(record: Record, watched: Watched, cause: KeyEvent | None) -> bool:
    """Whether a difference was repaired and made again with no look in between.

    Calls of our own roles are no reason for a look, so nothing has seen the repair.
    """
    ended = record.published_at
    if cause is None or ended is None or watched.looked is None or watched.looked >= ended:
        return False
    return datetime.fromisoformat(cause["at"]) >= ended.replace(microsecond=0)


def _by(event: KeyEvent) -> Cause:
    return {
        "arn": event["arn"],
        "eventName": event["name"],
        "at": event["at"],
        "eventId": event["eventId"],
    }
