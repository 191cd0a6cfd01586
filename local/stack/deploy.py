"""Deploys the template into a running emulator."""

import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from local.progress import ShowStep
from local.settings import ACCOUNT_ID, PARAMETERS, ROOT, STACK_NAME, aws_environment
from local.stack.build import built_template, run_sam
from local.stack.endpoint import Endpoint
from local.stack.server import Server

_API_URL = re.compile(r"https://(?P<api>[^.]+)\.execute-api\.[^/]+/(?P<stage>[^/]+)")
_ROLE = re.compile(
    rf"arn:aws:iam::{ACCOUNT_ID}:role(?P<path>/(?:[\w+=,.@-]+/)*)(?P<name>[\w+=,.@-]+)"
)


def deploy(
    server: Server,
    parameters: dict[str, str] = PARAMETERS,
    stack_name: str = STACK_NAME,
    step: ShowStep = nullcontext,
) -> dict[str, Any]:
    """Build and deploy the stack, unless this very stack is there already.

    Parameters
    ----------
    server
        The emulator to deploy into; `stack.json` is written to its folder.
    parameters
        Values for the template's parameters.
    stack_name
        What the stack is called.
    step
        Shows what is being done.

    Returns
    -------
    dict
        What `stack.json` holds: `endpointUrl`, `region`, `accountId`, `stackName` and `outputs`.

    Raises
    ------
    LocalStackError
        The build or the deployment failed.
    """
    template, fingerprint = built_template(step)
    deployed = server.folder / "deployed.json"
    wanted = {
        "process": server.process.pid,
        "started": server.process.create_time(),
        "fingerprint": fingerprint,
        "parameters": parameters,
        "stackName": stack_name,
    }
    endpoint = Endpoint(server.endpoint_url, server.region)
    create_roles_of_events(endpoint)
    stack = server.folder / "stack.json"
    if not (stack.exists() and deployed.exists() and _read(deployed) == wanted):
        stack.unlink(missing_ok=True)
        with step("Deploy the stack"):
            _deploy(server, template, parameters, stack_name)
        described = {
            "endpointUrl": server.endpoint_url,
            "region": server.region,
            "accountId": ACCOUNT_ID,
            "stackName": stack_name,
            "outputs": _outputs(endpoint, stack_name),
        }
        stack.write_text(json.dumps(described, indent=2) + "\n")
        deployed.write_text(json.dumps(wanted, indent=2) + "\n")
    return _read(stack)


def create_roles_of_events(endpoint: Endpoint) -> None:
    """Create the roles that the files in events/ name, as KMS refuses unknown principals."""
    text = "".join(path.read_text() for path in sorted((ROOT / "events").glob("*.json*")))
    for path, name in sorted({(role["path"], role["name"]) for role in _ROLE.finditer(text)}):
        endpoint.create_role(name, path=path)


def _deploy(server: Server, template: Path, parameters: dict[str, str], stack_name: str) -> None:
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    run_sam(
        [
            "deploy",
            *("--template-file", str(template)),
            *("--stack-name", stack_name),
            *("--region", server.region),
            *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
            "--resolve-s3",
            "--no-confirm-changeset",
            "--no-fail-on-empty-changeset",
            "--use-json",
            *("--parameter-overrides", *overrides),
        ],
        # The emulator has deployed long before SAM's five seconds are over.
        aws_environment(server.endpoint_url, server.region) | {"SAM_CLI_POLL_DELAY": "0.5"},
    )


def _outputs(endpoint: Endpoint, stack_name: str) -> dict[str, str]:
    stacks = endpoint.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}
    # The emulator serves an API under its own address.
    outputs["ApiUrl"] = _API_URL.sub(
        rf"{endpoint.url}/_aws/execute-api/\g<api>/\g<stage>", outputs["ApiUrl"]
    )
    return outputs


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content
