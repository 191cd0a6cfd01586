"""What a command shows while it works, in place and as lines that follow each other."""

import io
from typing import Any

import pytest
from rich.console import Console

from local.progress import Line, Progress, _Appended, _InPlace, is_in_place


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Time:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def terminal(**options: Any) -> Console:
    return Console(file=Terminal(), width=80, height=10, highlight=False, soft_wrap=True, **options)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_terminal_is_changed_in_place() -> None:
    assert is_in_place(terminal())


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("TERM", "dumb"), ("TERM", "unknown")])
def test_a_terminal_that_nobody_watches_is_not(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    assert not is_in_place(terminal())


@pytest.mark.parametrize("forced", ["", "1"])
def test_a_pipe_is_not_even_with_colours(forced: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", forced)

    assert not is_in_place(Console(file=io.StringIO()))


def test_a_line_is_printed_when_its_step_has_ended() -> None:
    console, time = Console(file=io.StringIO(), soft_wrap=True), Time()

    with Progress(console, time) as progress:
        with progress.step("Build the functions"):
            assert written(console) == ""
            time.now += 12.34
        assert written(console).split() == ["Build", "the", "functions", "12.3", "s"]

    assert written(console).count("\n") == 1
    assert "\x1b" not in written(console)


def test_a_step_that_fails_says_so_where_it_stands() -> None:
    console = Console(file=io.StringIO(), soft_wrap=True)

    with (
        pytest.raises(ValueError, match="no"),
        Progress(console) as progress,
        progress.step("Build the functions"),
    ):
        raise ValueError("no")

    assert written(console).split()[-1] == "FAILED"


def test_an_interrupted_step_says_so() -> None:
    console = Console(file=io.StringIO(), soft_wrap=True)

    with (
        pytest.raises(KeyboardInterrupt),
        Progress(console) as progress,
        progress.step("Build the functions"),
    ):
        raise KeyboardInterrupt

    assert written(console).split()[-2:] == ["FAILED", "interrupted"]


def test_what_runs_for_long_is_printed_every_ten_seconds() -> None:
    console, time = Console(file=io.StringIO(), soft_wrap=True), Time()
    shown = _Appended(console, time)
    shown.show([Line("Deploy the stack", since=time.now)])

    for _ in range(25):
        time.now += 1
        shown.remind()

    lines = [" ".join(line.split()) for line in written(console).splitlines()]
    assert lines == ["Deploy the stack 10.0 s so far", "Deploy the stack 20.0 s so far"]


def test_a_step_that_runs_again_is_printed_with_all_its_seconds() -> None:
    console, time = Console(file=io.StringIO(), soft_wrap=True), Time()
    shown = _Appended(console, time)
    line = Line("Wait for primary key", "us-east-1")

    for _ in range(2):
        line.begin(time.now)
        shown.show([line])
        time.now += 1.5
        line.end(time.now)
        shown.show([line])

    lines = [" ".join(line.split()) for line in written(console).splitlines()]
    assert lines == [
        "Wait for primary key us-east-1 1.5 s",
        "Wait for primary key us-east-1 3.0 s 2 times",
    ]


def rows(shown: _InPlace, **options: Any) -> list[str]:
    """Render the lines as they stand, without styles."""
    console = Console(file=io.StringIO(), width=80, **options)
    console.print(shown)
    return [line.rstrip() for line in written(console).splitlines()]


def test_in_place_each_line_says_how_it_stands() -> None:
    time = Time()
    shown = _InPlace(terminal(), time)
    shown.show(
        [
            Line("Create primary key", "us-east-1", spent=0.41, times=1),
            Line("Create replica key", "eu-west-1", "KmsThrottled", failed=True, times=1),
            Line("Create replica key", "us-west-2", since=time.now),
        ]
    )
    time.now += 2.5

    done, failed, running = rows(shown)

    assert done.split() == ["✓", "Create", "primary", "key", "us-east-1", "0.4", "s"]
    assert failed.split()[0] == "✗"
    assert failed.split()[-1] == "KmsThrottled"
    assert running.split()[0] in "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
    assert running.split()[-3:] == ["us-west-2", "2.5", "s"]
    assert done.index("us-east-1") == failed.index("eu-west-1") == running.index("us-west-2")


def test_what_still_runs_in_the_end_has_no_spinner() -> None:
    shown = _InPlace(terminal(), Time())
    shown.start()
    shown.show([Line("Create replica key", "us-west-2", since=1_000)])
    shown.stop()

    assert rows(shown)[0].startswith("- Create replica key")


def test_a_line_is_cut_at_the_edge_of_a_narrow_terminal() -> None:
    shown = _InPlace(terminal(), Time())
    shown.show([Line("Apply replica key settings", "ap-southeast-2", "AliasInUse" * 9, times=1)])

    (row,) = rows(shown)

    assert len(row) == 80
    assert row.endswith("…")


def test_what_no_longer_fits_is_printed_for_good_in_order() -> None:
    console, time = terminal(color_system=None), Time()
    shown = _InPlace(console, time)
    lines = [Line(f"Step {number}", spent=number, times=1) for number in range(20)]
    lines[15].since = time.now

    shown.show(lines)

    assert [row.split()[2] for row in written(console).splitlines()] == [str(n) for n in range(12)]
    assert [row.split()[2] for row in rows(shown)] == [str(n) for n in range(12, 20)]


def test_a_running_line_never_leaves_the_screen() -> None:
    console, time = terminal(), Time()
    shown = _InPlace(console, time)

    shown.show([Line(f"Step {number}", since=time.now) for number in range(20)])

    assert written(console) == ""
    assert len(rows(shown)) == 20


def test_the_cursor_is_there_again_in_the_end() -> None:
    console = terminal()

    with Progress(console) as progress, progress.step("Build the functions"):
        pass

    assert written(console).rindex("\x1b[?25h") > written(console).rindex("\x1b[?25l")
    assert "✓" in written(console)


def test_the_cursor_is_there_again_after_an_interrupt() -> None:
    console = terminal()

    with (
        pytest.raises(KeyboardInterrupt),
        Progress(console) as progress,
        progress.step("Build the functions"),
    ):
        raise KeyboardInterrupt

    assert written(console).rindex("\x1b[?25h") > written(console).rindex("\x1b[?25l")
    assert "✗" in written(console)


def test_no_colour_is_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = terminal(force_terminal=True)

    with Progress(console) as progress, progress.step("Build the functions"):
        pass

    assert "✓" in written(console)
    assert not any(f"\x1b[{code}m" in written(console) for code in range(30, 38))


def test_a_terminal_without_unicode_has_other_marks() -> None:
    shown = _InPlace(Console(file=io.TextIOWrapper(io.BytesIO(), "ascii")), Time())
    shown.show([Line("Done", times=1), Line("Failed", failed=True, times=1), Line("Runs", since=1)])

    for row, marks in zip(rows(shown), ("+", "x", "-\\|/"), strict=True):
        assert row[0] in marks


def test_further_lines_stand_below_the_steps() -> None:
    console, time = Console(file=io.StringIO(), soft_wrap=True), Time()

    with Progress(console, time) as progress:
        with progress.step("Send the request"):
            pass
        show = progress.below()
        show([Line("Claim request", times=1)])
        show([Line("Claim request", times=1), Line("Create primary key", times=1)])
        with progress.step("Receive the outcome"):
            pass

    first_words = [line.split()[0] for line in written(console).splitlines()]
    assert first_words == ["Send", "Claim", "Create", "Receive"]
