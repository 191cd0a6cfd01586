"""Following requests to their ends: a line for each Region, changed where it stands or appended."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from mrk.commands.caller import Caller, on_interrupt, say
from mrk.errors import MrkError, Refused

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mrk.api import Api

TIMEOUT = 900.0
FINISHED = ("CREATED", "UPDATED", "DECOMMISSIONED")
"""The key set is as its request says."""
_ENDED = (*FINISHED, "FAILED", "REJECTED", "UPDATE_FAILED")
_GOOD = (*FINISHED, "FINISHED")
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.5, 5.0, 1.2
_WAITS = {
    "WAITING_FOR_APPROVAL": "waits for approval",
    "WAITING_FOR_MATERIAL": "waits for key material",
}

timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=TIMEOUT,
    show_default=True,
    help="Seconds to wait; what was asked goes on after that.",
)


@dataclass
class Followed:
    """A request that is followed, and how it stands.

    `known` are the outcomes that it had before what is waited for was asked; None where the next
    end of whatever is under way counts. `operation_id` names the operation that is waited for.
    """

    request_id: str
    regions: Sequence[str] = ()
    known: frozenset[str] | None = None
    operation_id: str | None = None
    status: dict[str, Any] = field(default_factory=dict)
    outcome: dict[str, Any] | None = None
    seconds: float = 0

    def look(self, api: "Api") -> None:
        """Read how it stands."""
        self.status = _found(lambda: api.get("keys", self.request_id)) or {}
        if self.known is None and self.operation_id is None:
            ended = self.status.get("status") in _ENDED and not self.status.get("operation")
            self.outcome = self.status if ended else None
            return
        for one in outcomes_of(api, self.request_id):
            if self.operation_id:
                is_ours = one.get("operationId") == self.operation_id
            else:
                is_ours = one["outcomeId"] not in (self.known or ()) and "operation" not in one
            if is_ours:
                self.outcome = one
        if self.outcome:
            # What was read before the outcome may be from before it.
            self.status = _found(lambda: api.get("keys", self.request_id)) or {}

    @property
    def word(self) -> str:
        """How it stands, in a word."""
        if self.outcome:
            return str(self.outcome["status"])
        word = str(self.status.get("status") or "ACCEPTED")
        # How it ended before is no news.
        return "ACCEPTED" if word in _ENDED else word

    @property
    def states(self) -> dict[str, str]:
        """How the key of each Region stands that is known of or asked for."""
        key = self.status.get("key") or {}
        members = [key["primary"], *key["replicas"]] if key else []
        found = {one["region"]: one.get("keyState") or "exists" for one in members}
        return dict.fromkeys(self.regions, "to come") | found

    @property
    def is_good(self) -> bool:
        """Whether it ended as it was asked."""
        return bool(self.outcome) and self.word in _GOOD

    def ended(self) -> dict[str, Any]:
        """Return its status, with `outcome`: what was waited for."""
        outcome = self.outcome or {}
        kept = ("operation", "operationId", "revision", "status", "errors")
        named = {name: outcome[name] for name in kept if name in outcome}
        if outcome is self.status:
            named.pop("operation", None)
        return {"requestId": self.request_id, **self.status, "outcome": named}


def outcomes_of(api: "Api", request_id: str) -> list[dict[str, Any]]:
    """List the outcomes of a request so far, the oldest first; none where it is not known."""
    answer = _found(lambda: api.get("keys", request_id, "history"))
    return answer["outcomes"] if answer else []


def _found(read: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return read()
    except Refused as refused:
        if any(one["code"] == "NOT_FOUND" for one in refused.problems):
            return None
        raise


def follow(caller: Caller, request_ids: Sequence[str], *, timeout: float) -> int:
    """Follow requests until whatever is under way has ended; return the exit code."""
    for request_id in request_ids:
        caller.api.get("keys", request_id)  # Of one that does not exist, nothing is to come.
    return watch(caller, [Followed(one) for one in request_ids], timeout=timeout)


def watch(caller: Caller, followed: Sequence[Followed], *, timeout: float) -> int:
    """Show how requests go on until all have ended, print what came of them.

    Returns
    -------
    int
        The exit code: 0 where all ended as they were asked, else 1.
    """
    names = " ".join(one.request_id for one in followed)
    again = "; ".join(caller.repeat(f"follow {one.request_id}") for one in followed[:3])
    what = "request goes" if len(followed) == 1 else "requests go"
    on_interrupt(f"Interrupted. The {what} on ({names}). To watch on: {again}")
    shown = _InPlace(followed) if _is_in_place(caller) else _Appended()
    began, pause = time.monotonic(), _FIRST_PAUSE
    with shown:
        while not all(one.outcome for one in followed):
            for one in followed:
                if not one.outcome:
                    one.look(caller.api)
                    one.seconds = time.monotonic() - began
            shown.show(followed)
            if all(one.outcome for one in followed):
                break
            if time.monotonic() - began > timeout:
                raise MrkError(f"Not ended after {timeout:g} s; it goes on. To watch on: {again}")
            time.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)
    _print_outcomes(caller, followed)
    return 0 if all(one.is_good for one in followed) else 1


def _print_outcomes(caller: Caller, followed: Sequence[Followed]) -> None:
    from mrk import status_text  # noqa: PLC0415 - imports rich

    ended = [one.ended() for one in followed]
    document = ended[0] if len(ended) == 1 else {"requests": ended}
    caller.answer(document, lambda console: status_text.print_ended(console, ended))


class _Appended:
    """Prints a line where a request or a Region's key stands otherwise than before."""

    def __init__(self) -> None:
        self._printed: dict[tuple[str, str], str] = {}

    def __enter__(self) -> "_Appended":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, followed: Sequence[Followed]) -> None:
        for one in followed:
            for place, state in {"": _WAITS.get(one.word, one.word), **one.states}.items():
                if self._printed.get((one.request_id, place)) != state and state != "to come":
                    self._printed[one.request_id, place] = state
                    say(f"{one.seconds:>6.1f} s  {one.request_id}  {place:<15} {state}".rstrip())


class _InPlace:
    """Changes the lines where they stand, with a spinner on what goes on."""

    def __init__(self, followed: Sequence[Followed]) -> None:
        from rich.live import Live  # noqa: PLC0415 - for terminals alone
        from rich.spinner import Spinner  # noqa: PLC0415

        from mrk.commands.caller import new_console  # noqa: PLC0415

        self._followed = followed
        console = new_console(stderr=True)
        self._spinner = Spinner("line" if console.options.ascii_only else "dots", style="cyan")
        self._live = Live(
            get_renderable=self._rows, console=console, refresh_per_second=10, transient=True
        )

    def __enter__(self) -> "_InPlace":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, followed: Sequence[Followed]) -> None:
        self._followed = followed

    def _rows(self) -> "RenderableType":
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        from mrk.status_text import style_of  # noqa: PLC0415

        table = Table.grid(padding=(0, 2))
        for one in self._followed:
            word = Text(_WAITS.get(one.word, one.word), style_of(one.word))
            mark: RenderableType = (
                Text("✓" if one.is_good else "✗") if one.outcome else self._spinner
            )
            table.add_row(mark, Text(one.request_id, "bold"), word, f"{one.seconds:.0f} s")
            for region, state in one.states.items():
                table.add_row("", Text(f"  {region}"), Text(state, style_of(state)), "")
        return table


def _is_in_place(caller: Caller) -> bool:
    from mrk.commands.caller import new_console  # noqa: PLC0415

    console = new_console(stderr=True)
    return not caller.as_json and console.is_interactive and not console.is_dumb_terminal
