"""Write template.yaml as the linters need to see it.

    python -m checks.template FOLDER

writes three files into FOLDER:

- `template.json`: what CloudFormation gets after the SAM transform, roles and all, with the state
  machine's definition inline. Linters look neither into what SAM adds nor into a definition that
  lies in a file.
- `statements.json`: every statement of the roles' policies, with plain ARNs in the place of
  `!Sub`, `!Ref` and `!GetAtt`.
- `documents.json`: every policy document, those of roles and of what is not a role.

Without network: what an account would be asked for is made up.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

PSEUDO_PARAMETERS = {
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackId": (
        "arn:aws:cloudformation:us-east-1:111122223333:stack/mrk-provisioner/"
        "12345678-1234-1234-1234-123456789012"
    ),
    "AWS::StackName": "mrk-provisioner",
    "AWS::URLSuffix": "amazonaws.com",
}
# How `!GetAtt X.Arn` ends for a resource of the type.
ARNS = {
    "AWS::DynamoDB::Table": "dynamodb:{region}:{account}:table/{name}",
    "AWS::IAM::Role": "iam::{account}:role/{name}",
    "AWS::Events::EventBus": "events:{region}:{account}:event-bus/{name}",
    "AWS::Lambda::Function": "lambda:{region}:{account}:function:{name}",
    "AWS::Logs::LogGroup": "logs:{region}:{account}:log-group:{name}:*",
    "AWS::SecretsManager::Secret": "secretsmanager:{region}:{account}:secret:{name}",
    "AWS::SNS::Topic": "sns:{region}:{account}:{name}",
    "AWS::SQS::Queue": "sqs:{region}:{account}:{name}",
    "AWS::StepFunctions::StateMachine": "states:{region}:{account}:stateMachine:{name}",
    "AWS::S3::Bucket": "s3:::{name}",
}
ARN_ATTRIBUTES = ("Arn", "Id", "TopicArn")
"""`Id` is a secret's; the name is up to its type."""
# `!Ref` gives the ARN of these, and the name of others.
REFERRED_TO_BY_ARN = {"AWS::SNS::Topic", "AWS::StepFunctions::StateMachine"}
# `sam package` puts code and definitions there; the transform takes them from nowhere else.
PACKAGED = "s3://bucket/key"
PACKAGED_TEMPLATE = "https://s3.us-east-1.amazonaws.com/bucket/key"
NOTHING = {"Ref": "AWS::NoValue"}

type Template = dict[str, Any]


class _NoManagedPolicies:
    """The managed policies that a template names by name: this one names none."""

    def load(self) -> dict[str, str]:
        return {}


def expanded(source: Path) -> Template:
    """Return the template after the SAM transform, with each definition inline."""
    template = yaml_parse(source.read_text())
    template["Globals"]["Function"]["CodeUri"] = PACKAGED
    definitions = {}
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::StateMachine":
            path = source.parent / resource["Properties"]["DefinitionUri"]
            definitions[name] = json.loads(path.read_text())
            resource["Properties"]["DefinitionUri"] = PACKAGED
        elif resource["Type"] == "AWS::Serverless::Application":
            resource["Properties"]["Location"] = PACKAGED_TEMPLATE
    metadata = {
        name: resource["Metadata"]
        for name, resource in template["Resources"].items()
        if "Metadata" in resource
    }

    os.environ.setdefault("AWS_DEFAULT_REGION", PSEUDO_PARAMETERS["AWS::Region"])
    result: Template = transform(template, {}, _NoManagedPolicies())
    for name, definition in definitions.items():
        properties = result["Resources"][name]["Properties"]
        del properties["DefinitionS3Location"]
        properties["Definition"] = _without_computed_timeouts(definition)
    for name, resource in result["Resources"].items():
        # SAM names what it adds after the resource it adds it to, and leaves the metadata behind.
        origins = [origin for origin in metadata if name.startswith(origin)]
        if origins:
            resource["Metadata"] = metadata[max(origins, key=len)]
    return result


def _without_computed_timeouts(value: Any) -> Any:
    """Leave out each TimeoutSeconds that is JSONata: cfn-lint knows only numbers there.

    https://docs.aws.amazon.com/step-functions/latest/dg/state-task.html
    """
    if isinstance(value, list):
        return [_without_computed_timeouts(item) for item in value]
    if isinstance(value, dict):
        return {
            key: _without_computed_timeouts(item)
            for key, item in value.items()
            if not (key == "TimeoutSeconds" and str(item).startswith("{%"))
        }
    return value


def documents(template: Template) -> list[dict[str, Any]]:
    """Return every policy document, once for each way in which the conditions turn out.

    Returns
    -------
    list[dict[str, Any]]
        `owner`, the resource; `kind`: `role` for all that a role is granted, `trust` for who may
        assume it, `resource` for the policy of anything else; and `statements`.
    """
    found: list[dict[str, Any]] = []
    for condition in (True, False):
        values = _Values(template, condition=condition)
        for name, resource in template["Resources"].items():
            by_kind: dict[str, list[Any]] = {}
            for where, raw in _policies_in(resource.get("Properties", {}), ""):
                kind = "role" if resource["Type"] == "AWS::IAM::Role" else "resource"
                if where == "AssumeRolePolicyDocument":
                    kind = "trust"
                given = values.of(raw)
                by_kind.setdefault(kind, []).extend(given if isinstance(given, list) else [given])
            for kind, given in by_kind.items():
                one = {"owner": name, "kind": kind, "statements": given}
                if one not in found:
                    found.append(one)
    return found


def _policies_in(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Find policy documents at any depth: the property's name, and the statements as they stand."""
    if isinstance(value, list):
        for item in value:
            yield from _policies_in(item, name)
    elif isinstance(value, dict) and "Statement" in value:
        yield name, value["Statement"]
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _policies_in(item, key)


def statements(template: Template) -> list[dict[str, Any]]:
    """Return every statement of the roles' policies, whichever way the conditions turn out.

    Returns
    -------
    list[dict[str, Any]]
        `role`, and `policy`: a policy document of that one statement.
    """
    found = []
    for condition in (True, False):
        values = _Values(template, condition=condition)
        for name, resource in template["Resources"].items():
            if resource["Type"] != "AWS::IAM::Role":
                continue
            for policy in values.of(resource["Properties"].get("Policies", [])):
                document = policy["PolicyDocument"]
                for statement in document["Statement"]:
                    one = {"role": name, "policy": {**document, "Statement": [statement]}}
                    if one not in found:
                        found.append(one)
    return found


def resolved(template: Template, value: Any, *, condition: bool) -> Any:
    """Return a value of the template with plain ARNs and texts in it, every condition the same."""
    return _Values(template, condition=condition).of(value)


class _Values:
    """What the intrinsic functions of a template come to, with every condition the same."""

    def __init__(self, template: Template, *, condition: bool) -> None:
        self._resources = template["Resources"]
        self._parameters = template.get("Parameters", {})
        self._condition = condition
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._referred_to,
            "Fn::GetAtt": self._attribute,
            "Fn::Join": lambda argument: argument[0].join(self.of(argument[1])),
            "Fn::Select": lambda argument: self.of(argument[1])[argument[0]],
            "Fn::Split": lambda argument: self.of(argument[1]).split(argument[0]),
            "Fn::Sub": self._substituted,
        }

    def of(self, value: Any) -> Any:
        """Return the value with each intrinsic function replaced by what it comes to."""
        value = self._chosen(value)
        if isinstance(value, list):
            return [self.of(item) for item in value if self._chosen(item) != NOTHING]
        if not isinstance(value, dict):
            return value
        [name, *others] = value
        if others or not (name == "Ref" or name.startswith("Fn::")):
            return {k: self.of(item) for k, item in value.items() if self._chosen(item) != NOTHING}
        if name not in self._functions:
            raise NotImplementedError(f"Say in checks/template.py what {name} comes to.")
        return self._functions[name](value[name])

    def _chosen(self, value: Any) -> Any:
        while isinstance(value, dict) and value.keys() == {"Fn::If"}:
            value = value["Fn::If"][1 if self._condition else 2]
        return value

    def _referred_to(self, name: str) -> Any:
        if name in PSEUDO_PARAMETERS:
            return PSEUDO_PARAMETERS[name]
        if name in self._parameters:
            default = self._parameters[name].get("Default", "")
            is_list = self._parameters[name]["Type"] == "CommaDelimitedList"
            return default.split(",") if is_list else default
        by_arn = self._resources[name]["Type"] in REFERRED_TO_BY_ARN
        return self._attribute(f"{name}.Arn") if by_arn else name

    def _attribute(self, path: str | list[str]) -> str:
        name, attribute = path.split(".") if isinstance(path, str) else path
        kind = self._resources[name]["Type"]
        if attribute not in ARN_ATTRIBUTES or kind not in ARNS:
            raise NotImplementedError(
                f"Say in checks/template.py what {attribute} of {name}, {kind}, comes to."
            )
        end = ARNS[kind].format(
            region=PSEUDO_PARAMETERS["AWS::Region"],
            account=PSEUDO_PARAMETERS["AWS::AccountId"],
            name=name,
        )
        return f"arn:{PSEUDO_PARAMETERS['AWS::Partition']}:{end}"

    def _substituted(self, argument: str | list[Any]) -> str:
        text, given = (argument, {}) if isinstance(argument, str) else argument

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name in given:
                return str(self.of(given[name]))
            return str(self._attribute(name) if "." in name else self._referred_to(name))

        return re.sub(r"\$\{([^!}][^}]*)\}", value, text)


def main(folder: Path) -> None:
    """Write the files."""
    folder.mkdir(parents=True, exist_ok=True)
    template = expanded(Path("template.yaml"))
    (folder / "template.json").write_text(json.dumps(template, indent=2))
    (folder / "statements.json").write_text(json.dumps(statements(template), indent=2))
    (folder / "documents.json").write_text(json.dumps(documents(template), indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
