r"""Pairs of faults at every call of an addition, a promotion and a removal.

A second fault may hit any call after the first one, in whatever execution, the second sending
included. CI plays every single fault and a fixed share of the pairs. All of them, in some minutes:

    FAULTS_PAIRS=all pytest tests/faults/test_pairs_of_changes.py --disable-socket \
        --allow-unix-socket -s
"""

import os
from functools import partial

import pytest

from tests.support.faults.change_kinds import KINDS
from tests.support.faults.changes import ChangeScenario
from tests.support.faults.enumeration import play_all

ONE_IN = 1 if os.environ.get("FAULTS_PAIRS") == "all" else 100


FEW = {"a Region more, with imported material": 500}
"""One in so many pairs, where others are so much like it."""


@pytest.mark.parametrize(
    "kind",
    ["a Region more", "a Region more, with imported material", "a promotion", "a Region less"],
)
def test_a_change_is_made_once_after_pairs_of_faults(kind: str) -> None:
    before, document = KINDS[kind]
    make = partial(ChangeScenario, before=before, document=document)
    one_in = ONE_IN if ONE_IN == 1 else FEW.get(kind, ONE_IN)

    tally = play_all(make, one_in=one_in)

    print(
        f"{kind}: {tally.singles} single faults, {tally.pairs} pairs, {tally.seconds:.0f} seconds"
    )
    assert tally.failures[:10] == []
    assert tally.pairs > 50
