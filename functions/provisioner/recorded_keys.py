"""Which keys the table of requests names, whatever their tags say.

Tags can be removed and a key can be gone; the record stays. The whole table is read for this, once
by each worker of the sweep.
"""

from functools import cached_property

from provisioner.plan import arn_in, regions
from provisioner.records import Records


class RecordedKeys:
    """The keys that records name, as one Region's worker needs them. Read when first asked for."""

    def __init__(self, records: Records, region: str) -> None:
        self._records = records
        self._region = region

    def request_of(self, key_arn: str) -> str | None:
        """Return the ID of the request that a key, or its primary, is recorded for."""
        return self._read[0].get(_key_id(key_arn))

    @property
    def expected(self) -> dict[str, str]:
        """The keys of the Region that were created once, by their ARNs, with their requests' IDs.

        Raises
        ------
        DependencyUnavailable
            DynamoDB did not answer.
        """
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[dict[str, str], dict[str, str]]:
        named, expected = {}, {}
        for record in self._records.with_keys():
            if record.key_arn is None or record.request is None:
                continue
            named[_key_id(record.key_arn)] = record.request_id
            if record.ever_created and self._region in regions(record.request):
                expected[arn_in(self._region, record.key_arn)] = record.request_id
        return named, expected


def _key_id(key_arn: str) -> str:
    return key_arn.rsplit("/", 1)[1]
