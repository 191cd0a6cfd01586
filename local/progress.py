"""What a command shows while it works: a line for each step and Region, with its seconds.

On a terminal the lines change where they stand. Anywhere else (a pipe, CI, a dumb terminal) a line
is printed when its step has ended, and now and then while it runs.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

type ShowStep = Callable[[str], AbstractContextManager[object]]
"""What shows a step for as long as a block runs, such as `Progress.step` or `nullcontext`."""

_REMINDER = 10.0
"""Seconds after which a step that still runs is printed again where lines are appended."""
_ROWS_BELOW = 2
"""Rows of a terminal that stay free: the cursor's, and one for what is printed above."""


@dataclass
class Line:
    """A step, in a Region unless that is not known, and how long it takes."""

    text: str
    region: str = ""
    note: str = ""
    failed: bool = False
    spent: float = 0
    """Seconds of the times that it ran and ended."""
    since: float | None = None
    """When it began to run, in seconds since the epoch; None where it does not run."""
    times: int = 0
    """How often it ended."""

    def begin(self, at: float) -> None:
        """Run, once more perhaps."""
        self.since, self.failed, self.note = at, False, ""

    def end(self, at: float) -> None:
        """Run no longer."""
        self.spent = self.seconds(at)
        self.since = None
        self.times += 1

    def seconds(self, at: float) -> float:
        """Return how long it ran until then."""
        running = max(at - self.since, 0) if self.since is not None else 0
        return self.spent + running

    def columns(self, at: float, state: str = "") -> str:
        """Write the line, with how it stands in a word if that is not said by other means."""
        text = f"{self.text:<28} {self.region:<14} {self.seconds(at):>6.1f} s"
        times = f"{self.times} times" if self.times > 1 else ""
        return "  ".join(filter(None, [text, times, state, self.note]))


def is_in_place(console: Console) -> bool:
    """Say whether lines that were written can be changed: on a terminal that a person watches."""
    return (
        console.is_interactive
        and not console.is_dumb_terminal
        and console.file.isatty()
        and not os.environ.get("CI")
    )


class Progress:
    """The lines of a command, shown for as long as the block runs.

    Parameters
    ----------
    console
        Where they are shown.
    clock
        Returns the seconds since the epoch.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.time) -> None:
        self.console = console
        self._clock = clock
        self._steps: list[Line] = []
        shown = _InPlace if is_in_place(console) else _Appended
        self._shown = shown(console, clock)

    def __enter__(self) -> Self:
        self._shown.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._shown.show(self._steps)
        self._shown.stop()

    @contextmanager
    def step(self, text: str) -> Iterator[Line]:
        """Show a step for as long as the block runs."""
        line = Line(text)
        line.begin(self._clock())
        self._steps.append(line)
        self._shown.show(self._steps)
        try:
            yield line
        except BaseException as error:
            line.failed = True
            line.note = "interrupted" if isinstance(error, KeyboardInterrupt) else ""
            raise
        finally:
            line.end(self._clock())
            self._shown.show(self._steps)

    def below(self) -> Callable[[Sequence[Line]], None]:
        """Return what shows further lines, as they stand at each call, below those of now."""
        before = [*self._steps]

        def show(lines: Sequence[Line]) -> None:
            self._steps = [*before, *lines]
            self._shown.show(self._steps)

        return show

    def say(self, text: str) -> None:
        """Print a sentence, for good."""
        self.console.print(text, markup=False)


class _Appended:
    """Prints a line when it has ended, and now and then while it runs."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._lines: Sequence[Line] = ()
        self._printed: dict[int, int] = {}
        """How often each line had ended when it was printed."""
        self._reminded: dict[int, float] = {}
        """When each line that runs was printed, or began."""
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._remind_until_stopped, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def show(self, lines: Sequence[Line]) -> None:
        with self._lock:
            self._lines = lines
            for index, line in enumerate(lines):
                if line.since is None and self._printed.get(index, 0) < line.times:
                    self._print(index, "FAILED" if line.failed else "")
                    self._printed[index] = line.times
                    self._reminded.pop(index, None)

    def remind(self) -> None:
        """Print again what runs for long."""
        now = self._clock()
        with self._lock:
            for index, line in enumerate(self._lines):
                if line.since is None:
                    continue
                if now - self._reminded.setdefault(index, line.since) >= _REMINDER:
                    self._print(index, "so far")
                    self._reminded[index] = now

    def _print(self, index: int, state: str) -> None:
        self._console.print(self._lines[index].columns(self._clock(), state), markup=False)

    def _remind_until_stopped(self) -> None:
        while not self._stopped.wait(1):
            self.remind()


class _InPlace:
    """Changes the lines where they stand; those that leave the screen at its top stay as they are.

    A line that runs shows a spinner and its seconds. A thread of its own draws them: an interrupt
    from the keyboard, which ends what the main thread does, leaves no line half drawn.
    """

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._lines: Sequence[Line] = ()
        self._gone = 0
        """How many lines were printed for good."""
        plain = console.options.ascii_only
        self._done, self._failed = ("+", "x") if plain else ("✓", "✗")
        self._spinner: Spinner | None = Spinner("line" if plain else "dots")
        self._live = Live(self, console=console, auto_refresh=True, refresh_per_second=10)

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        self._spinner = None
        self._live.stop()

    def show(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        rows = max(self._console.height - _ROWS_BELOW, 1)
        while len(lines) - self._gone > rows and lines[self._gone].since is None:
            leaving = self._row(lines[self._gone])
            self._gone += 1
            self._console.print(leaving, no_wrap=True, overflow="ellipsis", soft_wrap=False)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from (self._row(line) for line in self._lines[self._gone :])

    def _row(self, line: Line) -> Text:
        row = Text.assemble(self._mark(line), " ", line.columns(self._clock()))
        row.no_wrap, row.overflow = True, "ellipsis"
        if line.failed:
            row.stylize("red", 1)
        return row

    def _mark(self, line: Line) -> Text:
        if line.since is None:
            shown = (self._failed, "bold red") if line.failed else (self._done, "green")
            return Text(*shown)
        if self._spinner is None:
            return Text("-", style="cyan")
        frame = self._spinner.render(self._console.get_time())
        return Text(str(frame), style="cyan")
