"""A deployed stack as `mrk verify` sees it: its API and its event bus."""

import json
from dataclasses import dataclass
from typing import Any, NoReturn, Self

import boto3
from botocore.exceptions import ClientError
from botocore.session import Session

from mrk.api import Api, Reply, credentials_of, new_http, stack_outputs
from mrk.errors import MrkError

__all__ = ["EventRefused", "Reply", "Stack"]

REQUESTED = "Multi-Region Key Requested"
SOURCE = "mrk.command"


class EventRefused(MrkError):
    """The bus lets this caller send no requests; `how` says in which way it refused the call."""

    def __init__(self, code: str, how: str) -> None:
        super().__init__(
            f"The bus takes no requests from you ({code}): add your ARN to the stack's parameter "
            "RequestSenders."
        )
        self.how = how


@dataclass(frozen=True)
class Stack:
    """A stack that is deployed in the session's Region."""

    session: boto3.Session
    api: Api
    event_bus: str | None = None
    """None where the stack was found by its API's address alone."""

    @classmethod
    def find(cls, session: Session, *, name: str | None, api_url: str | None) -> Self:
        """Find a stack by its name, or by the address of its API.

        Parameters
        ----------
        session
            One with a Region.
        api_url
            Counts before the stack's own output.

        Raises
        ------
        MrkError
            There are no credentials, no such stack, or it is another one's.
        """
        credentials_of(session)
        region = session.get_config_variable("region")
        outputs = stack_outputs(session, name) if name else {}
        if name and "ApiUrl" not in outputs:
            raise MrkError(f"Stack {name} in {region} has no output ApiUrl.")
        api = Api(session, new_http(), region, (api_url or outputs["ApiUrl"]).rstrip("/"))
        return cls(boto3.Session(botocore_session=session), api, outputs.get("EventBusName"))

    def call(self, method: str, path: str, body: object = None) -> Reply:
        """Call the API, as `Api.call` does."""
        return self.api.call(method, path, body)

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
                f"The event bus of the stack at {self.api.url} is not known, so no event was sent. "
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


def _raise_refused_event(code: str, message: str, what: str) -> NoReturn:
    if "Denied" in code or "NotAuthorized" in code:
        raise EventRefused(code, f"{what} with {code}")
    raise MrkError(f"EventBridge did not take the event: {code}, {message}")
