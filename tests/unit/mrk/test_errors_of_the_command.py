"""Every error is a sentence with what to do next, and an exit code."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, SSOTokenLoadError
from click.testing import Result

import mrk as mrk_package
from mrk.api import FEW_TRIES
from tests.support.mrk_api import PlayedApi, status

Mrk = Callable[..., Result]
FAILED, WRONG_USAGE = 1, 2
GET = "GET /keys/CHG1"


def forbidden(message: str, kind: str = "") -> httpx.Response:
    return httpx.Response(403, json={"message": message}, headers={"x-amzn-errortype": kind})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            forbidden("The security token included in the request is expired"),
            "Your AWS credentials have expired. Sign in again",
        ),
        (forbidden("Signature expired: 2026 is now earlier than"), "set this machine's clock"),
        (forbidden("Signature not yet current"), "set this machine's clock"),
        (forbidden("Missing Authentication Token"), "Compare MRK_API_URL"),
        (
            forbidden("The security token included in the request is invalid."),
            "AWS does not know these credentials",
        ),
        (
            forbidden("x", "InvalidSignatureException"),
            "AWS refuses the signature. Compare the Region",
        ),
        (
            forbidden("User: arn:u is not authorized to perform: execute-api:Invoke"),
            "Your role needs execute-api:Invoke",
        ),
        (httpx.Response(200, text="<html>"), "answered 200 and no JSON. Is this the stack's API?"),
        (
            httpx.Response(413, json={"message": "Too long"}),
            'answered 413: {"message": "Too long"}',
        ),
        (
            httpx.ConnectError("x"),
            f"no answer (ConnectError), {FEW_TRIES} times. Check the network",
        ),
        (httpx.Response(503, json={"errors": []}), f"the API answered 503, {FEW_TRIES} times"),
        (httpx.Response(429), "the API answered 429"),
    ],
)
def test_what_the_api_does_not_answer_is_a_sentence(
    played: PlayedApi, mrk: Mrk, answer: Any, said: str
) -> None:
    played.on(GET, answer)

    result = mrk("get", "CHG1")

    assert result.exit_code == FAILED
    assert said in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.output


def test_a_call_that_failed_once_is_tried_again(played: PlayedApi, mrk: Mrk) -> None:
    played.on(GET, httpx.ReadTimeout("x"), (502, {}), (200, status("CHG1", "CREATED")))

    result = mrk("get", "CHG1")

    assert result.exit_code == 0
    assert "no answer (ReadTimeout); trying again" in result.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ClientError({"Error": {"Code": "ExpiredToken", "Message": "old"}}, "DescribeStacks"),
            "Your AWS credentials have expired",
        ),
        (
            ClientError(
                {"Error": {"Code": "ValidationError", "Message": "no s"}}, "DescribeStacks"
            ),
            "Stack s was not found in us-east-1: no s. Name it with --stack",
        ),
        (EndpointConnectionError(endpoint_url="https://x"), "AWS cannot be reached"),
        (SSOTokenLoadError(error_msg="none"), "The profile yields no AWS credentials"),
    ],
)
def test_a_stack_that_is_not_found_is_a_sentence(
    played: PlayedApi, mrk: Mrk, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    class Service:
        def describe_stacks(self, **_: str) -> None:
            raise error

    monkeypatch.delenv("MRK_API_URL")
    monkeypatch.setattr("botocore.session.Session.create_client", lambda *_: Service())

    result = mrk("get", "CHG1", "--stack", "s")

    assert result.exit_code == FAILED
    assert said in result.stderr
    assert played.sent == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name the stack with --stack"),
        (["--stack", "s", "--profile", "nobody"], "nobody"),
        (["--stack", "s"], "Name the stack's Region with --region."),
    ],
)
def test_what_does_not_name_a_stack_is_wrong_usage(
    mrk: Mrk, arguments: list[str], said: str
) -> None:
    result = mrk("get", "CHG1", *arguments)

    assert result.exit_code == WRONG_USAGE
    assert said in result.stderr


def test_an_interruption_before_anything_was_sent_says_so(played: PlayedApi, mrk: Mrk) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    played.before = interrupted

    result = mrk("get", "CHG1")

    assert result.exit_code == FAILED
    assert "Interrupted" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "without"),
    [
        (["--help"], {"botocore", "httpx", "rich", "yaml", "cryptography"}),
        (["get", "--help"], {"boto3", "botocore", "httpx", "rich", "yaml", "cryptography"}),
        (["get", "CHG1", "--json"], {"boto3", "yaml", "cryptography"}),
    ],
)
def test_a_command_imports_nothing_that_it_does_not_need(
    arguments: list[str], without: set[str]
) -> None:
    program = (
        "import sys\nfrom mrk.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        f"print(sorted({without!r} & sys.modules.keys()), file=sys.stderr)"
    )
    place = {"MRK_API_URL": "http://127.0.0.1:9", "AWS_REGION": "us-east-1"}
    environment = place | {"AWS_EC2_METADATA_DISABLED": "true", "HOME": os.devnull}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(mrk_package.__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stderr.splitlines()[-1] == "[]", ran.stderr
