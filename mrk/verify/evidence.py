"""What a run has seen so far, and the questions it answers from that."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from mrk.errors import MrkError
from mrk.stack import Stack
from mrk.verify.account import Account
from mrk.verify.key_sets import KeySets


class Verdict(StrEnum):
    """How what was seen compares with what was expected."""

    HOLDS = "holds"
    WRONG = "wrong"
    NOT_ASKED = "not asked"


class NotAsked(Exception):
    """A question cannot be asked here; the message says why."""


@dataclass
class Evidence:
    """What a run has seen so far."""

    stack: Stack
    account: Account
    key_sets: KeySets
    timeout: float
    """How long a request may take, in seconds."""
    plans: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By the key set's name, the keys that the stack plans."""
    sent: list[str] = field(default_factory=list)
    """Names of the key sets whose requests may have reached the stack."""
    statuses: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The last status of each request, by the key set's name."""
    delays: dict[str, float] = field(default_factory=dict)
    """Seconds after the complete set's primary was created, by what was seen then."""
    material: bytes = field(default=b"", repr=False)
    token_bytes: int = 0
    """The longest import token so far."""
    events_taken: bool = False
    """Whether the bus took a request from this caller."""
    event_refusal: str | None = None
    """How the bus refused one."""

    def created(self, name: str) -> dict[str, Any]:
        """Return the key set, as its status shows it.

        Raises
        ------
        NotAsked
            It was not created; the step that creates it says why.
        """
        status = self.statuses.get(name, {})
        if status.get("status") != "CREATED":
            raise NotAsked(f"Key set {name} was not created.")
        key: dict[str, Any] = status["key"]
        return key


@dataclass(frozen=True)
class Answer:
    """What was seen, in one line, and whether that is what was expected."""

    seen: str
    holds: bool


@dataclass(frozen=True)
class Question:
    """Something to do or to read, and what is expected of it."""

    id: str
    expected: str
    ask: Callable[[Evidence], Answer]


@dataclass(frozen=True)
class Row:
    """One row of the printed table."""

    id: str
    expected: str
    seen: str
    verdict: Verdict

    def as_json(self) -> dict[str, str]:
        """Return the row as verify.json has it."""
        return {name: str(value) for name, value in asdict(self).items()}


type Ask = Callable[[Evidence], Answer]


class Questions(list[Question]):
    """Questions in the order in which they are asked."""

    def add(self, id_: str, expected: str) -> Callable[[Ask], Ask]:
        """Add what the decorated function asks."""

        def added(ask: Ask) -> Ask:
            self.append(Question(id_, expected, ask))
            return ask

        return added

    def add_not_asked(self, id_: str, expected: str, reason: str) -> None:
        """Add what nobody can ask from outside, with the reason."""

        def never(_: Evidence) -> Answer:
            raise NotAsked(reason)

        self.append(Question(id_, expected, never))


def answer(question: Question, evidence: Evidence) -> Row:
    """Ask a question; a call that fails is an answer too."""
    try:
        found = question.ask(evidence)
        verdict = Verdict.HOLDS if found.holds else Verdict.WRONG
        seen = found.seen
    except NotAsked as reason:
        verdict, seen = Verdict.NOT_ASKED, str(reason)
    except (MrkError, ClientError, BotoCoreError) as error:
        verdict, seen = Verdict.WRONG, str(error)
    return Row(question.id, question.expected, seen, verdict)
