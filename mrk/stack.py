"""A deployed stack as its callers see it: its API and its event bus."""

import json
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn, Self

import boto3
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from mrk.errors import MrkError

REQUESTED = "Multi-Region Key Requested"
SOURCE = "mrk.command"

_TRIES, _FIRST_PAUSE = 6, 0.5
_CONNECT_TIMEOUT, _ANSWER_TIMEOUT = 10, 35  # API Gateway answers within 29 seconds.


class EventRefused(MrkError):
    """The bus lets this caller send no requests; `how` says in which way it refused the call."""

    def __init__(self, code: str, how: str) -> None:
        super().__init__(
            f"The bus takes no requests from you ({code}): add your ARN to the stack's parameter "
            "RequestSenders."
        )
        self.how = how


@dataclass(frozen=True)
class Reply:
    """What the API answered."""

    status: int
    body: Any


@dataclass(frozen=True)
class Stack:
    """A stack that is deployed in the session's Region."""

    session: boto3.Session
    http: httpx.Client
    region: str
    api_url: str
    event_bus: str | None = None
    """None where the stack was found by its API's address alone."""

    @classmethod
    def find(cls, session: boto3.Session, *, name: str | None, api_url: str | None) -> Self:
        """Find a stack by its name, or by the address of its API.

        Parameters
        ----------
        session
            A boto3 session with a Region.
        api_url
            Counts before the stack's own output.

        Raises
        ------
        MrkError
            There are no credentials, no such stack, or it is another one's.
        """
        _credentials(session)
        outputs = _outputs(session, name) if name else {}
        if name and "ApiUrl" not in outputs:
            raise MrkError(f"Stack {name} in {session.region_name} has no output ApiUrl.")
        return cls(
            session=session,
            http=new_http(),
            region=session.region_name,
            api_url=(api_url or outputs["ApiUrl"]).rstrip("/"),
            event_bus=outputs.get("EventBusName"),
        )

    def call(self, method: str, path: str, body: object = None) -> Reply:
        """Call the API, again while it is busy or does not answer.

        That is safe for a POST too: a request is known by its ID.

        Raises
        ------
        MrkError
            It did not answer, refuses this caller, or answered no JSON.
        """
        pause = _FIRST_PAUSE
        for _ in range(_TRIES - 1):
            reply = self._try(method, path, body)
            if not isinstance(reply, str):
                return reply
            time.sleep(pause)
            pause *= 2
        reply = self._try(method, path, body)
        if isinstance(reply, str):
            raise MrkError(f"{method} {path}: {reply}, {_TRIES} times. Try again later.")
        return reply

    def send_event(self, document: dict[str, Any]) -> None:
        """Send a request as an event.

        Raises
        ------
        EventRefused
            IAM or the bus does not let this caller send it.
        MrkError
            EventBridge did not take it, or the stack's bus is not known.
        """
        if self.event_bus is None:
            raise MrkError(
                f"The event bus of the stack at {self.api_url} is not known, so no event was sent. "
                "Name the stack with --stack."
            )
        detail = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        try:
            answer = self.session.client("events").put_events(
                Entries=[
                    {
                        "EventBusName": self.event_bus,
                        "Source": SOURCE,
                        "DetailType": REQUESTED,
                        "Detail": detail,
                    }
                ]
            )
        except ClientError as error:
            refusal = error.response["Error"]
            _raise_refused_event(refusal["Code"], refusal["Message"], "the whole call")
        if answer["FailedEntryCount"]:
            failed = answer["Entries"][0]
            _raise_refused_event(failed["ErrorCode"], failed["ErrorMessage"], "the entry alone")

    def _try(self, method: str, path: str, body: object) -> Reply | str:
        """Send one signed call; return its reply, or why another try makes sense."""
        content = b"" if body is None else json.dumps(body).encode()
        request = httpx.Request(method, f"{self.api_url}{path}", content=content)
        if body is not None:
            request.headers["Content-Type"] = "application/json"
        self._sign(request)
        try:
            response = self.http.send(request)
        except httpx.TransportError as error:
            return f"no answer ({type(error).__name__})"
        status = response.status_code
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return f"the API answered {status}"
        if status == HTTPStatus.FORBIDDEN:
            raise MrkError(
                f"The API refuses {method} {path} (403). It needs execute-api:Invoke; the policy "
                "in docs/verify.md has it."
            )
        try:
            return Reply(status, response.json())
        except ValueError as error:
            raise MrkError(
                f"{method} {path} answered {status} and no JSON. Is this the stack's API?"
            ) from error

    def _sign(self, request: httpx.Request) -> None:
        signed = AWSRequest(
            method=request.method,
            url=str(request.url),
            data=request.content,
            headers={"Host": request.headers["Host"]},
        )
        credentials = _credentials(self.session).get_frozen_credentials()
        SigV4Auth(credentials, "execute-api", self.region).add_auth(signed)
        request.headers.update(dict(signed.headers))


def new_http() -> httpx.Client:
    """Make the HTTP client for the API."""
    return httpx.Client(timeout=httpx.Timeout(_ANSWER_TIMEOUT, connect=_CONNECT_TIMEOUT))


def new_session(profile: str | None, region: str | None) -> boto3.Session:
    """Make a session as the AWS CLI has it for the same options."""
    return boto3.Session(profile_name=profile, region_name=region)


def _credentials(session: boto3.Session) -> Credentials:
    credentials = session.get_credentials()
    if credentials is None:
        raise MrkError(
            "There are no AWS credentials. Name a profile with --profile, or set "
            "AWS_PROFILE or AWS_ACCESS_KEY_ID as for the AWS CLI."
        )
    return credentials


def _outputs(session: boto3.Session, name: str) -> dict[str, str]:
    try:
        answer = session.client("cloudformation").describe_stacks(StackName=name)
    except ClientError as error:
        reason = error.response["Error"]["Message"]
        raise MrkError(
            f"Stack {name} was not found in {session.region_name}: {reason}. "
            "Name it with --stack, and its Region with --region."
        ) from error
    outputs = answer["Stacks"][0].get("Outputs", [])
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def _raise_refused_event(code: str, message: str, what: str) -> NoReturn:
    if "Denied" in code or "NotAuthorized" in code:
        raise EventRefused(code, f"{what} with {code}")
    raise MrkError(f"EventBridge did not take the event: {code}, {message}")
