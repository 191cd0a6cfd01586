"""What every contender is."""

from typing import Protocol

from bench.key_sets import KeySet


class Contender(Protocol):
    """A way to make a key set."""

    name: str
    """As it stands in the tables."""

    def prepare(self, key_set: KeySet) -> None:
        """Do what is not measured: what can be done once for many key sets."""

    def make(self, key_set: KeySet) -> float:
        """Make the key set; return the seconds on the wall.

        Raises
        ------
        BenchError
            It was not made.
        """
