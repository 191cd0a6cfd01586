"""The contracts that the deployed stack publishes, and a client that is generated from them."""

import importlib
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.polling import wait_for
from local.stack.endpoint import ROOT_USER
from local.stack.stack import Stack
from tests.support.stack.reading import new_request

REGIONS = ["us-east-1", "eu-west-1"]
GENERATOR = (
    "tool run --quiet --python 3.13 --from openapi-python-client==0.29.1 openapi-python-client"
)


@pytest.mark.parametrize("name", ["openapi.json", "asyncapi.json"])
def test_the_stack_answers_its_own_contracts(name: str, stack: Stack) -> None:
    answer = stack.api("GET", f"/{name}")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == json.loads(Path("docs/contracts", name).read_text())


def test_a_contract_is_signed_for_like_all_else(stack: Stack) -> None:
    assert stack.api("GET", "/openapi.json", signed=False).status_code == 403


def test_a_client_that_is_generated_from_the_contract_makes_a_key_set(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate_client(stack.api("GET", "/openapi.json").text, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    models = importlib.import_module("keysets.models")
    wanted = new_request("generated", replicas=[{"region": "eu-west-1"}], tags={"team": "payments"})
    request = models.Request.from_dict(wanted)

    with signing_client(stack) as client:
        plan = operation("post_key_set")(client=client, body=request, plan=True)
        accepted = operation("post_key_set")(client=client, body=request)
        status = wait_for(
            lambda: created(operation("get_key_set")(wanted["requestId"], client=client)),
            f"the key set of {wanted['requestId']}",
            timeout=60,
        )
        history = operation("get_history")(wanted["requestId"], client=client)
        unknown = operation("get_key_set")("nobody-asked-for-this", client=client)

    assert isinstance(plan, models.RequestPlan)
    assert [key.region for key in plan.keys] == REGIONS
    assert isinstance(accepted, models.Accepted)
    assert accepted.request_id == wanted["requestId"]
    assert isinstance(status, models.KeySetStatus)
    assert [key.region for key in (status.key.primary, *status.key.replicas)] == REGIONS
    assert [one.status for one in history.outcomes] == ["CREATED"]
    assert isinstance(unknown, models.Errors)
    assert [one.code for one in unknown.errors] == ["NOT_FOUND"]


def generate_client(contract: str, folder: Path) -> None:
    """Generate a package `keysets` in a folder."""
    (folder / "openapi.json").write_text(contract)
    (folder / "config.yaml").write_text("post_hooks: []\n")
    uv = shutil.which("uv") or ".local/bootstrap/bin/uv"
    subprocess.run(
        [
            *(uv, *shlex.split(GENERATOR), "generate", "--meta", "none", "--fail-on-warning"),
            *("--path", str(folder / "openapi.json"), "--output-path", str(folder / "keysets")),
            *("--config", str(folder / "config.yaml")),
        ],
        check=True,
        env=os.environ | {"NO_COLOR": "1"},
    )


def signing_client(stack: Stack) -> Any:
    """Return a generated client that signs what it sends."""
    client = importlib.import_module("keysets.client")

    def sign(request: httpx.Request) -> None:
        request.read()
        stack._sign(request, ROOT_USER)

    return client.Client(
        base_url=stack.outputs["ApiUrl"],
        timeout=httpx.Timeout(60),
        httpx_args={"event_hooks": {"request": [sign]}},
    )


def operation(name: str) -> Any:
    """Return the function of a generated client that calls an operation."""
    return importlib.import_module(f"keysets.api.default.{name}").sync


def created(status: Any) -> Any:
    """Return a status once its key set is created."""
    return status if status.status == "CREATED" else None
