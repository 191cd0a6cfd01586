"""Hold every AWS call that the functions can make against the SDK and against their roles.

    python -m checks.calls TEMPLATE DOCUMENTS

reads the functions' source and what `checks.template` wrote. It runs where `botocore` is the
version that Lambda's runtime has, which the functions do without in their own packages.

A call is right where that botocore has the operation and its parameters, the exceptions that are
named and the members of the answer that are read, and where the function's role is granted its
action. A role is right where the function can make a call for each action that it is granted.

Exit codes: 0 nothing is left, 1 something is.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import botocore
from botocore import xform_name
from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader
from botocore.model import ServiceModel

from checks.reachable import (
    UNKNOWN,
    Answer,
    Arguments,
    Client,
    Many,
    Mapping,
    Operation,
    Row,
    Run,
    Text,
    Values,
    method_calls,
    texts,
)

type Json = dict[str, Any]
type Finding = tuple[str, str, str]
"""Where it is, in a function or a line of the source; the rule that it breaks; what breaks it."""

OPERATION = "operation does not exist"
PARAMETER = "parameter does not exist"
MISSING = "required parameter is missing"
VALUE = "value does not exist"
EXCEPTION = "exception does not exist"
RAISED = "exception is none of the call's"
MEMBER = "answer has no such member"
UNSEEN = "call of what is not known to be a client"
GRANT = "action is not granted"
EXCESS = "granted action has no call"

# The parameter of botocore's paginators for pages; the call itself has no such parameter.
# https://docs.aws.amazon.com/boto3/latest/guide/paginators.html
PAGES = "PaginationConfig"

# Prefixes and actions that are named otherwise than the service signs and the operation.
PREFIXES = {"resourcegroupstaggingapi": "tag"}
ACTIONS = {("lambda", "Invoke"): "lambda:InvokeFunction"}
# What Powertools calls, by the class that is given the client:
# https://github.com/aws-powertools/powertools-lambda-python/blob/develop/aws_lambda_powertools/utilities/idempotency/persistence/dynamodb.py
# GetItem is not among them: DynamoDB returns the item with the failed condition of a PutItem.
POWERTOOLS = {
    "DynamoDBPersistenceLayer": ("put_item", "update_item", "delete_item"),
}
# Operations that are newer than the runtime's SDK: the functions see whether a client has them, and
# do without where it does not.
# https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyLastUsage.html
NEWER = {("kms", "get_key_last_usage"): "GetKeyLastUsage"}
# https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
COMMON_EXCEPTIONS = {
    "AccessDeniedException",
    "ThrottlingException",
    "TooManyRequestsException",
    "UnrecognizedClientException",
}

# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
WITHIN = "KMS asks the caller for it within the call that creates a key."
# What Lambda calls with the function's role where the function has a dead-letter queue.
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
DEAD_LETTER = "sqs:SendMessage"
# What is right all the same, with the reason.
EXCEPTIONS: dict[Finding, str] = {
    ("CreatePrimaryKeyFunction", EXCESS, "iam:CreateServiceLinkedRole"): WITHIN,
    ("CreatePrimaryKeyFunction", EXCESS, "kms:PutKeyPolicy"): WITHIN,
    ("CreatePrimaryKeyFunction", EXCESS, "kms:TagResource"): WITHIN,
    ("CreateReplicaKeyFunction", EXCESS, "iam:CreateServiceLinkedRole"): WITHIN,
    ("CreateReplicaKeyFunction", EXCESS, "kms:CreateKey"): WITHIN,
    ("CreateReplicaKeyFunction", EXCESS, "kms:PutKeyPolicy"): WITHIN,
    ("CreateReplicaKeyFunction", EXCESS, "kms:TagResource"): WITHIN,
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    ("ReadBatchFunction", EXCESS, "s3:ListBucket"): (
        "Without it, S3 says of an object that is missing that access is denied."
    ),
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    **{
        (function, EXCESS, action): "Lambda takes the queue's messages with it."
        for function in ("LookAtKeysFunction", "UpdateTicketFunction")
        for action in ("sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage")
    },
}


@cache
def model(service: str) -> ServiceModel:
    """Return botocore's model of a service."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


@cache
def operations(service: str) -> dict[str, str]:
    """Return the operations of a service by the names of a client's methods."""
    return {xform_name(name): name for name in model(service).operation_names}


@cache
def paginators(service: str) -> Json:
    """Return the operations of a service that have pages."""
    try:
        pages: Json = Loader().load_service_model(service, "paginators-1")
    except UnknownServiceError:
        return {}
    return dict(pages["pagination"])


@cache
def exception_names(service: str, operation: str | None = None) -> set[str]:
    """Return the names of the errors of a service, or of one of its operations."""
    source = model(service).operation_model(operation) if operation else model(service)
    return {shape.name for shape in source.error_shapes}


class Calls:
    """The calls of one function. `held` is what was held, by kind; `findings` what was wrong."""

    def __init__(self) -> None:
        self.made: set[tuple[str, str]] = set()
        self.held: dict[str, set[tuple[str, ...]]] = {
            kind: set() for kind in ("calls", "parameters", "exceptions", "members of answers")
        }
        self.findings: set[Finding] = set()
        self._log: list[tuple[str, str]] = []
        self._tried: list[tuple[str, str]] = []

    def call(self, operation: Operation, given: Arguments, where: str) -> Values:
        """Hold a call's parameters and return its answer."""
        service, method = operation.service, operation.method
        name = operations(service).get(method)
        self.held["calls"].add((where, service, method))
        if name is None and (service, method) in NEWER:
            self.made.add((service, NEWER[service, method]))
            return UNKNOWN
        if name is None or (operation.paginated and name not in paginators(service)):
            self.findings.add((where, OPERATION, f"{method} of {service}"))
            return UNKNOWN
        self.made.add((service, name))
        self._log.append((service, name))
        called = model(service).operation_model(name)
        keywords = given.keywords
        if operation.paginated:
            keywords = tuple(one for one in keywords if one[0] != PAGES)
        parameters = Mapping(keywords, given.closed)
        self._hold(parameters, called.input_shape, f"{name}", where)
        return _answer(service, name, called.output_shape)

    def member(self, answer: Answer, name: str | None, where: str) -> Values:
        """Hold the name of a member and return it."""
        shape = answer.shape
        if shape.type_name == "list":
            return _answer(answer.service, f"{answer.name}[]", shape.member)
        if shape.type_name == "map":
            return _answer(answer.service, f"{answer.name}.*", shape.value)
        if shape.type_name != "structure" or name is None:
            return UNKNOWN
        self.held["members of answers"].add((where, answer.name, name))
        if name not in shape.members:
            self.findings.add((where, MEMBER, f"{answer.name}.{name}"))
            return UNKNOWN
        return _answer(answer.service, f"{answer.name}.{name}", shape.members[name])

    def exception(self, service: str, name: str, where: str) -> None:
        """Hold the name of an exception."""
        self.held["exceptions"].add((where, service, name))
        if name not in exception_names(service):
            self.findings.add((where, EXCEPTION, f"{name} of {service}"))
        tried = [operation for one, operation in self._tried if one == service]
        if tried and not any(name in exception_names(service, one) for one in tried):
            self.findings.add((where, RAISED, f"{name} of {' or '.join(tried)}"))

    def attempt(self, body: Callable[[], None], handlers: Callable[[], None]) -> None:
        """Hold the exceptions that handlers name against the calls of the body."""
        start = len(self._log)
        body()
        outer, self._tried = self._tried, self._log[start:]
        handlers()
        self._tried = outer

    def library(self, name: str, given: Arguments, where: str) -> None:
        """Note the calls that Powertools makes with a client that it is given."""
        clients = [one for _, values in given.keywords for one in values if isinstance(one, Client)]
        for method in POWERTOOLS.get(name.rpartition(".")[2], ()):
            for client in clients:
                self.held["calls"].add((where, client.service, method))
                self.made.add((client.service, operations(client.service)[method]))

    def _hold(self, value: Any, shape: Any, path: str, where: str) -> None:
        """Hold a value that is given for a parameter, as far as it is known."""
        if isinstance(value, Text):
            self._hold_text(value, shape, path, where)
        elif isinstance(value, Mapping) and shape.type_name == "structure":
            self._hold_structure(value, shape, path, where)
        elif isinstance(value, Mapping) and shape.type_name == "map":
            for _, values in value.items:
                self._hold_each(values, shape.value, path, where)
        elif isinstance(value, Row) and shape.type_name == "list":
            for values in value.items:
                self._hold_each(values, shape.member, path, where)
        elif isinstance(value, Many) and shape.type_name == "list":
            self._hold_each(value.elements, shape.member, path, where)

    def _hold_each(self, values: Values, shape: Any, path: str, where: str) -> None:
        for one in values:
            self._hold(one, shape, path, where)

    def _hold_text(self, text: Text, shape: Any, path: str, where: str) -> None:
        values = getattr(shape, "enum", None) or [text.value]
        if text.value not in values or shape.type_name not in ("blob", "string", "timestamp"):
            self.findings.add((where, VALUE, f"{text.value} of {path}"))

    def _hold_structure(self, value: Mapping, shape: Any, path: str, where: str) -> None:
        for name, values in value.items:
            self.held["parameters"].add((where, path, name))
            if name in shape.members:
                self._hold_each(values, shape.members[name], f"{path}.{name}", where)
            else:
                self.findings.add((where, PARAMETER, f"{path}.{name}"))
        if value.closed:
            names = {name for name, _ in value.items}
            for name in set(shape.required_members) - names:
                self.findings.add((where, MISSING, f"{path}.{name}"))


def _answer(service: str, name: str, shape: Any) -> Values:
    return frozenset({Answer(service, name, shape)}) if shape else UNKNOWN


def action_of(service: str, operation: str) -> str:
    """Return the IAM action that an operation is authorised as."""
    prefix = PREFIXES.get(service, model(service).signing_name)
    return ACTIONS.get((service, operation), f"{prefix}:{operation}")


@dataclass(frozen=True)
class LambdaFunction:
    """A function of the template after the SAM transform."""

    name: str
    handler: str
    role: str
    dead_letters: bool = False


def functions_of(template: Json) -> list[LambdaFunction]:
    """Return the functions of the template."""
    return [
        LambdaFunction(
            name,
            one["Properties"]["Handler"],
            one["Properties"]["Role"]["Fn::GetAtt"][0],
            "DeadLetterConfig" in one["Properties"],
        )
        for name, one in template["Resources"].items()
        if one["Type"] == "AWS::Lambda::Function"
    ]


def granted(documents: Iterable[Json], role: str) -> set[str]:
    """Return the actions that a role is granted, under some condition of the template."""
    return {
        action
        for document in documents
        if document["owner"] == role and document["kind"] == "role"
        for one in document["statements"]
        if one["Effect"] == "Allow"
        for action in (one["Action"] if isinstance(one["Action"], list) else [one["Action"]])
    }


class Check:
    """What all functions' runs come to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._resolved: set[tuple[str, int, int]] = set()
        self._services: set[str] = set()
        self.held: dict[str, set[tuple[str, ...]]] = {}
        self.findings: set[Finding] = set()

    def function(self, function: LambdaFunction, grants: set[str]) -> None:
        """Hold what one function can call, and what its role is granted."""
        calls, name = Calls(), function.name
        run = Run(self._folder, calls)
        run.handler(function.handler)
        self._resolved |= run.resolved
        self._services |= {service for service, _ in calls.made}
        self.findings |= calls.findings
        for kind, some in calls.held.items():
            self.held.setdefault(kind, set()).update(some)
        actions = {action_of(*call) for call in calls.made}
        actions |= {DEAD_LETTER} if function.dead_letters else set()
        self.held.setdefault("actions of functions", set()).update((name, one) for one in actions)
        self.findings |= {(name, GRANT, action) for action in actions - grants}
        self.findings |= {(name, EXCESS, action) for action in grants - actions}

    def rest(self) -> None:
        """Find calls that no run has met with a client that is known, and errors of no service."""
        known = COMMON_EXCEPTIONS.union(*map(exception_names, self._services))
        for where, text in texts(self._folder):
            if re.fullmatch(r"[A-Za-z]+Exception", text):
                self.held.setdefault("names of errors", set()).add((where, text))
                if text not in known:
                    self.findings.add((where, EXCEPTION, text))
        methods = {method for service in self._services for method in operations(service)}
        methods |= {method for service, method in NEWER if service in self._services}
        for module, called in method_calls(self._folder):
            if called.attr in methods and (
                (module, called.lineno, called.col_offset) not in self._resolved
            ):
                where = f"{module.replace('.', '/')}.py:{called.lineno}"
                self.findings.add((where, UNSEEN, called.attr))


def main(template_path: Path, documents_path: Path) -> int:
    """Print the numbers, each exception, what is left, and exceptions that are not needed."""
    template = json.loads(template_path.read_text())
    documents = json.loads(documents_path.read_text())
    check = Check(Path("functions"))
    functions = functions_of(template)
    for function in functions:
        check.function(function, granted(documents, function.role))
    check.rest()
    left = sorted(check.findings - EXCEPTIONS.keys())
    stale = sorted(EXCEPTIONS.keys() - check.findings)
    for finding in sorted(EXCEPTIONS.keys() & check.findings):
        print("excepted", *finding, EXCEPTIONS[finding], sep=": ")
    for finding in left:
        print(*finding, sep=": ")
    for finding in stale:
        print(*finding, "no longer found; remove it from EXCEPTIONS", sep=": ")
    numbers = [f"{len(some)} {kind}" for kind, some in check.held.items()]
    print(f"botocore {botocore.__version__}", f"{len(functions)} functions", *numbers, sep=", ")
    print(f"{len(left)} findings, {len(EXCEPTIONS)} exceptions")
    return 1 if left or stale else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
