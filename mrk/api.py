"""The API of a deployed stack, as whoever has AWS credentials calls it.

botocore signs; boto3, which takes longer to import than everything else together, is not needed.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from json import dumps
from typing import Any, Self
from urllib.parse import quote, urlencode

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.session import Session

from mrk.errors import MrkError, Problem, Refused
from mrk.json_value import Json

MANY_TRIES, FEW_TRIES = 6, 4
"""For what goes on alone for minutes, and for a person who waits."""
_FIRST_PAUSE = 0.5
_CONNECT_TIMEOUT, _ANSWER_TIMEOUT = 10, 35  # API Gateway answers within 29 seconds.

_EXPIRED = (
    "Your AWS credentials have expired. Sign in again, as with `aws sso login`, and repeat the "
    "command."
)
_GATEWAY_REFUSALS = (
    ("expiredtoken", _EXPIRED),
    ("token included in the request is expired", _EXPIRED),
    (
        "signature expired",
        "AWS refuses the signature as too old: set this machine's clock and repeat the command.",
    ),
    (
        "signature not yet current",
        "AWS refuses the signature as too new: set this machine's clock and repeat the command.",
    ),
    (
        "missing authentication token",
        "The API has no such address. Compare MRK_API_URL with the stack's output ApiUrl.",
    ),
    (
        "security token",
        "AWS does not know these credentials. Check the profile with `aws sts "
        "get-caller-identity`, and sign in again.",
    ),
    (
        "signature",
        "AWS refuses the signature. Compare the Region with that of the stack, and the secret "
        "access key with that of the profile.",
    ),
)
"""What API Gateway's own 403 says, and what that means; the first that fits counts."""


@dataclass(frozen=True)
class Reply:
    """What the API answered."""

    status: int
    body: Json

    @property
    def problems(self) -> list[Problem]:
        """The problems of a refusal; empty where it names none."""
        found = self.body.get("errors") if isinstance(self.body, dict) else None
        return found or []


@dataclass(frozen=True)
class Api:
    """The API of one stack, called with the credentials of a session."""

    session: Session
    http: httpx.Client
    region: str
    url: str
    tries: int = MANY_TRIES
    say: Callable[[str], None] = lambda _: None
    """Shows people that a call is tried again."""

    @classmethod
    def find(
        cls,
        session: Session,
        *,
        name: str | None,
        url: str | None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Self:
        """Find a stack's API by its address, or else by the name of the stack.

        Parameters
        ----------
        session
            One with a Region.

        Raises
        ------
        MrkError
            There are no credentials, no such stack, or it is another one's.
        """
        credentials_of(session)
        region = session.get_config_variable("region")
        if not url:
            url = stack_outputs(session, name or "").get("ApiUrl")
        if not url:
            raise MrkError(
                f"Stack {name} in {region} has no output ApiUrl, so it is another one's. "
                "Name the provisioner's stack with --stack."
            )
        return cls(session, new_http(), region, url.rstrip("/"), FEW_TRIES, say)

    def get(self, *path: str, query: Mapping[str, str] | None = None) -> Json:
        """Read something that is there, such as `get("keys", "CHG1", "history")`.

        Raises
        ------
        Refused, MrkError
            It is not there, or as `call` says.
        """
        return self._ask("GET", _address(path, query), None)

    def post(self, *path: str, body: object, query: Mapping[str, str] | None = None) -> Json:
        """Send a document; return the answer. Raises as `get` does."""
        return self._ask("POST", _address(path, query), body)

    def delete(self, *path: str) -> Json:
        """Cancel something; return the answer. Raises as `get` does."""
        return self._ask("DELETE", _address(path, None), None)

    def _ask(self, method: str, path: str, body: object) -> Json:
        reply = self.call(method, path, body)
        if reply.status in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
            return reply.body
        if not reply.problems:
            raise MrkError(f"{method} {path} answered {reply.status}: {dumps(reply.body)}.")
        raise Refused(f"The stack refuses this ({reply.status}):", reply.problems)

    def call(self, method: str, path: str, body: object = None) -> Reply:
        """Call the API, again while it is busy or does not answer.

        That is safe for a POST too: a request is known by its ID.

        Raises
        ------
        MrkError
            It did not answer, refuses this caller, or answered no JSON.
        """
        pause = _FIRST_PAUSE
        for _ in range(self.tries - 1):
            reply = self._try(method, path, body)
            if not isinstance(reply, str):
                return reply
            self.say(f"{method} {path}: {reply}; trying again.")
            time.sleep(pause)
            pause *= 2
        reply = self._try(method, path, body)
        if isinstance(reply, str):
            raise MrkError(
                f"{method} {self.url}{path}: {reply}, {self.tries} times. "
                "Check the network and the address, then repeat the command: what was taken "
                "already is not done twice."
            )
        return reply

    def _try(self, method: str, path: str, body: object) -> Reply | str:
        """Send one signed call; return its reply, or why another try makes sense."""
        content = b"" if body is None else dumps(body, ensure_ascii=False).encode()
        request = httpx.Request(method, f"{self.url}{path}", content=content)
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
        try:
            reply = Reply(status, response.json())
        except ValueError as error:
            raise MrkError(
                f"{method} {path} answered {status} and no JSON. Is this the stack's API?"
            ) from error
        if status == HTTPStatus.FORBIDDEN and not reply.problems:
            raise MrkError(_forbidden(method, path, response))
        return reply

    def _sign(self, request: httpx.Request) -> None:
        signed = AWSRequest(
            method=request.method,
            url=str(request.url),
            data=request.content,
            headers={"Host": request.headers["Host"]},
        )
        credentials = credentials_of(self.session).get_frozen_credentials()
        SigV4Auth(credentials, "execute-api", self.region).add_auth(signed)
        request.headers.update(dict(signed.headers))


def _address(path: tuple[str, ...], query: Mapping[str, str] | None) -> str:
    asked = f"?{urlencode(query)}" if query else ""
    return "".join(f"/{quote(part, safe='')}" for part in path) + asked


def _forbidden(method: str, path: str, response: httpx.Response) -> str:
    said = f"{response.headers.get('x-amzn-errortype', '')} {response.text}".lower()
    for text, meaning in _GATEWAY_REFUSALS:
        if text in said:
            return meaning
    return (
        f"The API refuses {method} {path} (403). Your role needs execute-api:Invoke for it; "
        "docs/command-line.md has the policy."
    )


def new_http() -> httpx.Client:
    """Make the HTTP client for the API."""
    return httpx.Client(timeout=httpx.Timeout(_ANSWER_TIMEOUT, connect=_CONNECT_TIMEOUT))


def new_session(profile: str | None, region: str | None) -> Session:
    """Make a session as the AWS CLI has it for the same options."""
    session = Session(profile=profile)
    # botocore itself reads AWS_DEFAULT_REGION alone.
    # https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html
    region = region or os.environ.get("AWS_REGION")
    if region:
        session.set_config_variable("region", region)
    return session


def credentials_of(session: Session) -> Credentials:
    """Return the credentials that the AWS CLI would use. Raise MrkError where there are none."""
    credentials: Credentials | None = session.get_credentials()
    if credentials is None:
        raise MrkError(
            "There are no AWS credentials. Name a profile with --profile, or set "
            "AWS_PROFILE or AWS_ACCESS_KEY_ID as for the AWS CLI."
        )
    return credentials


def stack_outputs(session: Session, name: str) -> dict[str, str]:
    """Read the outputs of a stack. Raise MrkError where it is not found."""
    region = session.get_config_variable("region")
    try:
        # Its methods are made of the service's model.
        cloudformation: Any = session.create_client("cloudformation")
        answer = cloudformation.describe_stacks(StackName=name)
    except ClientError as error:
        refusal = error.response["Error"]
        if "expired" in refusal["Code"].lower():
            raise MrkError(_EXPIRED) from error
        raise MrkError(
            f"Stack {name} was not found in {region}: {refusal['Message']}. "
            "Name it with --stack, and its Region with --region."
        ) from error
    outputs = answer["Stacks"][0].get("Outputs", [])
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}
