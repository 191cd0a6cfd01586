"""Which keys the table of requests names, whatever their tags say.

Tags can be removed and a key can be gone; the record stays. The whole table is read for this, once
by each worker of the sweep.
"""

from provisioner.aws.records import Records, Status
from provisioner.domain.plan import arn_in, key_id_of, regions
from provisioner.upkeep.key_checks import wanted_regions


class RecordedKeys:
    """The keys that records name, as one Region's worker needs them. Read when first asked for."""

    def __init__(self, records: Records, region: str) -> None:
        self._records = records
        self._region = region
        self._is_read = False
        self._named: dict[str, str] = {}
        self._expected: set[str] = set()
        self._released: set[str] = set()

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
