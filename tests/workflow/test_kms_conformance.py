"""The emulator's KMS beside the real one: what AWS was seen to answer, row by row.

`tests/support/stack/kms_observed.json` holds the rows and says where they are from.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from local.stack.endpoint import Endpoint
from tests.support.stack.kms_arrangement import Arrangement
from tests.support.stack.observed import ROWS, Row, assert_answers_as_kms_did

ALL_OBSERVED = 160


def calls_of(row: Row) -> Iterator[Any]:
    """Return a call for each value that the row was seen for."""
    several = {name: value for name, value in row["params"].items() if _is_several(name, value)}
    if not several:
        yield pytest.param(row, row["params"], id=row["case"])
    for name, values in several.items():
        for value in values:
            yield pytest.param(row, row["params"] | {name: value}, id=f"{row['case']}-{value}")


def _is_several(name: str, value: Any) -> bool:
    return isinstance(value, list) and name not in ("Tags", "TagKeys")


@pytest.fixture
def arrangement(emulator: Endpoint) -> Iterator[Arrangement]:
    with emulator.changed_kms_settings(creating_seconds=0, updating_seconds=0):
        yield Arrangement(emulator)


@pytest.mark.parametrize(("row", "parameters"), [call for row in ROWS for call in calls_of(row)])
def test_the_emulator_answers_as_kms_did(
    arrangement: Arrangement, row: Row, parameters: dict[str, Any]
) -> None:
    assert_answers_as_kms_did(arrangement, row, parameters)


def test_every_observation_is_shown() -> None:
    shown = [row["case"] for row in ROWS]

    assert len(set(shown)) == len(shown) == ALL_OBSERVED
