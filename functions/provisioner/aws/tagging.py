"""Adapter of the Resource Groups Tagging API: finds KMS keys by their tags.

KMS itself can only list every key of a Region and then read the tags of each one. This API has an
index over tags, so that a look-up costs one call however many keys the account has. It follows KMS
with some delay, so an empty answer proves nothing until time has passed.
https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
"""

from typing import TypedDict

from botocore.exceptions import BotoCoreError, ClientError

from provisioner.aws.client_types import TagFilter, TaggedPage, TaggingClient
from provisioner.errors import DependencyUnavailable

Tags = dict[str, str]
_KEYS_PER_PAGE = 100


class _NextPage(TypedDict, total=False):
    """What the API takes for a page that is not the first."""

    PaginationToken: str


def find_keys(client: TaggingClient, tags: Tags) -> dict[str, Tags]:
    """Find the KMS keys of the client's Region that carry all these tags.

    Parameters
    ----------
    client
        Client of `resourcegroupstaggingapi` in the Region to look in.

    Returns
    -------
    dict
        Each key's ARN with all of its tags.

    Raises
    ------
    DependencyUnavailable
        The API refused the call or did not answer.
    """
    try:
        pages = client.get_paginator("get_resources").paginate(
            TagFilters=_filters(tags), ResourceTypeFilters=["kms:key"]
        )
        return {arn: found for page in pages for arn, found in _keys(page).items()}
    except (BotoCoreError, ClientError) as error:
        raise _not_found(client, error) from error


def find_page(client: TaggingClient, tags: Tags, token: str) -> tuple[dict[str, Tags], str] | None:
    """Find a page of the KMS keys of the client's Region that carry all these tags.

    Parameters
    ----------
    token
        What the page before gave; empty for the first page.

    Returns
    -------
    tuple or None
        Each key's ARN with all of its tags, and the next page's token, empty after the last one.
        None where the token has expired, which it does after 15 minutes.

    Raises
    ------
    DependencyUnavailable
        The API refused the call or did not answer.
    """
    next_page: _NextPage = {"PaginationToken": token} if token else {}
    try:
        page = client.get_resources(
            TagFilters=_filters(tags),
            ResourceTypeFilters=["kms:key"],
            ResourcesPerPage=_KEYS_PER_PAGE,
            **next_page,
        )
    except client.exceptions.PaginationTokenExpiredException:
        return None
    except (BotoCoreError, ClientError) as error:
        raise _not_found(client, error) from error
    return _keys(page), page.get("PaginationToken", "")


def find_tags(client: TaggingClient, arns: list[str]) -> dict[str, Tags]:
    """Find the tags of these keys, a hundred at most; one that never had any is not answered.

    The API takes no filters and returns no pages where it is asked for ARNs.
    https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html

    Raises
    ------
    DependencyUnavailable
        The API refused the call or did not answer.
    """
    if not arns:
        return {}
    try:
        return _keys(client.get_resources(ResourceARNList=arns))
    except (BotoCoreError, ClientError) as error:
        raise _not_found(client, error) from error


def _filters(tags: Tags) -> list[TagFilter]:
    return [{"Key": key, "Values": [value]} for key, value in tags.items()]


def _keys(page: TaggedPage) -> dict[str, Tags]:
    return {
        found["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in found["Tags"]}
        for found in page["ResourceTagMappingList"]
    }


def _not_found(client: TaggingClient, error: Exception) -> DependencyUnavailable:
    region = client.meta.region_name
    return DependencyUnavailable(f"The tagging API in {region} did not find keys: {error}.")
