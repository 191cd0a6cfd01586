"""Everything of AWS that the functions talk to, in memory, and the clients they talk through.

A client's call becomes a `Call`, which a network carries to the service. The network decides what
goes wrong on the way; this one delivers everything.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol

from botocore.exceptions import ClientError, HTTPClientError

from provisioner import json_text
from tests.support.faults.dynamodb import DynamoDb
from tests.support.faults.errors import EXCEPTIONS, refusal
from tests.support.faults.kms import ACCOUNT, Kms, KmsInRegion

HOME = "us-east-1"
REGIONS = ("eu-west-1", "us-east-1", "us-west-2")
STATE_MACHINE = f"arn:aws:states:{HOME}:{ACCOUNT}:stateMachine:mrk-provision-key"
CHANGE_MACHINE = f"arn:aws:states:{HOME}:{ACCOUNT}:stateMachine:mrk-change-key-set"
_READS = ("BatchGet", "Get", "Describe", "List", "Query", "Scan")
_START = 1_800_000_000.0


@dataclass(frozen=True)
class Call:
    """One request to AWS."""

    service: str
    region: str
    operation: str
    is_sent_once: bool = False
    """Whether its client never sends it again."""

    @property
    def is_read(self) -> bool:
        return self.operation.startswith(_READS)

    def __str__(self) -> str:
        return f"{self.service} {self.operation} in {self.region}"


@dataclass
class Execution:
    """An execution of the state machine. `status` is what DescribeExecution says."""

    arn: str
    document: Any
    started_at: float
    status: str = "RUNNING"
    machine: str = STATE_MACHINE
    go_on: Callable[[], Any] | None = field(default=None, repr=False, compare=False)
    """Enters the state once more in which the execution failed, as a redrive does."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to the machine that runs it."""
        return {**vars(self), "go_on": None}


@dataclass
class WaitingTask:
    """One try of a task that waits for whoever has its token, until `ends_at`."""

    token: str
    execution: Execution
    ends_at: float
    output: Any = None
    error: tuple[str, str] | None = None
    """The error and the cause of SendTaskFailure."""
    is_over: bool = False

    @property
    def is_answered(self) -> bool:
        return self.output is not None or self.error is not None


@dataclass(frozen=True)
class Event:
    """What was put on the bus, and when."""

    at: float
    detail_type: str
    detail: dict[str, Any]


@dataclass
class SideBySide:
    """Calls that are sent at the same time; `fault` is what the first of them met."""

    is_counted: bool = False
    fault: Any = None


class Network(Protocol):
    """Carries calls to AWS and answers back."""

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        """Bring a call to its service, whose work `effect` is, and its answer back."""
        ...

    def enter(self, place: Callable[[], Any]) -> None:
        """Learn that an execution enters a state; `place` returns where it is."""
        del place


class Aws(Network):
    """The services, their clock, and the network in front of them (by default one that works)."""

    regions: tuple[str, ...] = REGIONS
    """Those that are enabled, which a sweep goes through."""

    def __init__(self, *, visible_after: float = 30, creating_seconds: float = 4) -> None:
        self.time = _START
        self.visible_after = visible_after
        self.network: Network = self
        self.kms = Kms(lambda: self.time, creating_seconds)
        self.transitions = 0
        """How many AWS would count: each try of a state is one."""
        self.dynamodb = DynamoDb()
        self.events: list[Event] = []
        self.executions: dict[str, Execution] = {}
        self.to_run: list[Execution] = []
        """Executions that StartExecution took; whoever drives the test runs them."""
        self.to_sweep: list[dict[str, Any]] = []
        """What workers of the sweep were started for; whoever drives the test runs them."""
        self.looks: list[tuple[float, dict[str, Any]]] = []
        """When messages that ask for looks are due; whoever drives the test delivers them."""
        self.violations: list[str] = []
        """What must never be, found right after the call that made it so."""
        self.recorded: set[tuple[str, str, str]] = set()
        """Every outcome that was ever durable: request, status, execution."""
        self.asked: set[tuple[str, str]] = set()
        """Every question for key material that was ever durable: request, materials."""
        self.tasks: dict[str, WaitingTask] = {}
        self.holder: Holder = nobody
        """Acts when a task begins to wait for an answer."""
        self.publish: Callable[[Any], dict[str, Any]] = lambda _outcome: {}
        """Runs the function that publishes outcomes; `wiring` knows it."""
        self.done: list[Call] = []
        """Every write that KMS took."""
        self.side_by_side: SideBySide | None = None
        """The calls that are being sent at the same time, if any are."""
        self._uuids = 0

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        """Let nothing go wrong."""
        del call
        return effect()

    def effect(self, call: Call, perform: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Do a call's work, and look at once whether it did harm."""
        answer = perform(**arguments)
        if call.service == "kms" and not call.is_read:
            self.done.append(call)
        if call.operation in ("CreateAlias", "CreateKey", "CancelKeyDeletion"):
            self._watch_keys(call)
        if (
            call.operation == "UpdateItem"
            and {"executionArn", "status"} <= answer["Attributes"].keys()
        ):
            item = answer["Attributes"]
            values = (item[name].get("S", "") for name in ("requestId", "status", "executionArn"))
            self.recorded.add((next(values), next(values), next(values)))
            if "materials" in item:
                self.asked.add((item["requestId"]["S"], item["materials"]["S"]))
        return answer

    def digest(self) -> bytes:
        """Fingerprint of everything that its callers and their test can see of it.

        `transitions` and what is `done` are only counted, and no answer depends on them.
        """
        own, *services = self.memory()
        seen = {name: value for name, value in own.items() if name not in ("transitions", "done")}
        text = repr((seen, *services))
        assert " at 0x" not in text
        return hashlib.sha256(text.encode()).digest()

    def memory(self) -> tuple[dict[str, Any], ...]:
        """Return all its fields, and those of its services, except what connects it."""
        connections = ("network", "holder", "publish", "kms", "dynamodb")
        own = {name: value for name, value in vars(self).items() if name not in connections}
        kms = {name: value for name, value in vars(self.kms).items() if name != "clock"}
        return own, kms, vars(self.dynamodb)

    def remember(self, memory: tuple[dict[str, Any], ...]) -> None:
        """Become as an AWS was that had this memory."""
        for part, fields in zip((self, self.kms, self.dynamodb), memory, strict=True):
            vars(part).update(fields)

    def sleep(self, seconds: float) -> None:
        """Let an execution wait."""
        self.time += seconds

    def new_uuid(self) -> int:
        self._uuids += 1
        return self._uuids

    def new_execution(
        self, document: Any, name: str | None = None, machine: str = STATE_MACHINE
    ) -> Execution:
        """Start an execution, as EventBridge's rule does."""
        name = name or f"event-{len(self.executions) + 1}"
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
        execution = Execution(arn, document, self.time, machine=machine)
        self.executions[arn] = execution
        return execution

    def new_task(self, execution: Execution, timeout: float) -> WaitingTask:
        """Begin a try of a task that waits for an answer."""
        token = f"task-{len(self.tasks) + 1}"
        self.tasks[token] = WaitingTask(token, execution, self.time + timeout)
        return self.tasks[token]

    def wait_for_answer(self, task: WaitingTask) -> None:
        """Let the holder act, then let time pass until there is an answer or no time left."""
        self.holder(self, task)
        if not task.is_answered and task.execution.status == "RUNNING":
            self.sleep(max(0, task.ends_at - self.time))

    def wake(self, task: WaitingTask) -> None:
        """Let a task that was answered go on; here it waits for nothing else."""

    def service(self, name: str, region: str) -> Any:
        services: dict[str, Callable[[], Any]] = {
            "kms": lambda: KmsInRegion(self.kms, region),
            "dynamodb": lambda: self.dynamodb,
            "events": lambda: _EventBridge(self),
            "stepfunctions": lambda: _StepFunctions(self),
            "resourcegroupstaggingapi": lambda: _TaggingApi(self, region),
            "ec2": lambda: _Ec2(self),
            "lambda": lambda: _Lambda(self),
            "sqs": lambda: _Sqs(self),
        }
        return services[name]()

    def _watch_keys(self, call: Call) -> None:
        """One request never has two keys that anybody could reach by an alias."""
        named: dict[str, set[str]] = {}
        for arn in self.kms.aliases.values():
            key = self.kms.keys[arn]
            if not key.leaving:
                named.setdefault(key.tags["mrk:request-id"], set()).add(key.key_id)
        for request_id, key_ids in named.items():
            if len(key_ids) > 1:
                self.violations.append(f"{call} gave {request_id} a second named key: {key_ids}")


Holder = Callable[[Aws, WaitingTask], None]


def nobody(_aws: Aws, _task: WaitingTask) -> None:
    """Answer nothing."""


@dataclass
class _EventBridge:
    aws: Aws

    def put_events(self, *, Entries: list[dict[str, str]]) -> dict[str, Any]:
        for entry in Entries:
            event = Event(self.aws.time, entry["DetailType"], json.loads(entry["Detail"]))
            self._watch(event)
            self.aws.events.append(event)
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in Entries]}

    def _watch(self, event: Event) -> None:
        """Check that an outcome or a question was durable before anybody hears of it."""
        told = ("Multi-Region Key Created", "Multi-Region Key Creation Failed")
        names = ("requestId", "status", "executionArn")
        if event.detail_type in told:
            outcome = tuple(event.detail[name] for name in names)
            if outcome not in self.aws.recorded:
                self.aws.violations.append(f"{outcome} is told, but was never recorded")
        if event.detail_type == "Multi-Region Key Material Required":
            question = event.detail["requestId"], json_text.text(event.detail["materials"])
            if question not in self.aws.asked:
                self.aws.violations.append(f"{question} is asked, but was never recorded")


@dataclass
class _StepFunctions:
    aws: Aws

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> None:  # noqa: A002
        assert stateMachineArn in (STATE_MACHINE, CHANGE_MACHINE)
        arn = f"{stateMachineArn.replace(':stateMachine:', ':execution:')}:{name}"
        if arn in self.aws.executions:
            raise refusal("ExecutionAlreadyExists", "StartExecution")
        self.aws.to_run.append(self.aws.new_execution(json.loads(input), name, stateMachineArn))

    def describe_execution(self, *, executionArn: str) -> dict[str, str]:
        if executionArn not in self.aws.executions:
            raise refusal("ExecutionDoesNotExist", "DescribeExecution")
        return {"status": self.aws.executions[executionArn].status}

    def send_task_success(self, *, taskToken: str, output: str) -> None:
        task = self._waiting(taskToken, "SendTaskSuccess")
        task.output = json.loads(output)
        self.aws.wake(task)

    def send_task_failure(self, *, taskToken: str, error: str, cause: str) -> None:
        task = self._waiting(taskToken, "SendTaskFailure")
        task.error = (error, cause)
        self.aws.wake(task)

    def _waiting(self, token: str, operation: str) -> WaitingTask:
        task = self.aws.tasks.get(token)
        if task is None:
            raise refusal("InvalidToken", operation)
        if task.execution.status != "RUNNING":
            raise refusal("TaskDoesNotExist", operation)
        if task.is_over or task.is_answered or self.aws.time >= task.ends_at:
            raise refusal("TaskTimedOut", operation)
        return task


@dataclass
class _TaggingApi:
    """Its index follows KMS, but `visible_after` seconds late."""

    aws: Aws
    region: str

    def get_resources(
        self,
        *,
        TagFilters: list[dict[str, Any]] | None = None,
        ResourceTypeFilters: list[str] | None = None,
        ResourcesPerPage: int = 100,
        ResourceARNList: list[str] | None = None,
    ) -> dict[str, Any]:
        assert ResourcesPerPage == 100
        assert (TagFilters is None) != (ResourceARNList is None)
        assert ResourceTypeFilters == (["kms:key"] if TagFilters else None)
        wanted = {one["Key"]: one["Values"] for one in TagFilters or []}
        found = [
            {
                "ResourceARN": key.arn,
                "Tags": [{"Key": name, "Value": value} for name, value in key.tags.items()],
            }
            for key in self.aws.kms.keys.values()
            if key.region == self.region
            and not self.aws.kms.is_gone(key)
            and (ResourceARNList is None or key.arn in ResourceARNList)
            and key.created_at + self.aws.visible_after <= self.aws.time
            and all(key.tags.get(name) in values for name, values in wanted.items())
        ]
        return {"ResourceTagMappingList": found}


@dataclass
class _Lambda:
    aws: Aws

    def invoke(
        self, *, FunctionName: str, Payload: str | bytes, InvocationType: str = "RequestResponse"
    ) -> dict[str, Any]:
        if FunctionName == "publish-outcome":
            assert InvocationType == "RequestResponse"
            return self.aws.publish(json.loads(Payload))
        assert (FunctionName, InvocationType) == ("sweep-region", "Event")
        self.aws.to_sweep.append(json.loads(Payload))
        return {"StatusCode": 202}


@dataclass
class _Sqs:
    """The queue of looks; a message is due after its delay."""

    aws: Aws

    def send_message(self, *, QueueUrl: str, MessageBody: str, DelaySeconds: int) -> None:
        assert QueueUrl
        assert 0 <= DelaySeconds <= 900
        self.aws.looks.append((self.aws.time + DelaySeconds, json.loads(MessageBody)))


@dataclass
class _Ec2:
    aws: Aws

    def describe_regions(self) -> dict[str, Any]:
        return {"Regions": [{"RegionName": region} for region in self.aws.regions]}


class Client:
    """Looks like a boto3 client; `sends` is how often its `Config` lets it send a call."""

    exceptions = EXCEPTIONS

    def __init__(self, current: Callable[[], Aws], service: str, region: str, sends: int) -> None:
        self._current = current
        self._service = service
        self._region = region
        self._sends = sends
        self.meta = SimpleNamespace(region_name=region, events=_NoHooks())

    def __getattr__(self, method: str) -> Callable[..., Any]:
        """Return the client's method of that name."""
        if method.startswith("_"):
            raise AttributeError(method)

        def call(**arguments: Any) -> Any:
            return self._send(method, arguments)

        return call

    def get_paginator(self, method: str) -> Any:
        def paginate(
            *, PaginationConfig: dict[str, int] | None = None, **arguments: Any
        ) -> Iterator[Any]:
            if PaginationConfig:
                arguments["Limit"] = PaginationConfig["PageSize"]
            yield self._send(method, arguments)

        return SimpleNamespace(paginate=paginate)

    def _send(self, method: str, arguments: dict[str, Any]) -> Any:
        """Send a call. Only CreateKey is sent again here, if its client lets it be.

        What goes wrong with any other call is what the SDK's own retries left over, or `RESENT`.
        """
        aws = self._current()
        operation = method.title().replace("_", "")
        call = Call(self._service, self._region, operation, self._sends == 1)
        perform = getattr(aws.service(self._service, self._region), method)
        for left in reversed(range(self._sends if operation == "CreateKey" else 1)):
            try:
                return aws.network.carry(call, lambda: aws.effect(call, perform, arguments))
            except (ClientError, HTTPClientError) as error:
                response = getattr(error, "response", None) or {}
                status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
                if not left or status < 500:
                    raise
        raise AssertionError("A call is sent at least once.")


class _NoHooks:
    """botocore's event hooks, where Powertools registers its name."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_arguments, **_more: None
