"""The command `mrk`, whose stack is played in memory; nothing here reaches AWS."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from mrk import api as mrk_api
from mrk import cli
from tests.support.mrk_api import PlayedApi

API = "https://api.example/v1"


@pytest.fixture(autouse=True)
def _no_aws_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "MRK_API_URL", "MRK_STACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> PlayedApi:
    """Let the command find a stack whose API is played, and wait for nothing."""
    play = PlayedApi()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("MRK_API_URL", API)
    monkeypatch.setattr(
        mrk_api, "new_http", lambda: httpx.Client(transport=httpx.MockTransport(play))
    )
    monkeypatch.setattr("time.sleep", lambda _: None)
    return play


@pytest.fixture
def mrk() -> Callable[..., Result]:
    """Return what runs the command in this process."""

    def run(*arguments: str, typed: str = "") -> Result:
        return CliRunner().invoke(cli.main, arguments, input=typed)

    return run
