"""Adapter of the Resource Groups Tagging API: finds KMS keys by their tags.

KMS itself can only list every key of a Region and then read the tags of each one. This API has an
index over tags, so that a look-up costs one call however many keys the account has. It follows KMS
with some delay, so an empty answer proves nothing until time has passed.
https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
"""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from provisioner.errors import DependencyUnavailable


def find_keys(client: Any, tags: dict[str, str]) -> dict[str, dict[str, str]]:
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
    filters = [{"Key": key, "Values": [value]} for key, value in tags.items()]
    try:
        pages = client.get_paginator("get_resources").paginate(
            TagFilters=filters, ResourceTypeFilters=["kms:key"]
        )
        return {
            found["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in found["Tags"]}
            for page in pages
            for found in page["ResourceTagMappingList"]
        }
    except (BotoCoreError, ClientError) as error:
        region = client.meta.region_name
        raise DependencyUnavailable(
            f"The tagging API in {region} did not find keys: {error}."
        ) from error
