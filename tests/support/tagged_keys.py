"""Keys that carry the tags of a request, and what KMS shows of them."""

from typing import Any

from provisioner.domain.plan import ATTEMPT_TAG, own_tags
from tests.support.answering import kms_for, on
from tests.support.samples import SETTINGS


def make_key(
    region: str = "us-east-1",
    request_id: str | None = "CHG1",
    attempt: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Make a multi-Region primary key with a request's tags, or only the stack's; its metadata."""
    tags = own_tags(request_id or "", SETTINGS) | {ATTEMPT_TAG: str(attempt or "")}
    listed = [{"TagKey": key, "TagValue": value} for key, value in tags.items() if value]
    usage = "ENCRYPT_DECRYPT"
    parameters = {"MultiRegion": True, "KeyUsage": usage, "Tags": listed, **options}
    answered = kms_for(region).create_key(**parameters)
    metadata: dict[str, Any] = answered["KeyMetadata"]
    return metadata


def show(metadata: dict[str, Any], **fields: Any) -> None:
    """Let DescribeKey show a key with these fields; moto has no such keys."""
    arn = metadata["Arn"]

    def change(parsed: dict[str, Any], **_: Any) -> None:
        shown = parsed.get("KeyMetadata", {})
        if shown.get("Arn") == arn:
            shown |= fields

    on(kms_for(arn.split(":")[3]), "after-call.kms.DescribeKey", change)


def multi_region(kind: str = "PRIMARY", *replicas: str) -> dict[str, Any]:
    """Return the MultiRegionConfiguration of a key that has these replicas, by their ARNs."""
    listed = [{"Region": arn.split(":")[3], "Arn": arn} for arn in replicas]
    return {"MultiRegionConfiguration": {"MultiRegionKeyType": kind, "ReplicaKeys": listed}}
