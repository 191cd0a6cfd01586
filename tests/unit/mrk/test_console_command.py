"""The command `mrk console` at its edges, and what it takes from the API."""

import socket

import httpx
import pytest
from botocore.session import Session
from click.testing import CliRunner

from mrk import cli
from mrk.api import Api
from mrk.console import server
from mrk.errors import MrkError

API = "https://api.example/v1"
WRONG_USAGE, FAILED = 2, 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], WRONG_USAGE, "--stack"),
        (["--api-url", API], WRONG_USAGE, "--region"),
        (["--api-url", API, "--region", "us-east-1", "--port", "70000"], WRONG_USAGE, "70000"),
        (["--api-url", API, "--profile", "none"], WRONG_USAGE, "none"),
    ],
)
def test_wrong_usage_is_a_sentence(arguments: list[str], code: int, said: str) -> None:
    result = CliRunner().invoke(cli.main, ["console", *arguments])

    assert result.exit_code == code, result.output
    assert said in result.output


def test_without_credentials_nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    options = ["--api-url", API, "--region", "us-east-1"]
    result = CliRunner().invoke(cli.main, ["console", *options])

    assert result.exit_code == FAILED
    assert "There are no AWS credentials." in result.output


def test_a_port_that_is_taken_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken:
        def setsockopt(self, *_: int) -> None:
            pass

        def bind(self, _: tuple[str, int]) -> None:
            raise OSError(98, "Address already in use")

        def close(self) -> None:
            pass

    monkeypatch.setattr(socket, "socket", Taken)
    with pytest.raises(MrkError, match=r"Port 8000 .* --port"):
        server.serve(stack_answering(200, {}), 8000, print)


def stack_answering(status: int, body: object) -> Api:
    http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(status, json=body)))
    session = Session()
    session.set_credentials("AKIDEXAMPLE", "example")
    session.set_config_variable("region", "us-east-1")
    return Api(session, http, "us-east-1", API)


def test_a_refusal_of_the_stack_is_no_refusal_of_iam() -> None:
    errors = {"errors": [{"path": "", "code": "APPROVER_IS_REQUESTER", "message": "You asked."}]}

    assert stack_answering(403, errors).call("POST", "/keys/CHG1/approval", {}).body == errors
    with pytest.raises(MrkError, match="execute-api:Invoke"):
        stack_answering(403, {"message": "Forbidden"}).call("GET", "/keys")
