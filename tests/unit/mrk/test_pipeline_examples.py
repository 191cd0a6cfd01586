"""The pipelines and roles of docs/examples, held against the command and the stack."""

import os
import re
import subprocess
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result
from samtranslator.yaml_helper import yaml_parse

from checks.template import documents
from tests.support.mrk_api import PlayedApi, outcome, status
from tests.support.mrk_calls import calls_in, parsed
from tests.support.template import load_template

HOSTS = ("github", "gitlab")
EXAMPLES = Path("docs/examples").resolve()
PIPELINES = {"github": "github/keys.yaml", "gitlab": "gitlab/gitlab-ci.yml"}
API = "arn:aws:execute-api:us-east-1:111122223333:a1b2c3/v1"
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")
TEMPLATE = load_template()


@cache
def read(name: str) -> Any:
    return yaml_parse((EXAMPLES / name).read_text())


def jobs(host: str) -> dict[str, dict[str, Any]]:
    pipeline = read(PIPELINES[host])
    found: dict[str, Any] = pipeline["jobs"] if host == "github" else pipeline
    return {name: found[name] for name in ("plan", "apply")}


def scripts(host: str, job: str) -> list[str]:
    found = jobs(host)[job]
    if host == "gitlab":
        return list(found["script"])
    return [step["run"] for step in found["steps"] if "run" in step]


def calls(host: str, job: str) -> list[list[str]]:
    """List the arguments of each `mrk` in a job."""
    return [call for script in scripts(host, job) for call in calls_in(script)]


def granted(host: str, role: str) -> list[str]:
    """List the resources of a role's execute-api:Invoke."""
    template = read(f"{host}/roles.yaml")
    template["Parameters"]["ApiId"]["Default"] = "a1b2c3"
    (document,) = (
        one for one in documents(template) if (one["owner"], one["kind"]) == (role, "role")
    )
    assert {one["Action"] for one in document["statements"]} == {"execute-api:Invoke"}
    return [one["Resource"] for one in document["statements"]]


def routes() -> set[str]:
    """List the routes of the stack's API, such as `GET/keys/x`."""
    events = [
        event["Properties"]
        for resource in TEMPLATE["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "Api"
    ]
    return {f"{one['Method'].upper()}{re.sub(r'{\w+}', 'x', one['Path'])}" for one in events}


@pytest.mark.parametrize("host", HOSTS)
def test_a_pull_request_plans_and_a_merge_applies(host: str) -> None:
    assert [parsed(call)[0] for call in calls(host, "plan")] == ["plan"]
    assert [parsed(call)[0] for call in calls(host, "apply")] == ["apply"]


@pytest.mark.parametrize("host", HOSTS)
def test_the_command_takes_what_the_pipelines_call(host: str) -> None:
    (plan,), (apply,) = calls(host, "plan"), calls(host, "apply")

    assert parsed(plan)[1]["declarations"] == "keys"
    assert parsed(apply)[1]["declarations"] == "keys"
    assert parsed(apply)[1]["follow"]


@pytest.mark.parametrize("wrong", ["plan --dir keys", "aply keys", "apply keys --timeout soon"])
def test_a_call_that_the_command_does_not_take_would_be_found(wrong: str) -> None:
    with pytest.raises(click.UsageError):
        parsed(wrong.split())


@pytest.mark.parametrize("host", HOSTS)
def test_a_role_names_routes_that_the_stack_has(host: str) -> None:
    stage = TEMPLATE["Resources"]["KeysApi"]["Properties"]["StageName"]

    for role in ("PlanRole", "ApplyRole"):
        for resource in granted(host, role):
            arn, _, route = resource.partition(f"/{stage}/")
            assert f"{arn}/{stage}" == API
            assert any(fnmatchcase(one, route) for one in routes())


@pytest.mark.parametrize("host", HOSTS)
def test_a_role_reaches_no_approval_no_operation_and_no_cancellation(host: str) -> None:
    reached = {
        route
        for role in ("PlanRole", "ApplyRole")
        for resource in granted(host, role)
        for route in routes()
        if fnmatchcase(f"{API}/{route}", resource)
    }

    assert reached == {"POST/keys", "GET/keys/x", "GET/keys/x/history"}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("job", ["plan", "apply"])
def test_a_role_may_call_what_its_job_calls(
    host: str, job: str, played: PlayedApi, mrk: Callable[..., Result]
) -> None:
    Path("keys").mkdir()
    Path("keys/a.yaml").write_text("requestId: A\nalias: alias/a\n")
    request = {"requestId": "A", "alias": "alias/a", "primaryRegion": "us-east-1"}
    kind = {"keySpec": "SYMMETRIC_DEFAULT", "keyUsage": "ENCRYPT_DECRYPT", "origin": "AWS_KMS"}
    planned = {"request": request | kind, "keys": [], "warnings": [], "planId": "p"}
    played.on("POST /keys?plan=true", (200, planned))
    played.on("POST /keys?planId=p", (202, {"requestId": "A", "status": "IN_PROGRESS"}))
    played.on("GET /keys/A", (200, status("A", "CREATED")))
    history = {"requestId": "A", "outcomes": [outcome("CREATED")]}
    played.on("GET /keys/A/history", (200, history | {"outcomes": []}), (200, history))
    (call,) = calls(host, job)

    result = mrk(*call)

    assert result.exit_code == 0, result.output
    resources = granted(host, f"{job.title()}Role")
    for method, path in (one.split(" ") for one in played.calls()):
        arn = f"{API}/{method}{path.partition('?')[0]}"
        assert any(fnmatchcase(arn, resource) for resource in resources), arn


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("job", ["plan", "apply"])
@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_job_ends_as_the_command_does(host: str, job: str, code: int, tmp_path: Path) -> None:
    stub = tmp_path / "mrk"
    stub.write_text(f"#!/bin/sh\necho what mrk printed\nexit {code}\n")
    stub.chmod(0o755)
    (script,) = (one for one in scripts(host, job) if "mrk " in one)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": "summary"}

    ended = subprocess.run(
        ["bash", "-e", "-c", script], env=environment, capture_output=True, text=True, check=False
    )

    assert ended.returncode == code
    assert "what mrk printed" in ended.stdout
    assert ("::error::" in ended.stdout) == (host == "github" and code != 0)


@pytest.mark.parametrize("host", HOSTS)
def test_only_named_jobs_of_the_host_get_a_role(host: str) -> None:
    template = read(f"{host}/roles.yaml")
    issuer = template["Resources"]["Provider"]["Properties"]["Url"].removeprefix("https://")

    for name in ("PlanRole", "ApplyRole"):
        trust = template["Resources"][name]["Properties"]["AssumeRolePolicyDocument"]
        (statement,) = trust["Statement"]
        conditions = {
            key: value for one in statement["Condition"].values() for key, value in one.items()
        }
        assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
        assert conditions.keys() == {f"{issuer}:aud", f"{issuer}:sub"}
        assert (
            conditions[f"{issuer}:aud"]
            in template["Resources"]["Provider"]["Properties"]["ClientIdList"]
        )
    apply = template["Resources"]["ApplyRole"]["Properties"]["AssumeRolePolicyDocument"]
    assert apply["Statement"][0]["Condition"].keys() == {"StringEquals"}


@pytest.mark.parametrize("host", HOSTS)
def test_no_long_lived_credential_is_in_a_pipeline(host: str) -> None:
    text = (EXAMPLES / PIPELINES[host]).read_text()

    assert "SECRET_ACCESS_KEY" not in text
    assert "secrets." not in text


def test_actions_are_pinned_by_commit() -> None:
    used = [
        step["uses"] for job in jobs("github").values() for step in job["steps"] if "uses" in step
    ]

    assert used
    assert all(PINNED.fullmatch(one) for one in used)


def test_a_workflow_has_no_permission_but_its_jobs() -> None:
    assert read(PIPELINES["github"])["permissions"] == {}
    for job in jobs("github").values():
        assert job["permissions"] == {"contents": "read", "id-token": "write"}


def test_one_pipeline_applies_at_a_time_and_none_is_cancelled() -> None:
    assert jobs("github")["apply"]["concurrency"]["cancel-in-progress"] is False
    assert jobs("gitlab")["apply"]["resource_group"]
    assert "interruptible" not in jobs("gitlab")["apply"]


@pytest.mark.parametrize("host", HOSTS)
def test_the_page_names_each_variable_that_a_pipeline_reads(host: str) -> None:
    text = (EXAMPLES / PIPELINES[host]).read_text()
    page = (EXAMPLES / "README.md").read_text()
    named = (
        re.findall(r"vars\.(\w+)", text) if host == "github" else re.findall(r"\$(\w+_ARN)", text)
    )

    assert {"PLAN_ROLE_ARN", "APPLY_ROLE_ARN"} <= set(named)
    assert all(f"`{name}`" in page for name in [*named, "MRK_SOURCE", "MRK_API_URL", "AWS_REGION"])
