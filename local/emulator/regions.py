"""The Regions that there are, and those of them that the account has not enabled.

https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html
"""

import importlib
from functools import cache
from http import HTTPStatus
from typing import Any

import botocore.session
from botocore.exceptions import UnknownRegionError
from ministack.core.router import extract_region

from local.emulator.asgi import App, Receive, Scope, Send, headers_of, send_json
from local.emulator.kms.settings import current


@cache
def partition(region: str) -> str:
    """Return the partition of a Region that has KMS; nothing if there is no such Region."""
    session = botocore.session.get_session()
    try:
        name: str = session.get_partition_for_region(region)
    except UnknownRegionError:
        return ""
    return name if region in session.get_available_regions("kms", name) else ""


def is_enabled(region: str) -> bool:
    """Say whether the account can use a Region."""
    return region not in current().disabled_regions


def refusing_disabled(app: App) -> App:
    """Let an app refuse the calls of Regions that are not enabled, as services with JSON do."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if current().disabled_regions and scope["type"] == "http":
            _let_ec2_know()
            headers = headers_of(scope)
            if "x-amz-target" in headers and not is_enabled(extract_region(headers)):
                refusal = {
                    "__type": "UnrecognizedClientException",
                    "message": "The security token included in the request is invalid.",
                }
                await send_json(send, HTTPStatus.BAD_REQUEST, refusal)
                return
        await app(scope, receive, send)

    return serve


@cache
def _let_ec2_know() -> None:
    """Let EC2 list as enabled what is.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeRegions.html
    """
    # It takes the emulator a quarter of a second, and most that are started never need it.
    ec2: Any = importlib.import_module("ministack.services.ec2")
    every_region = ec2._AWS_REGIONS

    def describe_regions(parameters: Any) -> Any:
        ec2._AWS_REGIONS = [
            (name, status if is_enabled(name) else "not-opted-in")
            for name, status in every_region
            if is_enabled(name) or ec2._p(parameters, "AllRegions").lower() == "true"
        ]
        return ec2._describe_regions(parameters)

    ec2._ACTION_MAP["DescribeRegions"] = describe_regions
