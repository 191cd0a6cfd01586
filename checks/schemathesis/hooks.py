"""Signs the calls that schemathesis makes and counts the answers; it runs in its environment."""

import atexit
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import requests
import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_answers: Counter[str] = Counter()


class Signature(requests.auth.AuthBase):
    """AWS Signature Version 4 with the credentials in the environment."""

    def __call__(self, request: Any) -> Any:
        """Add the signature's headers to a prepared request."""
        signed = AWSRequest(method=request.method, url=request.url, data=request.body or b"")
        key = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
        SigV4Auth(key, "execute-api", os.environ["AWS_REGION"]).add_auth(signed)
        request.headers.update(dict(signed.headers))
        return request


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    """Count an answer by its operation and its status."""
    _answers[f"{case.operation.label} {response.status_code}"] += 1


def _write() -> None:
    Path(os.environ["ANSWERS"]).write_text(json.dumps(_answers))


schemathesis.auth.set_from_requests(Signature())
atexit.register(_write)
