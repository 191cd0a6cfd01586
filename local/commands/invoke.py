"""`make invoke`: one function by itself, in a container as in AWS, against the local stack."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from local.errors import LocalStackError
from local.settings import ROOT, STATE, aws_environment
from local.stack.build import SAM, sam_environment, template_for_this_machine
from local.stack.stack import Stack

ENVIRONMENT_FILE = STATE / "sam-local.json"
"""What `sam local invoke` finds through samconfig.toml: the functions' environment here."""

_HOST_OF_CONTAINERS = "host.docker.internal"
_BUILD = STATE / "sam-local"
_SAMPLE_KEY_ID = f"mrk-{'0' * 32}"


def write_environment(described: dict[str, Any]) -> None:
    """Write the environment of the deployed functions as a container needs it."""
    stack = Stack.of(described)
    port = stack.url.rsplit(":", 1)[1]
    awslambda = stack.client("lambda")
    variables = {}
    for logical_id, name in stack.functions().items():
        answer = awslambda.get_function_configuration(FunctionName=name)
        variables[logical_id] = {
            **answer["Environment"]["Variables"],
            "AWS_ENDPOINT_URL": f"http://{_HOST_OF_CONTAINERS}:{port}",
        }
    ENVIRONMENT_FILE.write_text(json.dumps(variables, indent=2) + "\n")


def invoke(described: dict[str, Any], function: str, event: Path, options: list[str]) -> int:
    """Build the functions and invoke one of them, with its own role's credentials.

    Parameters
    ----------
    described
        What `stack.json` holds.
    event
        One of the files in events/. A key ID of zeros in it becomes the one of the key set that
        its request has in the local stack.
    options
        More options for `sam local invoke`, such as `--skip-pull-image`.

    Returns
    -------
    int
        The exit code of `sam local invoke`.

    Raises
    ------
    LocalStackError
        There is no such function or event, or no such key set yet.
    """
    stack = Stack.of(described)
    if function not in (known := stack.functions()):
        raise LocalStackError(f"FUNCTION={function} is none of {', '.join(sorted(known))}.")
    credentials = stack.credentials_of(stack.role_of(function))
    environment = sam_environment(aws_environment(stack.url, stack.region)) | {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.token or "",
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=STATE) as prepared:
        prepared.write(_with_key_of_its_request(event, stack))
        prepared.flush()
        template = str(template_for_this_machine())
        invoke = ["local", "invoke", function, "--event", prepared.name, *options]
        for command in (
            ["build", "--template-file", template, "--build-dir", str(_BUILD)],
            [*invoke, "--template-file", str(_BUILD / "template.yaml")],
        ):
            # A template that lies elsewhere has no samconfig.toml beside it.
            command += ["--config-file", str(ROOT / "samconfig.toml")]
            done = subprocess.run([SAM, *command], cwd=ROOT, env=environment, check=False)
            if done.returncode:
                return done.returncode
    return 0


def _with_key_of_its_request(event: Path, stack: Stack) -> str:
    try:
        text = event.read_text()
        document = json.loads(text)
    except (OSError, ValueError) as error:
        raise LocalStackError(f"EVENT={event} is not a readable JSON file: {error}.") from error
    if _SAMPLE_KEY_ID not in text:
        return text
    holders = (document, document.get("request", {}), document.get("question", {}))
    request_id = next(holder["requestId"] for holder in holders if "requestId" in holder)
    answer = stack.api("GET", f"/keys/{request_id}").json()
    if not answer.get("key"):
        raise LocalStackError(
            f"{event} is about the key set of request {request_id}, which the local stack does not "
            "have yet. Create it first: make run"
        )
    return text.replace(_SAMPLE_KEY_ID, answer["key"]["keyId"])
