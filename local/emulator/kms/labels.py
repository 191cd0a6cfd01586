"""What of a key's tags and aliases counts in authorisation by now.

A change of them can take up to five minutes to count:
https://docs.aws.amazon.com/kms/latest/developerguide/abac.html
"""

from dataclasses import dataclass
from typing import Any

from local.emulator.kms.keys import Key, aliases_of
from local.emulator.kms.settings import current, now


@dataclass(frozen=True)
class Labels:
    """A key's tags and the names of its aliases."""

    tags: dict[str, str]
    aliases: list[str]


def note_change(key: Key) -> None:
    """Note that a key's tags or aliases have changed, or that the key is new."""
    delay = current().authorization_seconds
    counts_at = now() + delay if delay else 0
    key.setdefault("_labels", []).append((counts_at, _current(key)))


def counted(key: Key) -> Labels:
    """Return the tags and aliases that count; of a key that no call has made, all do."""
    changes: list[tuple[float, Labels]] | None = key.get("_labels")
    if changes is None:
        return _current(key)
    moment = now()
    return next(
        (labels for counts_at, labels in reversed(changes) if counts_at <= moment), Labels({}, [])
    )


def _current(key: dict[str, Any]) -> Labels:
    tags = {tag["TagKey"]: tag["TagValue"] for tag in key.get("Tags", [])}
    return Labels(tags, [arn.split(":", 5)[5] for arn in aliases_of(key)])
