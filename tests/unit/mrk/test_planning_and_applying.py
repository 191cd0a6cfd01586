"""`mrk plan` and `mrk apply`: files, directories, refusals, outcomes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.support.mrk_api import PlayedApi, outcome, refusal, status

Mrk = Callable[..., Result]
DONE, FAILED, WRONG_USAGE = 0, 1, 2
PLAN, POST = "POST /keys?plan=true", "POST /keys"
PLAN_ID = "8900c23a"
CHANGES: list[dict[str, Any]] = [
    {
        "region": "eu-west-1",
        "property": "tags.team",
        "from": "payments",
        "to": "cards",
        "call": "TagResource",
        "confirm": None,
        "reversible": "by the next revision",
    },
    {
        "region": "us-west-2",
        "property": "keyState",
        "from": "Enabled",
        "to": "PendingDeletion",
        "call": "ScheduleKeyDeletion",
        "confirm": "REMOVE:us-west-2",
        "reversible": "for 30 days from then on",
        "lastUsedAt": "2026-11-26T00:00:00Z",
        "lastUsedFor": "Decrypt",
    },
]


def declared(request_id: str = "CHG1", **more: Any) -> dict[str, Any]:
    return {"requestId": request_id, "alias": "alias/a", "primaryRegion": "us-east-1"} | more


def policy(*users: str) -> dict[str, Any]:
    principal = {"AWS": [f"arn:aws:iam::111122223333:role/{user}" for user in users]}
    statement = {"Sid": "Use", "Effect": "Allow", "Principal": principal}
    return {"Statement": [statement | {"Action": ["kms:Decrypt"], "Resource": "*"}]}


def plan_of_new_set(request_id: str = "CHG1") -> dict[str, Any]:
    request = declared(request_id, keySpec="HMAC_256", keyUsage="GENERATE_VERIFY_MAC")
    key = {"region": "us-east-1", "alias": "alias/a", "description": "", "rotation": None}
    tags = {"team": "payments", "mrk:stack": "s"}
    keys = [key | {"tags": tags, "policy": policy("App"), "expiry": None}]
    return {"request": request | {"origin": "AWS_KMS"}, "keys": keys, "warnings": []}


def plan_of_change(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    shown = {"request": declared(revision=2), "keys": [], "warnings": []}
    return shown | {"planId": PLAN_ID, "changes": [*rows]} | more


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "cards.json"
    path.write_text(json.dumps(declared()))
    return str(path)


def test_a_new_key_set_is_shown_region_by_region(played: PlayedApi, mrk: Mrk, file: str) -> None:
    played.on(PLAN, (200, plan_of_new_set()))

    result = mrk("plan", file)

    assert result.exit_code == DONE
    assert "a new key set in 1 Region\n" in result.stdout
    assert "us-east-1 (primary)" in result.stdout
    assert "+ key        HMAC_256 GENERATE_VERIFY_MAC AWS_KMS  CreateKey" in result.stdout
    assert "role/App: kms:Decrypt" in result.stdout
    assert "mrk:stack" not in result.stdout
    assert played.body_of(PLAN) == declared()


def test_a_change_is_a_diff_with_its_words_and_what_can_be_taken_back(
    played: PlayedApi, mrk: Mrk, file: str
) -> None:
    policies = CHANGES[0] | {"property": "policy", "from": policy("Old"), "to": policy("New")}
    played.on(PLAN, (200, plan_of_change(*CHANGES, policies)))

    result = mrk("plan", file)

    assert result.exit_code == DONE
    assert "~ tags.team  payments → cards  TagResource\n" in result.stdout
    west = next(line for line in result.stdout.splitlines() if "ScheduleKeyDeletion" in line)
    assert "takes the word REMOVE:us-west-2  reversible for 30 days from then on" in west
    assert "last used 2026-11-26T00:00:00Z for Decrypt" in west
    assert "- Use: Allow arn:aws:iam::111122223333:role/Old: kms:Decrypt" in result.stdout
    assert "+ Use: Allow arn:aws:iam::111122223333:role/New: kms:Decrypt" in result.stdout
    assert f"Plan {PLAN_ID}" in result.stdout


def test_json_is_the_answer_of_the_api(played: PlayedApi, mrk: Mrk, file: str) -> None:
    played.on(PLAN, (200, plan_of_change(*CHANGES)))

    result = mrk("plan", file, "--json")

    assert json.loads(result.stdout) == plan_of_change(*CHANGES)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_refused_plan_shows_every_problem_with_its_path(
    played: PlayedApi, mrk: Mrk, file: str, form: str
) -> None:
    problems = (
        ("replicas[1].region", "REGION_NOT_ALLOWED", "Not this one."),
        ("tags.a", "TOO_LONG", "Shorter."),
    )
    played.on(PLAN, (400, refusal(*problems)))

    result = mrk("plan", file, *(["--json"] if form == "json" else []))

    assert result.exit_code == FAILED
    if form == "json":
        assert json.loads(result.stdout) == refusal(*problems)
    else:
        assert "replicas[1].region: REGION_NOT_ALLOWED: Not this one." in result.stdout
        assert "tags.a: TOO_LONG: Shorter." in result.stdout


def test_a_plan_for_which_the_request_would_be_refused_fails(
    played: PlayedApi, mrk: Mrk, file: str
) -> None:
    warning = {"path": "replicas", "code": "CONFIRMATION_REQUIRED", "message": "Add REMOVE:x."}
    played.on(PLAN, (200, plan_of_change(CHANGES[1], warnings=[warning])))

    result = mrk("plan", file)

    assert result.exit_code == FAILED
    assert "Would be refused: replicas: CONFIRMATION_REQUIRED: Add REMOVE:x." in result.stdout


def test_a_declaration_is_read_from_standard_input_as_yaml(played: PlayedApi, mrk: Mrk) -> None:
    played.on(PLAN, (200, plan_of_new_set()))

    mrk("plan", "-", typed="requestId: CHG1\nalias: alias/a\ntags: {stage: no, at: 2026-01-01}\n")

    sent = played.body_of(PLAN)
    assert sent["tags"] == {"stage": "no", "at": "2026-01-01"}


def test_a_directory_is_planned_as_one(played: PlayedApi, mrk: Mrk, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(declared("CHG1")))
    (tmp_path / "b.yaml").write_text("requestId: CHG2\nalias: x\n---\nrequestId: CHG3\nalias: x\n")
    (tmp_path / "README.md").write_text("not a declaration")
    played.on(
        PLAN,
        (200, plan_of_new_set("CHG1")),
        (200, plan_of_change(CHANGES[0])),
        (400, refusal(("alias", "BAD_FORMAT", "No alias."))),
    )

    result = mrk("plan", str(tmp_path))

    assert result.exit_code == FAILED
    assert [body["requestId"] for _, body in played.sent] == ["CHG1", "CHG2", "CHG3"]
    assert "3 declarations: 1 new, 1 to change, 0 as they are, 1 refused." in result.stdout
    assert f"CHG3 ({tmp_path}/b.yaml (2)): refused" in result.stdout


def test_nothing_of_a_directory_is_sent_where_one_of_it_would_be_refused(
    played: PlayedApi, mrk: Mrk, tmp_path: Path
) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.json").write_text(json.dumps(declared(f"CHG{number}")))
    problem = ("alias", "BAD_FORMAT", "No alias.")
    played.on(PLAN, (200, plan_of_new_set()), (400, refusal(problem)))

    result = mrk("apply", str(tmp_path), "--json")

    assert result.exit_code == FAILED
    assert played.calls() == [PLAN, PLAN]
    [shown] = json.loads(result.stdout)["errors"]
    assert shown == {"path": f"{tmp_path}/2.json: alias", "code": problem[1], "message": problem[2]}


def test_a_directory_is_applied_as_it_was_planned(
    played: PlayedApi, mrk: Mrk, tmp_path: Path
) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.json").write_text(json.dumps(declared(f"CHG{number}")))
    played.on(PLAN, (200, plan_of_new_set()), (200, plan_of_change(CHANGES[0])))
    accepted = {"executionArn": "arn:e", "status": "IN_PROGRESS"}
    played.on(POST, (202, accepted | {"requestId": "CHG1"}))
    played.on(f"POST /keys?planId={PLAN_ID}", (202, accepted | {"requestId": "CHG2"}))

    result = mrk("apply", str(tmp_path))

    assert result.exit_code == DONE
    assert played.calls()[2:] == [POST, f"POST /keys?planId={PLAN_ID}"]
    assert "CHG2: IN_PROGRESS. To watch it: mrk follow CHG2" in result.stdout


def test_apply_ends_when_the_request_is_accepted(played: PlayedApi, mrk: Mrk, file: str) -> None:
    answer = {"requestId": "CHG1", "executionArn": "arn:e", "status": "IN_PROGRESS"}
    played.on(POST, (202, answer))

    result = mrk("apply", file, "--json")

    assert (result.exit_code, json.loads(result.stdout)) == (DONE, answer)
    assert played.calls() == [POST]


@pytest.mark.parametrize(
    ("word", "code"),
    [("CREATED", DONE), ("UPDATED", DONE), ("FAILED", FAILED), ("REJECTED", FAILED)],
)
def test_apply_that_follows_ends_with_the_outcome(
    played: PlayedApi, mrk: Mrk, file: str, word: str, code: int
) -> None:
    answer = {"requestId": "CHG1", "executionArn": "arn:e", "status": "IN_PROGRESS"}
    history = "GET /keys/CHG1/history"
    earlier, new = outcome("FAILED", "o1"), outcome(word, "o2")
    played.on(POST, (202, answer))
    played.on(history, *[(200, {"outcomes": [earlier]})] * 2, (200, {"outcomes": [earlier, new]}))
    played.on("GET /keys/CHG1", (200, status("CHG1", "IN_PROGRESS")), (200, status("CHG1", word)))

    result = mrk("apply", file, "--follow", "--json")

    assert result.exit_code == code, result.output
    assert json.loads(result.stdout)["outcome"]["status"] == word
    assert "us-east-1       Enabled" in result.stderr


def test_what_is_as_declared_already_is_not_waited_for(
    played: PlayedApi, mrk: Mrk, file: str
) -> None:
    answer = {"requestId": "CHG1", "executionArn": "arn:e", "status": "CREATED"}
    played.on(POST, (202, answer))
    played.on("GET /keys/CHG1", (200, status("CHG1", "CREATED")))

    assert mrk("apply", file, "--follow").exit_code == DONE


def test_a_plan_that_is_outdated_is_not_applied(played: PlayedApi, mrk: Mrk, file: str) -> None:
    problem = ("planId", "PLAN_OUTDATED", "It has changed. Plan again.")
    played.on("POST /keys?planId=old", (409, refusal(problem)))

    result = mrk("apply", file, "--plan-id", "old")

    assert result.exit_code == FAILED
    assert "The stack refuses this (409)" in result.stderr
    assert "planId: PLAN_OUTDATED: It has changed. Plan again." in result.stderr


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", '{"a": 1, "a": 2}', "a: DUPLICATE_NAME: a stands twice in one object."),
        ("a.json", '{"b": [{"a": 1, "a": 2}]}', "b[0].a: DUPLICATE_NAME"),
        ("a.json", '{"a": }', "Not JSON at line 1, column 7"),
        ("a.json", '{"a": NaN}', "NaN is no number in JSON"),
        ("a.json", '{"a": 1e999}', "1e999 is not a number"),
        ("a.json", "[1]", "NOT_AN_OBJECT"),
        ("a.yaml", "a: 1\nb: {c: 1, c: 2}", "c: DUPLICATE_NAME: c stands twice in one object, at"),
        ("a.yaml", "a: [1", "Not YAML at line"),
        ("a.yaml", "a: &a {b: *a}", "Not YAML"),
        ("a.yaml", "a: !!python/object:os.system {}", "Not YAML at line 1, column 4"),
        ("a.yaml", "1: a", "put it in quotes"),
        ("a.yaml", "# nothing", "declares nothing"),
        ("a.yaml", "requestId: A\n---\nrequestId: A", "DUPLICATE_REQUEST"),
        ("a.json", b"\xff", "not UTF-8 at byte 1"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_sent(
    played: PlayedApi, mrk: Mrk, name: str, text: str | bytes, said: str
) -> None:
    Path(name).write_bytes(text.encode() if isinstance(text, str) else text)

    result = mrk("apply", name)

    assert result.exit_code == FAILED
    assert said in result.stderr
    assert played.sent == []


def test_yaml_is_read_as_its_version_1_2_has_it(
    played: PlayedApi, mrk: Mrk, tmp_path: Path
) -> None:
    text = "a: on\nb: true\nc: 012\nd: 1.5\ne: ~\nf:\ng: '5'\nh: 12:30:00\ni: 0x1F\n"
    (tmp_path / "a.yml").write_text(text)
    played.on(PLAN, (200, plan_of_new_set()))

    mrk("plan", "a.yml")

    read = {"a": "on", "b": True, "c": 12, "d": 1.5, "e": None, "f": None, "g": "5"}
    assert played.body_of(PLAN) == read | {"h": "12:30:00", "i": "0x1F"}


def test_a_whole_event_is_taken_as_a_declaration(
    played: PlayedApi, mrk: Mrk, tmp_path: Path
) -> None:
    event = {"detail-type": "Multi-Region Key Requested", "source": "s", "detail": declared()}
    (tmp_path / "event.json").write_text(json.dumps(event))
    played.on(PLAN, (200, plan_of_new_set()))

    mrk("plan", "event.json")

    assert played.body_of(PLAN) == declared()


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan"],
        ["plan", "a", "b"],
        ["apply", "a.json", "--timeout", "soon"],
        ["list", "--status", "GONE"],
        ["list", "--limit", "0"],
        ["approve", "CHG1", "--yes"],
        ["plann", "a.json"],
    ],
)
def test_wrong_usage_ends_with_code_2(mrk: Mrk, arguments: list[str]) -> None:
    assert mrk(*arguments).exit_code == WRONG_USAGE


def test_a_command_that_does_not_exist_is_named_with_the_nearest(mrk: Mrk) -> None:
    assert "There is no command aply. Did you mean apply?" in mrk("aply").stderr
