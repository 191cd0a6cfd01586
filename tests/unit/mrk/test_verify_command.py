"""The command `mrk verify` at its edges: nothing here reaches AWS."""

import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from mrk import cli
from mrk import stack as mrk_stack
from mrk.api import new_session
from mrk.errors import MrkError
from mrk.stack import Stack
from mrk.verify import clean_up, proof
from mrk.verify.account import Account
from mrk.verify.evidence import Answer, Evidence, Question

DONE, FAILED, WRONG_USAGE = 0, 1, 2
API = "https://api.example/v1"
HOME = "us-east-1"
ACCESS_KEY, OTHER_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI"


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(monkeypatch)


def sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OTHER_KEY)


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def mrk(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(cli.main, ["verify", *arguments], input=typed)


class FakeApi:
    """Answers as the stack's API does, and keeps what it was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.plan_status = 200
        self.down = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID")
        if self.down:
            raise httpx.ConnectError("refused")
        if request.method == "GET":
            return httpx.Response(404, json={"errors": []})
        body = json.loads(request.content)
        if request.url.query == b"plan=true":
            refusal = {"path": "alias", "code": "ALIAS_NOT_ALLOWED", "message": "AliasPrefixes."}
            return httpx.Response(self.plan_status, json={"keys": [], "errors": [refusal]})
        self.sent.append(body)
        return httpx.Response(202, json={"requestId": body["requestId"]})


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """Let the command find a stack whose API is a fake, in an account without any key."""
    fake = FakeApi()
    sign_in(monkeypatch)
    monkeypatch.setattr(
        mrk_stack, "new_http", lambda: httpx.Client(transport=httpx.MockTransport(fake))
    )
    monkeypatch.setattr("time.sleep", lambda _: None)

    def account_of(session: Any, replica_region: str | None) -> Account:
        return Account(session, "111122223333", "aws", HOME, replica_region or "us-west-2")

    monkeypatch.setattr(Account, "of", account_of)
    monkeypatch.setattr(Account, "tagged", lambda *_: {})
    return fake


def verify(*options: str, typed: str = "") -> Result:
    return mrk("--api-url", API, "--region", HOME, *options, typed=typed)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--region", HOME],
        ["--stack", "s"],
        ["--stack", "s", "--region", HOME, "--timeout", "0"],
        ["--stack", "s", "--region", HOME, "--timeout", "soon"],
        ["--stack", "s", "--profile", "nobody"],
        ["--stack", "s", "--region", HOME, "--unknown"],
        ["--stack", "s", "--region", HOME, "surplus"],
    ],
)
def test_wrong_usage_ends_with_code_2(arguments: list[str]) -> None:
    assert mrk(*arguments).exit_code == WRONG_USAGE


@pytest.mark.usefixtures("no_credentials")
def test_without_credentials_the_command_says_where_they_could_come_from() -> None:
    result = verify()

    assert result.exit_code == FAILED
    assert "There are no AWS credentials" in result.output


@pytest.mark.usefixtures("credentials")
def test_a_stack_that_does_not_exist_is_named_with_its_region(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NoStack:
        def describe_stacks(self, **_: str) -> None:
            text = "Stack with id s does not exist"
            error: Any = {"Error": {"Code": "ValidationError", "Message": text}}
            raise ClientError(error, "DescribeStacks")

    monkeypatch.setattr("botocore.session.Session.create_client", lambda *_: NoStack())

    result = mrk("--stack", "s", "--region", HOME)

    assert result.exit_code == FAILED
    assert "Stack s was not found in us-east-1: Stack with id s does not exist" in result.output


@pytest.mark.usefixtures("credentials")
def test_a_stack_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class OtherStack:
        def describe_stacks(self, **_: str) -> dict[str, Any]:
            return {"Stacks": [{"StackName": "s"}]}

    monkeypatch.setattr("botocore.session.Session.create_client", lambda *_: OtherStack())

    result = mrk("--stack", "s", "--region", HOME)

    assert result.exit_code == FAILED
    assert "no output ApiUrl" in result.output


@pytest.mark.parametrize("typed", ["n\n", "", "\n"])
def test_what_is_not_confirmed_is_not_created(api: FakeApi, typed: str) -> None:
    result = verify(typed=typed)

    assert result.exit_code == FAILED
    assert "5 multi-Region keys will be created" in result.output
    assert "1 USD a month for each key" in result.output
    assert "7 days" in result.output
    assert api.sent == []


def test_a_plan_that_the_stack_refuses_creates_nothing(api: FakeApi) -> None:
    api.plan_status = 400

    result = verify("--yes")

    assert result.exit_code == FAILED
    assert "alias: ALIAS_NOT_ALLOWED: AliasPrefixes." in result.output
    assert api.sent == []


def test_an_api_that_does_not_answer_is_tried_again_and_then_reported(api: FakeApi) -> None:
    api.down = True

    result = verify("--yes")

    assert result.exit_code == FAILED
    assert "no answer (ConnectError), 6 times" in result.output


def questions(*asks: Any) -> list[Question]:
    return [Question(f"question-{n}", "nothing", ask) for n, ask in enumerate(asks)]


def holds(_: Evidence) -> Answer:
    return Answer("as expected", holds=True)


def is_wrong(_: Evidence) -> Answer:
    return Answer("something else", holds=False)


def fails(_: Evidence) -> Answer:
    raise MrkError("It did not go on.")


def sends_and_is_ended(evidence: Evidence) -> Answer:
    evidence.sent.append("complete")
    signal.raise_signal(signal.SIGTERM)
    raise AssertionError


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Collect the requests whose keys are removed."""
    calls: list[list[str]] = []

    def remove(_: Stack, __: Account, request_ids: list[str], *___: Any, **____: Any) -> list[Any]:
        calls.append(request_ids)
        return []

    monkeypatch.setattr(proof, "remove", remove)
    return calls


@pytest.mark.parametrize(("ask", "code"), [(holds, DONE), (is_wrong, FAILED), (fails, FAILED)])
@pytest.mark.usefixtures("api")
def test_the_exit_code_says_whether_everything_holds(
    removed: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    ask: Any,
    code: int,
) -> None:
    monkeypatch.setattr(proof, "STEPS", questions(ask))
    monkeypatch.setattr(proof, "BELIEFS", questions(holds))

    result = verify("--yes", "--json")

    assert result.exit_code == code
    seen = json.loads(Path("verify.json").read_text())
    assert json.loads(result.stdout) == seen
    assert seen["proved"] is (code == DONE)
    assert [row["verdict"] for row in seen["beliefs"]] == ["holds"]
    assert len(removed) == 1


@pytest.mark.parametrize("interruption", ["signal", "Ctrl-C", "a fault of the command"])
@pytest.mark.usefixtures("api")
def test_what_was_sent_is_removed_however_the_run_ends(
    removed: list[list[str]], monkeypatch: pytest.MonkeyPatch, interruption: str
) -> None:
    def ended(evidence: Evidence) -> Answer:
        if interruption == "signal":
            return sends_and_is_ended(evidence)
        evidence.sent.append("complete")
        raise KeyboardInterrupt if interruption == "Ctrl-C" else RuntimeError

    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    monkeypatch.setattr(proof, "STEPS", questions(ended, holds))

    result = verify("--yes")

    assert result.exit_code == FAILED
    [[request_id]] = removed
    assert request_id.startswith("mrk-verify-")
    assert request_id.endswith("-complete")
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == handlers


@pytest.mark.usefixtures("api")
def test_a_second_interruption_says_how_to_remove_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(proof, "STEPS", questions(sends_and_is_ended))
    monkeypatch.setattr(proof, "remove", interrupted)

    result = verify("--yes")

    assert result.exit_code == FAILED
    assert "mrk verify --clean-up" in result.output


@pytest.mark.usefixtures("credentials")
def test_a_key_that_cannot_be_removed_keeps_no_other_from_it_and_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    def remove(_: Account, key_arn: str) -> None:
        tried.append(key_arn)
        if key_arn == first:
            raise MrkError("KMS refused.")

    first, second = (f"arn:aws:kms:{HOME}:111122223333:key/mrk-{n}" for n in (1, 2))
    monkeypatch.setattr(Account, "members", lambda _, arn: [arn])
    monkeypatch.setattr(Account, "remove", remove)
    stack = Stack.find(new_session(None, HOME), name=None, api_url=API)
    account = Account(stack.session, "111122223333", "aws", HOME, "us-west-2")

    with pytest.raises(MrkError, match=rf"{first}: KMS refused\..*--clean-up"):
        clean_up.remove(
            stack,
            account,
            (),
            (first, second),
            timeout=1,
            say=lambda _: None,
        )

    assert tried == [first, second]


@pytest.mark.usefixtures("credentials")
def test_an_event_is_sent_only_where_the_stack_is_named() -> None:
    stack = Stack.find(new_session(None, HOME), name=None, api_url=API)

    with pytest.raises(MrkError, match=rf"{API} is not known.*--stack"):
        stack.send_event({"requestId": "CHG1"})


@pytest.mark.usefixtures("api")
def test_nothing_left_is_no_failure() -> None:
    result = verify("--clean-up")

    assert result.exit_code == DONE
    assert "Nothing is left" in result.output


@pytest.mark.usefixtures("api", "removed")
def test_no_credentials_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "STEPS", questions(fails))
    monkeypatch.setattr(proof, "BELIEFS", [])

    result = verify("--yes")

    assert OTHER_KEY not in result.output
    assert ACCESS_KEY not in result.output + Path("verify.json").read_text()
