"""Checks every key of this stack in one Region, page by page, and says what is wrong.

Keys are compared with the table of requests: one that no record knows, one that is not Enabled, one
whose alias points elsewhere, one whose imported key material expires soon. A record names its keys
whatever their tags say; created keys that no page had, since they are gone or have lost their tags,
come after the last page. Nothing is deleted unless `SweeperMayDelete` allows it.

After each page the position is written down. A worker that stops, for whatever reason, is followed
by one that goes on there; docs/scale.md has the arithmetic.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import batched

from aws_lambda_powertools.metrics import MetricUnit

from provisioner.aws import kms
from provisioner.aws.client_types import EventBridgeClient, KeyMetadata, KMSClient, TaggingClient
from provisioner.aws.clients import CALLS_AT_ONCE
from provisioner.aws.drift_table import DriftTable
from provisioner.aws.look_queue import LookQueue
from provisioner.aws.records import UNDER_WAY, Record, Records, Removed
from provisioner.aws.sweep_table import Position, SweepTable
from provisioner.aws.tagging import Tags, find_page, find_tags
from provisioner.clock import instant_text, now, sleep
from provisioner.domain.key_states import PENDING_DELETION_STATES
from provisioner.domain.plan import (
    REQUEST_ID_TAG,
    STACK_TAG,
    key_id_of,
    plan_key,
    region_of,
)
from provisioner.errors import KmsError, KmsKeyNotFound, ProvisionerError
from provisioner.outcomes import findings, surplus
from provisioner.outcomes.findings import Action, Finding, Kind
from provisioner.settings import Settings
from provisioner.telemetry import logger, metrics
from provisioner.upkeep import key_checks
from provisioner.upkeep.comparison import Comparison, DescribedKey, is_watched
from provisioner.upkeep.open_findings import OpenFindings
from provisioner.upkeep.recorded_keys import RecordedKeys

WORKER_SECONDS = 900
"""How long a worker lives at most: the timeout of its function."""

DESCRIBE_KEY_A_SECOND = 100
LIST_ALIASES_A_SECOND = 25
GET_KEY_POLICY_A_SECOND = 50
"""Each is 5 % of KMS's quota in a Region: 2,000, 500 and 1,000 calls a second.
https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html
"""
GET_RESOURCES_A_SECOND = 1

_UNLISTED_AT_ONCE = 100
"""For how many keys the tagging API answers at most where they are asked for by their ARNs."""


@dataclass
class RegionSweeper:
    """What looks through one Region's keys. `kms`, `tagging` are clients of that Region."""

    region: str
    table_made_at: datetime
    records: Records
    recorded: RecordedKeys
    table: SweepTable
    kms: KMSClient
    tagging: TaggingClient
    events: EventBridgeClient
    drift: DriftTable
    looks: LookQueue
    settings: Settings
    _alias_targets: dict[str, str] = field(default_factory=dict, init=False)
    _named_keys: set[str] | None = field(default=None, init=False)
    _seen: set[str] = field(default_factory=set, init=False)
    _unlisted: list[str] | None = field(default=None, init=False)
    _failed: int = field(default=0, init=False)

    def sweep(
        self, worker: str, *, begin: bool, has_time: Callable[[], bool] = lambda: True
    ) -> Position | None:
        """Check the Region's keys, from where an earlier worker stopped.

        What cannot be checked is logged and counted, and the sweep goes on. Where the Region
        itself does not answer, the worker stops, and a later one goes on.

        Parameters
        ----------
        begin
            Whether to begin again where the last listing came to its end.
        has_time
            Whether there is time for another page.

        Returns
        -------
        Position or None
            How far the Region is; None where another worker is at it.

        Raises
        ------
        DependencyUnavailable
            The sweep's own table does not answer.
        """
        position = self.table.take(self.region, worker, WORKER_SECONDS)
        if position is None:
            return None
        try:
            found = OpenFindings(
                self.table, self.region, events=self.events, bus=self.settings.event_bus
            )
            try:
                for position in self._pages(position, found, begin=begin):  # noqa: B020
                    if not self.table.save(self.region, worker, position):
                        return None
                    if not has_time():
                        break
            finally:
                found.count()
        except ProvisionerError:
            self._failed += 1
            logger.exception("check failed", subject=self.region)
        finally:
            self.table.release(self.region, worker)
            metrics.add_metric("ChecksFailed", MetricUnit.Count, self._failed)
            metrics.flush_metrics()
        return position

    def _pages(self, position: Position, found: OpenFindings, *, begin: bool) -> Iterator[Position]:
        """Check one page after the other; yield the position before the first and after each."""
        if begin and not position.is_under_way:
            position = Position(
                is_under_way=True, begun_at=now().isoformat(), ended_at=position.ended_at
            )
            self._close_those_of_deleted_keys(found)
            if self.region == self.settings.home_region:
                self._look_again()
            yield position
        while position.is_under_way:
            look = self._check_unlisted if position.is_listed else self._check_page
            position = look(position, found)
            yield position

    def _look_again(self) -> None:
        """Ask for a look at each key set that is known not to be as declared: it may be by now."""
        known = self.drift.open_sets()
        for request_id in known:
            self.looks.ask(request_id)
        metrics.add_metric("OpenDrift", MetricUnit.Count, len(known))
        metrics.flush_metrics()

    def _close_those_of_deleted_keys(self, found: OpenFindings) -> None:
        # Nothing lists them any more, so no page would. Created ones come after the last page.
        about_keys = [about for about in found.abouts() if about != self.region]
        expected = self.recorded.expected() if about_keys else set()
        keys = []
        for arn in about_keys:
            if self.recorded.is_released(arn):
                found.settle(arn, [])
            elif arn not in expected:
                keys.append(arn)
        for arn, answer in self._describe(keys):
            if isinstance(answer, KmsKeyNotFound):
                found.settle(arn, [])

    def _check_page(self, position: Position, found: OpenFindings) -> Position:
        began = now()
        ours = {STACK_TAG: self.settings.stack_name}
        page = find_page(self.tagging, ours, position.token)
        if page is None:
            # Listed once more from the start; what was checked is passed over, by its pages.
            return replace(position, token="", page=0)
        keys, token = page
        position = replace(position, token=token, page=position.page + 1)
        if position.page > position.looked:
            failed, earlier = self._check_keys(keys, found)
            self._failed += failed
            position = replace(
                position,
                looked=position.page,
                keys=position.keys + len(keys),
                failed=position.failed + failed,
                earlier=position.earlier + earlier,
            )
        if not token:
            found.settle(self.region, self._those_of_an_earlier_deployment(position.earlier))
            return self._check_unlisted(replace(position, is_listed=True), found)
        _keep_pace(began, 1, GET_RESOURCES_A_SECOND)
        return position

    def _check_keys(self, keys: dict[str, Tags], found: OpenFindings) -> tuple[int, int]:
        """Return how many keys could not be checked, and how many are of an earlier deployment."""
        self._seen |= keys.keys()
        known = self._records_of(keys)
        at_rest = self._at_rest(known, found)
        failed = earlier = 0
        described: list[DescribedKey] = []
        for arn, answer in self._describe(at_rest):
            record = known[arn]
            try:
                if isinstance(answer, KmsKeyNotFound):
                    self._check_missing(record, arn, found)
                elif isinstance(answer, KmsError):
                    raise answer
                elif record and _is_of(record, arn):
                    described.append(DescribedKey(record, keys[arn], answer))
                    found.settle(arn, self._check_key(record, keys[arn], answer))
                else:
                    earlier += self._is_of_an_earlier_deployment(record, answer)
                    self._check_surplus(keys[arn].get(REQUEST_ID_TAG), record, answer, found)
            except ProvisionerError:
                logger.exception("check failed", subject=arn)
                failed += 1
        return failed + self._compare(described), earlier

    def _compare(self, described: list[DescribedKey]) -> int:
        """Ask for a look at each key set of which a key is not as declared.

        Returns
        -------
        int
            How many keys could not be compared.
        """
        comparison = Comparison(self.region, self.kms, self._target_of, self.settings)
        watched = [
            key
            for key in described
            if is_watched(key.record) and not self._is_young(key.metadata["CreationDate"])
        ]
        failed = 0
        with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
            for some in batched(watched, CALLS_AT_ONCE, strict=False):
                began = now()
                for key, read in zip(some, pool.map(comparison.read, some), strict=True):
                    try:
                        if comparison.differs(key, read):
                            self.looks.ask(key.record.request_id)
                    except ProvisionerError:
                        logger.exception("comparison failed", subject=key.metadata["Arn"])
                        failed += 1
                _keep_pace(began, len(some), GET_KEY_POLICY_A_SECOND)
        return failed

    def _at_rest(self, known: dict[str, Record | None], found: OpenFindings) -> list[str]:
        """List the keys that no run works on, and surplus ones that were reported before.

        Nothing is wrong with the keys of a released set, whether they have tags of ours yet, or
        still, or not.
        """
        at_rest = []
        # No run of the request changes these, so what became of them is seen meanwhile too.
        surplus_before = {arn for arn in found.abouts() if not _is_of(known.get(arn), arn)}
        for arn, record in known.items():
            if _is_released(record, arn):
                found.settle(arn, [])
            elif _is_left_alone(record, arn) and arn not in surplus_before:
                # Its request goes on, so it is not what a failed one left.
                found.close(arn, Kind.UNFINISHED_KEY_SET)
            else:
                at_rest.append(arn)
        return at_rest

    def _records_of(self, keys: dict[str, Tags]) -> dict[str, Record | None]:
        """Find each key's record: the one that names it, else the one that its tag names."""
        names = {name for tags in keys.values() if (name := tags.get(REQUEST_ID_TAG))}
        records = {record.request_id: record for record in self.records.get_many(names)}
        known = {arn: records.get(tags.get(REQUEST_ID_TAG, "")) for arn, tags in keys.items()}
        named = {
            arn: request_id
            for arn, record in known.items()
            if not _is_of(record, arn) and (request_id := self.recorded.request_of(arn))
        }
        others = {one.request_id: one for one in self.records.get_many({*named.values()})}
        return known | {arn: others[name] for arn, name in named.items() if name in others}

    def _check_unlisted(self, position: Position, found: OpenFindings) -> Position:
        """Check some of the created keys that no page had: they are gone, or have lost their tags.

        Those that an earlier worker of this sweep had seen are among them; their tags say so.
        """
        began = now()
        if self._unlisted is None:
            self._unlisted = sorted(self.recorded.expected() - self._seen)
        some = [arn for arn in self._unlisted if arn > position.unlisted][:_UNLISTED_AT_ONCE]
        tags = find_tags(self.tagging, some)
        lost = [arn for arn in some if tags.get(arn, {}).get(STACK_TAG) != self.settings.stack_name]
        if lost:
            failed, _ = self._check_keys({arn: tags.get(arn, {}) for arn in lost}, found)
            self._failed += failed
            position = replace(position, failed=position.failed + failed)
        if not some or some[-1] == self._unlisted[-1]:
            self.recorded.count()
            return replace(position, is_under_way=False, ended_at=now().isoformat())
        _keep_pace(began, 1, GET_RESOURCES_A_SECOND)
        return replace(position, unlisted=some[-1])

    def _check_missing(self, record: Record | None, arn: str, found: OpenFindings) -> None:
        """Report a created key that KMS does not know; nothing is wrong with any other."""
        if record is None or not record.ever_created or not _is_of(record, arn):
            found.settle(arn, [])
            return
        region = region_of(arn)
        if removed := record.removed.get(region):
            self._report_deleted(record, arn, removed)
        is_missed = region in key_checks.wanted_regions(record)
        if is_missed and is_watched(record):
            self.looks.ask(record.request_id)
        found.settle(arn, [key_checks.missing(record, arn)] if is_missed else [])

    def _report_deleted(self, record: Record, arn: str, removed: Removed) -> None:
        """Report that a removed key is gone, and forget it then, so that it is reported once."""
        finding = key_checks.deleted(record, arn, removed)
        findings.publish(finding, events=self.events, bus=self.settings.event_bus)
        self.looks.ask(record.request_id)  # Nothing that was otherwise with the key is open now.
        self.records.forget_removed(record.request_id, region_of(arn), removed)

    def _check_key(self, record: Record, tags: Tags, metadata: KeyMetadata) -> list[Finding]:
        """Check a key that a record names."""
        if self._is_young(metadata["CreationDate"]):
            return []
        # The tagging API follows KMS with some delay.
        has_new_tags = record.adopted_at is not None and self._is_young(record.adopted_at)
        found = [
            *([] if has_new_tags else key_checks.find_tags(record, tags, metadata, self.settings)),
            *key_checks.find_promotion(record, metadata),
        ]
        if not record.ever_created or record.request is None:
            return [*found, *key_checks.find_unfinished(record, metadata)]
        return [
            *key_checks.find_state(record, metadata),
            *found,
            *self._check_alias(record, metadata),
            *key_checks.find_expiry(record, record.request, metadata, self.settings),
        ]

    def _check_surplus(
        self,
        request_id: str | None,
        record: Record | None,
        metadata: KeyMetadata,
        found: OpenFindings,
    ) -> None:
        """Report a key that no record names; schedule its deletion where that is allowed."""
        arn = metadata["Arn"]
        if (
            self._is_young(metadata["CreationDate"])
            or metadata["KeyState"] in PENDING_DELETION_STATES
            or self._is_of_an_earlier_deployment(record, metadata)
        ):
            found.settle(arn, [])
            return
        goes = self._may_go(record, metadata) and not self._is_used(metadata)
        if goes:
            # What is read now, and consistently, decides.
            record = self.records.get(request_id) if request_id else None
            metadata = kms.describe_key(self.kms, arn)
            if not self._may_go(record, metadata):
                found.settle(arn, [])
                return
        # Published first: once it waits for its deletion, nothing checks it again.
        found.settle(arn, [surplus.surplus_key(request_id, metadata, Action.REPORTED)])
        if goes:
            surplus.retire_surplus_key(
                request_id, metadata, client=self.kms, events=self.events, settings=self.settings
            )

    def _may_go(self, record: Record | None, metadata: KeyMetadata) -> bool:
        # The key of an open attempt is the request's own as soon as it is sent again.
        is_adoptable = record is not None and record.open_attempt is not None
        return (
            self.settings.sweeper_may_delete
            and not is_adoptable
            and not _is_under_way(record)
            and not _is_of(record, metadata["Arn"])
            and metadata["KeyState"] not in PENDING_DELETION_STATES
        )

    def _is_used(self, metadata: KeyMetadata) -> bool:
        if self._named_keys is None:
            self._list_aliases()
        replicas = metadata.get("MultiRegionConfiguration", {}).get("ReplicaKeys")
        return bool(replicas) or metadata["KeyId"] in (self._named_keys or ())

    def _is_of_an_earlier_deployment(self, record: Record | None, metadata: KeyMetadata) -> bool:
        """Whether the table cannot know the key, because the key was there before the table."""
        return (
            not _is_of(record, metadata["Arn"])
            and metadata["KeyState"] not in PENDING_DELETION_STATES
            and metadata["CreationDate"] < self.table_made_at
        )

    def _those_of_an_earlier_deployment(self, number: int) -> Iterator[Finding]:
        if not number:
            return
        text = (
            f"{number} keys in {self.region} carry the tags of {self.settings.stack_name} and are "
            f"older than its table of requests, {self.settings.requests_table}, which was made at "
            f"{instant_text(self.table_made_at)} and has no record of them. They are left alone. "
            "Deploy the stack with the earlier table (ExistingRequestsTable)."
        )
        yield Finding(Kind.KEYS_OF_AN_EARLIER_DEPLOYMENT, None, self.region, None, text)

    def _check_alias(self, record: Record, metadata: KeyMetadata) -> Iterator[Finding]:
        arn, request_id = metadata["Arn"], record.request_id
        region = region_of(arn)
        wanted = key_checks.wanted_regions(record)
        if region not in wanted or metadata["KeyState"] in PENDING_DELETION_STATES:
            return  # Somebody made this replica beside the request, or means to delete the key.
        # A change that failed may have come so far or not.
        declared = [record.request, *([record.applied] if record.is_changing else [])]
        aliases = [plan_key(one, region, self.settings).alias for one in declared if one]
        names = [alias for alias in aliases if alias]
        if names != aliases or metadata["KeyId"] in map(self._target_of, names):
            return
        alias = names[0]
        # What was listed may be minutes old.
        if (target := kms.find_alias(self.kms, alias)) != arn:
            text = f"{alias} in {region} points to {target or 'no key'}, not to {arn}."
            yield Finding(Kind.ALIAS_ELSEWHERE, request_id, region, arn, text)

    def _target_of(self, alias: str) -> str | None:
        if self._named_keys is None:
            self._list_aliases()
        return self._alias_targets.get(alias)

    def _list_aliases(self) -> None:
        """List all aliases of the Region once: a page has a hundred, where DescribeKey has one."""
        began = now()
        for page in kms.list_aliases(self.kms):
            self._alias_targets |= page
            _keep_pace(began, 1, LIST_ALIASES_A_SECOND)
            began = now()
        self._named_keys = set(self._alias_targets.values())

    def _describe(self, arns: Iterable[str]) -> Iterator[tuple[str, KeyMetadata | KmsError]]:
        """Read the metadata of keys, some side by side, and yield each key with KMS's answer."""
        with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
            for some in batched(arns, CALLS_AT_ONCE, strict=False):
                began = now()
                yield from zip(some, pool.map(self._answer_about, some), strict=True)
                _keep_pace(began, len(some), DESCRIBE_KEY_A_SECOND)

    def _answer_about(self, arn: str) -> KeyMetadata | KmsError:
        try:
            return kms.describe_key(self.kms, arn)
        except KmsError as error:
            return error

    def _is_young(self, since: datetime) -> bool:
        return now() - since < timedelta(seconds=self.settings.quiet_period_seconds)


def pause(calls: int, calls_a_second: int, seconds: float) -> float:
    """Say how long to wait after calls that took so many seconds, to stay under a rate."""
    return max(0.0, calls / calls_a_second - seconds)


def _keep_pace(began: datetime, calls: int, calls_a_second: int) -> None:
    sleep(pause(calls, calls_a_second, (now() - began).total_seconds()))


def _is_under_way(record: Record | None) -> bool:
    return record is not None and record.status in UNDER_WAY


def _is_of(record: Record | None, arn: str) -> bool:
    """Whether the key, or its primary, is the one that is recorded."""
    return (
        record is not None
        and record.key_arn is not None
        and key_id_of(record.key_arn) == key_id_of(arn)
    )


def _is_released(record: Record | None, arn: str) -> bool:
    """Whether the key belongs to a set that was released, or whose adoption is not finished."""
    return record is not None and record.released_at is not None and _is_of(record, arn)


def _is_left_alone(record: Record | None, arn: str) -> bool:
    """Whether a run works on the key, or may have made it. What was created stays watched.

    While it is changed it is neither as it was nor as it will be.
    """
    return (
        record is not None
        and record.status in UNDER_WAY
        and (record.is_changing or not (record.ever_created and _is_of(record, arn)))
    )
