"""What the commands of the local stack say where they cannot go on."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from rich.console import Console

from local import __main__ as commands
from local.commands import up as starting
from local.commands.run import Event, _calls_of, read_event
from local.errors import LocalStackError
from local.stack import server


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "", "²"])
def test_what_is_no_port_is_refused(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", port)

    with pytest.raises(LocalStackError, match=f"^PORT={port} is no port: it is a number from 1"):
        starting.up(Console())


def test_what_is_no_region_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGION", "mars")

    with pytest.raises(LocalStackError, match=r"^REGION=mars is no Region of AWS\."):
        starting.up(Console())


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "4567"), ("REGION", "eu-west-1"), ("SFN_WAIT_SCALE", "1")]
)
def test_settings_that_are_not_the_running_emulators_are_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    process = SimpleNamespace(environ=lambda: {**os.environ, "SFN_WAIT_SCALE": "0.1"})
    emulator = SimpleNamespace(port=4566, region="us-east-1", process=process)
    for known in ("PORT", "REGION", "SFN_WAIT_SCALE", "KMS_CREATING_SECONDS"):
        monkeypatch.delenv(known, raising=False)
    monkeypatch.setattr(starting, "STATE", tmp_path)
    monkeypatch.setattr(server, "running", lambda _folder: emulator)
    monkeypatch.setenv(name, value)

    with pytest.raises(LocalStackError, match=rf"^The local stack already runs with {name}="):
        starting.up(Console())


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (["up"], "To go on with the deployment, run the same command again."),
        (["run", "event.json"], "To follow the request to its end, run the same command again."),
        (["batch", "keys.csv"], "To follow what is left of the file, run the same command again."),
        (["verify"], "while the local stack is up. To stop the stack: make down"),
    ],
)
def test_an_interrupt_is_no_traceback_and_says_how_to_go_on(
    command: list[str],
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(_arguments: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "_run", interrupted)
    monkeypatch.setattr("sys.argv", ["local", *command])

    assert commands.main() == 130
    said = capsys.readouterr().err
    assert said.startswith("Interrupted.")
    assert hint in said


@pytest.mark.parametrize("still_lives", [True, False])
def test_a_stack_that_is_stopped_meanwhile_is_no_traceback(
    still_lives: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator = SimpleNamespace(port=4566) if still_lives else None
    monkeypatch.setattr(server, "listens", lambda _emulator: False)

    def stopped(_arguments: Any) -> int:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:4566")

    monkeypatch.setattr(commands, "_run", stopped)
    monkeypatch.setattr(server, "running", lambda _folder: emulator)
    monkeypatch.setattr("sys.argv", ["local", "up"])

    assert commands.main() == 1
    assert "The local stack was stopped meanwhile" in capsys.readouterr().err


def test_an_event_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    text = Path("events/key-requested.json").read_text()
    (tmp_path / "my event.json").write_text(text, encoding="utf-8-sig")

    event = read_event(tmp_path / "my event.json")

    assert event.detail_type == "Multi-Region Key Requested"


def test_calls_of_other_requests_do_not_count() -> None:
    event = Event("mine", "requested", {"requestId": "A-1", "alias": "alias/a"})
    arn = "arn:aws:kms:us-east-1:111122223333:key/mrk-1"
    others = [["A-2"], ["alias/b"], [arn.replace("mrk-1", "mrk-2")], []]
    mine = [["A-1"], ["alias/a"], [arn]]
    calls = [{"subjects": subjects} for subjects in (*others, *mine)]

    counted = _calls_of(event, {"key": {"keyId": "mrk-1"}}, calls)

    assert [call["subjects"] for call in counted] == mine
