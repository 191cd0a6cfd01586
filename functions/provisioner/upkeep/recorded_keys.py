"""Which keys the table of requests names, whatever their tags say.

Tags can be removed and a key can be gone; the record stays. The whole table is read for this, once
by each worker of the sweep.
"""

from collections import Counter

from aws_lambda_powertools.metrics import MetricUnit

from provisioner.aws.records import Records, Status
from provisioner.domain.plan import arn_in, key_id_of, regions
from provisioner.telemetry import metrics
from provisioner.upkeep.key_checks import wanted_regions

_STATUSES = [
    status for status in Status if status not in {Status.REJECTED, Status.WAITING_FOR_APPROVAL}
]
"""Those of key sets that have a key. What waits for approval is counted by the sweep itself."""


class RecordedKeys:
    """The keys that records name, as one Region's worker needs them. Read when first asked for."""

    def __init__(self, records: Records, region: str) -> None:
        self._records = records
        self._region = region
        self._is_read = False
        self._named: dict[str, str] = {}
        self._expected: set[str] = set()
        self._released: set[str] = set()
        self._statuses: Counter[Status] = Counter()
        self._pending_deletion = 0

    def request_of(self, key_arn: str) -> str | None:
        """Return the ID of the request that a key, or its primary, is recorded for.

        Raises
        ------
        DependencyUnavailable
            DynamoDB did not answer.
        """
        self._read()
        return self._named.get(key_id_of(key_arn))

    def expected(self) -> set[str]:
        """Return the ARNs of the Region's keys whose key sets were created once, or failed.

        Not every key of a set that failed was created. Keys that a change has removed are among
        them until they are gone.

        Raises
        ------
        DependencyUnavailable
            DynamoDB did not answer.
        """
        self._read()
        return self._expected

    def is_released(self, key_arn: str) -> bool:
        """Whether a key belongs to a released set, which no other request manages.

        Raises
        ------
        DependencyUnavailable
            DynamoDB did not answer.
        """
        self._read()
        return key_id_of(key_arn) in self._released

    def count(self) -> None:
        """Count the key sets by the status of their records, and the keys that wait for deletion.

        These are the sets of all Regions, whose workers count the same: the largest number in an
        hour is the one to look at. A status that no set has is counted as 0, so that its line comes
        down. A released set is nobody's here and is not counted.

        Raises
        ------
        DependencyUnavailable
            DynamoDB did not answer.
        """
        self._read()
        for status in _STATUSES:
            metrics.add_dimension("status", status)
            metrics.add_metric("KeySets", MetricUnit.Count, self._statuses[status])
            metrics.flush_metrics()  # Clears the dimension too, which no other metric has.
        metrics.add_metric("PendingDeletions", MetricUnit.Count, self._pending_deletion)
        metrics.flush_metrics()

    def _read(self) -> None:
        if self._is_read:
            return
        managed: set[str] = set()
        for record in self._records.with_keys():
            arn, request = str(record.key_arn), record.request
            if record.released_at:
                # Another request may have adopted the keys since, and counts then.
                self._named.setdefault(key_id_of(arn), record.request_id)
                self._released.add(key_id_of(arn))
                continue
            self._statuses[record.status] += 1
            self._pending_deletion += len(record.removed)
            managed.add(key_id_of(arn))
            self._named[key_id_of(arn)] = record.request_id
            if record.ever_created:
                watched = [*wanted_regions(record), *record.removed]
            else:
                watched = regions(request) if request and record.status == Status.FAILED else []
            if self._region in watched:
                self._expected.add(arn_in(self._region, arn))
        self._released -= managed
        self._is_read = True
