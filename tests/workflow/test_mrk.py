"""The command `mrk`, started as people and pipelines start it, against the deployed stack."""

import json
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from local.commands.verify import environment
from local.settings import ACCOUNT_ID, ROOT, STACK_NAME
from local.stack.endpoint import ROOT_USER
from local.stack.stack import Stack
from tests.support.stack.terminals import terminal

DONE, FAILED = 0, 1
ADMIN = "arn:aws:iam::111122223333:role/KeyAdmin"


@pytest.fixture(scope="module")
def place(stack: Stack) -> dict[str, str]:
    """Return the environment in which the command finds the stack."""
    described = {"endpointUrl": stack.url, "region": stack.region, "outputs": stack.outputs}
    return environment(described | {"accountId": ACCOUNT_ID}, ROOT_USER)


@pytest.fixture
def declaration(tmp_path: Path) -> Path:
    name = f"mrk-{uuid.uuid4().hex[:8]}"
    path = tmp_path / "cards.yaml"
    path.write_text(
        f"requestId: {name}\nalias: alias/{name}\nprimaryRegion: us-east-1\n"
        "tags: {team: payments}\nrotation: {periodInDays: 365}\nreplicas: [{region: eu-west-1}]\n"
    )
    return path


def request_id(declaration: Path) -> str:
    return declaration.read_text().splitlines()[0].removeprefix("requestId: ")


def mrk(
    place: dict[str, str], *arguments: str, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mrk", *arguments],
        cwd=ROOT,
        env=place,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_key_set_is_planned_made_read_repaired_and_rotated(
    stack: Stack, place: dict[str, str], declaration: Path
) -> None:
    name = request_id(declaration)
    planned = mrk(place, "plan", str(declaration))
    assert planned.returncode == DONE, planned.stderr
    assert "a new key set in 2 Regions" in planned.stdout
    assert "\x1b" not in planned.stdout

    applied = mrk(place, "apply", str(declaration), "--follow", "--json")
    assert applied.returncode == DONE, applied.stderr
    made = json.loads(applied.stdout)
    assert made["outcome"]["status"] == "CREATED"
    assert "eu-west-1       Enabled" in applied.stderr

    shown = json.loads(mrk(place, "get", name, "--json").stdout)
    arn = shown["key"]["primary"]["arn"]
    kms = stack.client("kms")
    assert kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Enabled"

    kms.untag_resource(KeyId=arn, TagKeys=["team"])
    repaired = mrk(place, "repair", name, "--follow")
    assert repaired.returncode == DONE, repaired.stderr
    assert {"TagKey": "team", "TagValue": "payments"} in kms.list_resource_tags(KeyId=arn)["Tags"]

    rotated = mrk(place, "rotate", name, "--follow")
    assert rotated.returncode == DONE, rotated.stderr
    assert len(kms.list_key_rotations(KeyId=arn)["Rotations"]) == 1

    history = json.loads(mrk(place, "history", name, "--json").stdout)["outcomes"]
    assert [one["status"] for one in history] == ["CREATED", "FINISHED", "FINISHED"]
    everything = json.loads(mrk(place, "list", "--all", "--json").stdout)["requests"]
    assert name in [one["requestId"] for one in everything]


def test_a_change_is_applied_only_as_it_was_planned(
    place: dict[str, str], declaration: Path
) -> None:
    assert mrk(place, "apply", str(declaration), "--follow").returncode == DONE
    text = declaration.read_text().replace("payments", "cards") + "revision: 2\n"
    declaration.write_text(text)
    plan = json.loads(mrk(place, "plan", str(declaration), "--json").stdout)
    assert {(one["region"], one["to"]) for one in plan["changes"]} == {
        ("us-east-1", "cards"),
        ("eu-west-1", "cards"),
    }
    outdated = mrk(place, "apply", str(declaration), "--plan-id", "0" * 64)
    assert (outdated.returncode, "PLAN_OUTDATED" in outdated.stderr) == (FAILED, True)

    changed = mrk(place, "apply", "-", "--plan-id", plan["planId"], "--follow", typed=text)
    assert changed.returncode == DONE, changed.stderr
    assert "revision 2: UPDATED" in changed.stdout

    removed = text.replace("revision: 2", "revision: 3").replace("[{region: eu-west-1}]", "[]")
    refused = mrk(place, "plan", "-", typed=removed)
    assert refused.returncode == FAILED
    assert "takes the word REMOVE:eu-west-1" in refused.stdout


def test_a_directory_is_planned_and_applied_as_one(place: dict[str, str], tmp_path: Path) -> None:
    names = [f"mrk-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        (tmp_path / f"{name}.json").write_text(
            json.dumps({"requestId": name, "alias": f"alias/{name}"})
        )
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"requestId": "bad", "alias": "no-alias", "replica": []}))

    refused = mrk(place, "apply", str(tmp_path), "--follow")
    assert refused.returncode == FAILED
    assert f"{bad}: alias: " in refused.stderr
    assert f"{bad}: replica: UNKNOWN_FIELD" in refused.stderr
    assert mrk(place, "get", names[0]).returncode == FAILED

    bad.unlink()
    applied = mrk(place, "apply", str(tmp_path), "--follow")
    assert applied.returncode == DONE, applied.stderr
    again = mrk(place, "plan", str(tmp_path), "--json")
    assert [one["plan"]["changes"] for one in json.loads(again.stdout)["plans"]] == [[], []]


def test_a_batch_is_sent_and_its_progress_and_outcomes_shown(
    place: dict[str, str], tmp_path: Path
) -> None:
    names = [f"mrk-{uuid.uuid4().hex[:8]}" for _ in range(3)]
    lines = [json.dumps({"requestId": name, "alias": f"alias/{name}"}) for name in names]
    file, results = tmp_path / "batch.jsonl", tmp_path / "results.jsonl"
    file.write_text("\n".join(lines))
    options = ("--stack", STACK_NAME, "--follow")

    done = mrk(place, "batch", str(file), *options, "--results", str(results), "--json")
    assert done.returncode == DONE, done.stderr
    assert json.loads(done.stdout)["done"] == len(names)
    assert "3 of 3 done, 0 refused, 0 failed, 0 waiting" in done.stderr
    outcomes = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(one["requestId"], one["status"]) for one in outcomes] == [
        (name, "CREATED") for name in names
    ]

    file.write_text(json.dumps({"requestId": "bad", "alias": "none"}))
    with terminal(place, "batch", str(file), *options) as shown:
        text = shown.read_until(None)
        assert shown.process.wait() == FAILED
        assert "0 of 1 done, 1 refused" in text
        assert '"requestId":"bad","status":"REJECTED"' in text


def test_on_a_terminal_the_lines_change_where_they_stand(
    place: dict[str, str], declaration: Path
) -> None:
    with terminal(place, "plan", str(declaration)) as shown:
        shown.read_until(None)
        assert shown.process.wait() == DONE
        assert "\x1b[32m" in shown.shown
    with terminal(place, "apply", str(declaration), "--follow") as shown:
        shown.read_until("us-east-1")
        shown.read_until("CREATED")
        shown.read_until(None)
        assert shown.process.wait() == DONE
        assert "\x1b[1A" in shown.shown


def test_ctrl_c_ends_the_watching_and_not_the_request(
    place: dict[str, str], declaration: Path
) -> None:
    name = request_id(declaration)
    with terminal(place, "apply", str(declaration), "--follow") as shown:
        shown.read_until("IN_PROGRESS")
        shown.process.send_signal(signal.SIGINT)
        said = " ".join(shown.read_until(None).split())
        assert shown.process.wait() == FAILED

    assert f"Interrupted. The request goes on ({name}). To watch on: mrk follow {name}" in said
    followed = mrk(place, "follow", name)
    assert followed.returncode == DONE, followed.stderr
    assert "CREATED" in followed.stdout


def test_what_is_not_confirmed_on_a_terminal_is_not_done(
    place: dict[str, str], declaration: Path
) -> None:
    name = request_id(declaration)
    assert mrk(place, "apply", str(declaration), "--follow").returncode == DONE

    with terminal(place, "release", name) as shown:
        shown.read_until("[y/N]")
        shown.type("n\n")
        shown.read_until(None)
        assert shown.process.wait() == FAILED

    assert "releasedAt" not in json.loads(mrk(place, "get", name, "--json").stdout)


def test_without_network_the_command_says_what_to_check(place: dict[str, str]) -> None:
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "MRK_API_URL": "http://127.0.0.1:9/v1"}
    direct = mrk(place | nowhere, "get", "CHG1")
    by_name = mrk({**place, **nowhere, "MRK_API_URL": ""}, "get", "CHG1", "--stack", STACK_NAME)

    for ended, said in (
        (direct, "Check the network and the address"),
        (by_name, "cannot be reached"),
    ):
        assert ended.returncode == FAILED
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr


def test_credentials_that_cannot_be_had_are_a_sentence(
    place: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile expired]\ncredential_process = sh -c 'echo The token has expired >&2; exit 1'\n"
        "[profile none]\nregion = us-east-1\n"
    )
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    without = {name: value for name, value in place.items() if name not in keys}
    without["AWS_CONFIG_FILE"] = str(config)
    expired = mrk(without, "get", "CHG1", "--profile", "expired")
    none = mrk(without, "get", "CHG1", "--profile", "none")

    assert (expired.returncode, none.returncode) == (FAILED, FAILED)
    assert "The token has expired" in expired.stderr
    assert "Sign in again" in expired.stderr
    assert "There are no AWS credentials. Name a profile with --profile" in none.stderr


def test_a_stack_is_found_by_its_name(place: dict[str, str]) -> None:
    place = {name: value for name, value in place.items() if name != "MRK_API_URL"}

    unknown = mrk(place, "get", "CHG1", "--stack", "nobodys")

    assert unknown.returncode == FAILED
    assert "Stack nobodys was not found in us-east-1" in unknown.stderr
