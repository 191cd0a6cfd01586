"""The lines of a planned batch: what planning learned of them and the report needs to know."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from provisioner import json_text
from provisioner.aws.records import FINISHED, Record
from provisioner.domain.plan import Expiry, material_terms
from provisioner.errors import Problem


@dataclass(frozen=True)
class PlannedLine:
    """What is known of a line before anything is started.

    `content` and `terms` say whether a record is of this very request; None where it is not valid.
    `execution` is the name of the execution that is started for it, None where none is needed, and
    `not_before` is when it is started, ISO 8601 in UTC.
    """

    number: int
    request_id: str | None
    content: str | None
    terms: list[Expiry | None] | None
    execution: str | None
    problems: list[Problem]
    not_before: str | None = None
    revision: int = 1


def is_created(record: Record, line: PlannedLine) -> bool:
    """Whether a record shows that a line's very request is finished and its event was sent."""
    return (
        record.status in FINISHED
        and record.published
        and record.revision == line.revision
        and record.content_hash == line.content
        and record.request is not None
        and material_terms(record.request) == line.terms
    )


def has_revision(record: Record, line: PlannedLine) -> bool:
    """Whether a line's revision is that of the record or the next; no other one is taken."""
    return line.revision in (record.revision, record.revision + 1)


def lines_text(lines: Iterable[PlannedLine]) -> str:
    """Write planned lines as JSON Lines; `parse_lines` reads them."""
    return "".join(json_text.text(asdict(line)) + "\n" for line in lines)


def parse_lines(content: bytes) -> list[PlannedLine]:
    """Read what `lines_text` wrote."""
    return [PlannedLine(**json.loads(line)) for line in content.splitlines()]
