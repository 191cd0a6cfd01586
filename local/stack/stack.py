"""The deployed stack, as its callers see it: its bus, its API, its executions, its outcomes."""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as SigningCredentials

from local.errors import LocalStackError
from local.polling import wait_for
from local.stack.endpoint import ROOT_USER, Credentials, Endpoint, http

REQUESTED = "Multi-Region Key Requested"
OUTCOMES = (
    "Multi-Region Key Created",
    "Multi-Region Key Request Rejected",
    "Multi-Region Key Creation Failed",
    "Multi-Region Key Updated",
    "Multi-Region Key Update Failed",
    "Multi-Region Key Decommissioned",
    "Multi-Region Key Operation Finished",
    "Multi-Region Key Operation Failed",
)
SOURCE = "mrk.provisioner"


@dataclass(frozen=True)
class Stack(Endpoint):
    """The stack that an emulator holds.

    Events of the stack are read from a queue of this object's own; `listening` makes it.
    """

    name: str
    outputs: dict[str, str]
    _queue_url: str = ""
    _events: list[dict[str, Any]] = field(default_factory=list)
    _execution_inputs: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, described: dict[str, Any]) -> Self:
        """Connect to a stack, without hearing its events.

        Parameters
        ----------
        described
            What `stack.json` holds.
        """
        return cls(
            described["endpointUrl"],
            described["region"],
            described["stackName"],
            described["outputs"],
        )

    @classmethod
    @contextmanager
    def listening(cls, described: dict[str, Any]) -> Iterator[Self]:
        """Connect to a stack, and hear its events from now on.

        Parameters
        ----------
        described
            What `stack.json` holds.
        """
        stack = cls.of(described)
        with _queue_of_events(stack, stack.outputs["EventBusName"]) as queue_url:
            yield replace(stack, _queue_url=queue_url)

    def send(self, detail: Any, detail_type: str = REQUESTED, source: str = "local") -> None:
        """Put one event on the stack's bus."""
        entry = {
            "EventBusName": self.outputs["EventBusName"],
            "Source": source,
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
        }
        answer = self.client("events").put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            failed = answer["Entries"][0]
            raise LocalStackError(
                f"The bus refused the event: {failed['ErrorCode']}, {failed['ErrorMessage']}"
            )

    def events(self, request_id: str | None) -> list[dict[str, Any]]:
        """List the events that the stack sent about a request, the oldest first."""
        self._receive()
        return [event for event in self._events if event["detail"].get("requestId") == request_id]

    def outcomes(self, request_id: str | None) -> list[dict[str, Any]]:
        """List the outcome events of a request, the oldest first."""
        return [event for event in self.events(request_id) if event["detail-type"] in OUTCOMES]

    def all_outcomes(self) -> list[dict[str, Any]]:
        """List the outcome events of every request, the oldest first."""
        self._receive()
        return [event for event in self._events if event["detail-type"] in OUTCOMES]

    def wait_for_outcome(self, request_id: str | None, timeout: float = 60) -> dict[str, Any]:
        """Return the first outcome event of a request."""
        return self.wait_for_outcomes(request_id, 1, timeout)[0]

    def wait_for_outcomes(
        self, request_id: str | None, count: int, timeout: float = 60
    ) -> list[dict[str, Any]]:
        """List the outcome events of a request once there are `count` of them."""
        return wait_for(
            lambda: _at_least(count, self.outcomes(request_id)),
            f"outcome {count} of request {request_id}",
            timeout=timeout,
        )

    def wait_for_all_outcomes(self, count: int, timeout: float = 120) -> list[dict[str, Any]]:
        """List the outcome events of every request once there are `count` of them."""
        return wait_for(
            lambda: _at_least(count, self.all_outcomes()), f"{count} outcomes", timeout=timeout
        )

    def api(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        content: str | bytes | None = None,
        signed: bool = True,
        credentials: Credentials = ROOT_USER,
    ) -> httpx.Response:
        """Call the stack's API; `path` begins with a slash and may hold a query.

        Parameters
        ----------
        json, content
            The body: a value to be written as JSON, or the very text.
        """
        url = f"{self.outputs['ApiUrl']}{path}"
        request = httpx.Request(method, url, json=json, content=content)
        if signed:
            self._sign(request, credentials)
        return http().send(request)

    def deliver(self, source: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Call the API as a ticket system's webhook does, with no AWS credentials."""
        url = f"{self.outputs['ApiUrl']}/hooks/{source}"
        sent = [("Content-Type", "application/json"), *headers.items()]
        # As UTF-8, since what is forged need not be ASCII.
        raw = [(name.encode(), value.encode()) for name, value in sent]
        return http().send(httpx.Request("POST", url, content=body, headers=raw))

    def start_execution(self, document: Any) -> str:
        """Start the workflow with a request as its input; return the execution's ARN."""
        answer = self.client("stepfunctions").start_execution(
            stateMachineArn=self.outputs["StateMachineArn"],
            input=json.dumps(document, ensure_ascii=False),
        )
        arn: str = answer["executionArn"]
        return arn

    def start_batch(self, file: str) -> str:
        """Start a batch with a file that is in the stack's bucket; return the execution's ARN."""
        answer = self.client("stepfunctions").start_execution(
            stateMachineArn=self.outputs["BatchStateMachineArn"], input=json.dumps({"file": file})
        )
        arn: str = answer["executionArn"]
        return arn

    def describe_execution(self, arn: str) -> dict[str, Any]:
        """Return the answer of DescribeExecution."""
        answer: dict[str, Any] = self.client("stepfunctions").describe_execution(executionArn=arn)
        return answer

    def wait_for_execution(self, arn: str, timeout: float = 60) -> dict[str, Any]:
        """Return the answer of DescribeExecution once the execution has ended."""

        def ended() -> dict[str, Any] | None:
            execution = self.describe_execution(arn)
            return execution if execution["status"] != "RUNNING" else None

        return wait_for(ended, f"execution {arn} to end", timeout=timeout)

    def is_running(self, arn: str) -> bool:
        """Say whether an execution has not ended yet."""
        return bool(self.describe_execution(arn)["status"] == "RUNNING")

    def executions(self, request_id: str | None) -> list[str]:
        """List the ARNs of a request's executions, the newest first."""
        states = self.client("stepfunctions")
        pages = states.get_paginator("list_executions").paginate(
            stateMachineArn=self.outputs["StateMachineArn"]
        )
        arns = [execution["executionArn"] for page in pages for execution in page["executions"]]
        for arn in arns:
            if arn not in self._execution_inputs:
                given = states.describe_execution(executionArn=arn)["input"]
                self._execution_inputs[arn] = _document(given)
        return [arn for arn in arns if _request_id(self._execution_inputs[arn]) == request_id]

    def history(self, arn: str) -> list[dict[str, Any]]:
        """List the events of an execution, the oldest first."""
        pages = (
            self.client("stepfunctions")
            .get_paginator("get_execution_history")
            .paginate(executionArn=arn)
        )
        return [event for page in pages for event in page["events"]]

    def functions(self) -> dict[str, str]:
        """Map each function's name in template.yaml to its name in the emulator."""
        return self.resources("AWS::Lambda::Function")

    def resources(self, kind: str) -> dict[str, str]:
        """Map the names of a kind of resource in template.yaml to those in the emulator."""
        pages = (
            self.client("cloudformation")
            .get_paginator("list_stack_resources")
            .paginate(StackName=self.name)
        )
        return {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for page in pages
            for resource in page["StackResourceSummaries"]
            if resource["ResourceType"] == kind
        }

    def invoke(self, logical_id: str, event: Any) -> Any:
        """Call a function, named as in template.yaml, and return its answer.

        Raises
        ------
        LocalStackError
            It ended with an error.
        """
        answer = self.client("lambda").invoke(
            FunctionName=self.functions()[logical_id], Payload=json.dumps(event)
        )
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise LocalStackError(f"{logical_id} failed: {payload}")
        return payload

    @contextmanager
    def changed_environment(self, logical_id: str, **variables: str) -> Iterator[None]:
        """Change variables of a function's environment for as long as the block runs."""
        functions, name = self.client("lambda"), self.functions()[logical_id]
        before = functions.get_function_configuration(FunctionName=name)["Environment"]
        changed = {"Variables": before["Variables"] | variables}
        functions.update_function_configuration(FunctionName=name, Environment=changed)
        try:
            yield
        finally:
            functions.update_function_configuration(FunctionName=name, Environment=before)

    def role_of(self, logical_id: str) -> str:
        """Return the name of the role of a function, named as in template.yaml."""
        answer = self.client("cloudformation").describe_stack_resource(
            StackName=self.name, LogicalResourceId=f"{logical_id}Role"
        )
        name: str = answer["StackResourceDetail"]["PhysicalResourceId"]
        return name

    def _receive(self) -> None:
        """Take over what is in the queue."""
        sqs = self.client("sqs")
        while True:
            answer = sqs.receive_message(QueueUrl=self._queue_url, MaxNumberOfMessages=10)
            messages = answer.get("Messages", [])
            if not messages:
                return
            self._events.extend(json.loads(message["Body"]) for message in messages)
            for message in messages:
                sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])

    def _sign(self, request: httpx.Request, credentials: Credentials) -> None:
        signed = AWSRequest(
            method=request.method,
            url=str(request.url),
            data=request.content,
            headers={"Host": request.headers["Host"]},
        )
        key = SigningCredentials(credentials.access_key, credentials.secret_key, credentials.token)
        SigV4Auth(key, "execute-api", self.region).add_auth(signed)
        request.headers.update(dict(signed.headers))


@contextmanager
def _queue_of_events(endpoint: Endpoint, bus: str) -> Iterator[str]:
    """Send a copy of the stack's events to a new queue, for as long as the block runs."""
    sqs, events = endpoint.client("sqs"), endpoint.client("events")
    name = f"local-events-{uuid.uuid4()}"
    queue_url = sqs.create_queue(QueueName=name)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    queue_arn = attributes["Attributes"]["QueueArn"]
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
        },
    }
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": json.dumps(policy)})
    rule = {"Name": name, "EventBusName": bus}
    events.put_rule(**rule, EventPattern=json.dumps({"source": [SOURCE]}))
    events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "queue", "Arn": queue_arn}])
    try:
        yield queue_url
    finally:
        events.remove_targets(Rule=name, EventBusName=bus, Ids=["queue"])
        events.delete_rule(**rule)
        sqs.delete_queue(QueueUrl=queue_url)


def _at_least(count: int, events: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    return events if len(events) >= count else None


def _document(given: str) -> Any:
    """Read an execution's input; None where it is not JSON, as a batch's line once could be."""
    try:
        return json.loads(given)
    except ValueError:
        return None


def _request_id(document: Any) -> Any:
    """Return the requestId of an execution's input, also of one that came through a webhook."""
    if isinstance(document, dict) and {"request", "via"} <= document.keys():
        document = document["request"]
    return document.get("requestId") if isinstance(document, dict) else None
