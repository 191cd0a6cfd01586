"""Which requests events about keys and aliases belong to.

A key's tags say it, and where somebody has taken them away, a key of the same set in another Region
or the record that names the key's ID. An alias that was moved to another key is found by the record
that declares it. For these the table of requests is read as a whole, once for many events: what it
said is kept until an event is newer.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from provisioner.aws.client_types import TaggingClient
from provisioner.aws.records import Records
from provisioner.aws.tagging import find_tags
from provisioner.clock import now
from provisioner.domain.plan import (
    REQUEST_ID_TAG,
    STACK_TAG,
    arn_in,
    key_id_of,
    names_by_region,
)
from provisioner.settings import Settings
from provisioner.upkeep.key_events import KeyEvent

_KEYS_PER_CALL = 100
_LEAST_BETWEEN = timedelta(seconds=30)
"""Whatever comes meanwhile, the table is not read as a whole more often."""


class OwnersNotKnown(Exception):
    """The table of requests was read a moment ago, and an event is newer: ask again later."""


class Owners:
    """Finds the requests of keys and aliases. One lives as long as a function does."""

    def __init__(
        self,
        records: Records,
        tagging_for: Callable[[str], TaggingClient],
        settings: Settings,
    ) -> None:
        self._records = records
        self._tagging_for = tagging_for
        self._settings = settings
        self._read_at: datetime | None = None
        self._by_key: dict[str, str] = {}
        self._by_alias: dict[tuple[str, str], str] = {}

    def by_tags(self, events: Iterable[KeyEvent]) -> dict[str, str]:
        """Find the request of each key ID whose key says so in a Region of an event about it.

        Raises
        ------
        DependencyUnavailable
            The tagging API or DynamoDB did not answer.
        """
        ids: dict[str, dict[str, None]] = {}
        for event in events:
            ids.setdefault(event["region"], {}).update(dict.fromkeys(event["keyIds"]))
        said = {}
        for region, key_ids in ids.items():
            arns = [self._arn(region, key_id) for key_id in key_ids]
            for start in range(0, len(arns), _KEYS_PER_CALL):
                some = arns[start : start + _KEYS_PER_CALL]
                for arn, tags in find_tags(self._tagging_for(region), some).items():
                    if tags.get(STACK_TAG) == self._settings.stack_name:
                        said[key_id_of(arn)] = tags.get(REQUEST_ID_TAG, "")
        records = {one.request_id: one for one in self._records.get_many({*said.values()} - {""})}
        return {
            key_id: name
            for key_id, name in said.items()
            if (found := records.get(name)) and _names(found.key_arn, key_id)
        }

    def by_records(self, event: KeyEvent) -> set[str]:
        """Find the requests whose records name a key, or declare an alias, of an event.

        Raises
        ------
        OwnersNotKnown
            Ask again in half a minute.
        DependencyUnavailable
            DynamoDB did not answer.
        """
        found = self._named(event)
        known = [(event["region"], alias) in self._by_alias for alias in event["aliases"]]
        if (found and all(known)) or not self._is_newer(event):
            return found
        if self._read_at and now() - self._read_at < _LEAST_BETWEEN:
            raise OwnersNotKnown
        self._read()
        return self._named(event)

    def _named(self, event: KeyEvent) -> set[str]:
        keys = [self._by_key.get(key_id) for key_id in event["keyIds"]]
        aliases = [self._by_alias.get((event["region"], alias)) for alias in event["aliases"]]
        return {name for name in (*keys, *aliases) if name}

    def _is_newer(self, event: KeyEvent) -> bool:
        return self._read_at is None or datetime.fromisoformat(event["at"]) > self._read_at

    def _read(self) -> None:
        read_at = now()
        self._by_key, self._by_alias = {}, {}
        for record in self._records.with_keys():
            self._by_key[key_id_of(str(record.key_arn))] = record.request_id
            if record.applied:
                for region, names in names_by_region(record.applied).items():
                    for alias in names["aliases"]:
                        self._by_alias[region, alias] = record.request_id
        self._read_at = read_at

    def _arn(self, region: str, key_id: str) -> str:
        settings = self._settings
        home = f"arn:{settings.partition}:kms:{settings.home_region}:{settings.account_id}"
        return arn_in(region, f"{home}:key/{key_id}")


def _names(key_arn: str | None, key_id: str) -> bool:
    return key_arn is not None and key_id_of(key_arn) == key_id
