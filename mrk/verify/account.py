"""The account's KMS keys as `mrk verify` sees and removes them, and what KMS was seen to answer."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from mrk.errors import MrkError
from mrk.waiting import wait_for

TAG = "mrk-verify"
REQUEST_ID_TAG = "mrk:request-id"
WAITS_FOR_DELETION = ("PendingDeletion", "PendingReplicaDeletion")
DELETION_WINDOW_DAYS = 7

# "It might take up to five minutes for tag and alias changes to affect KMS key authorization."
# https://docs.aws.amazon.com/kms/latest/developerguide/tag-authorization.html
TAGS_COUNT_AFTER = 300
_MARGIN = 60
_PASSES = ("AccessDeniedException", "KMSInvalidStateException")

# What kms_observed.json calls the account and the Regions of every row.
_ROW_ACCOUNT, _ROW_HOME, _ROW_OTHER = "111122223333", "us-east-1", "us-west-2"

_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, user_agent_extra=TAG)

# A second Region to replicate into, unless the caller names one.
_REGIONS = {
    "aws": ("us-west-2", "us-east-1"),
    "aws-cn": ("cn-north-1", "cn-northwest-1"),
    "aws-us-gov": ("us-gov-west-1", "us-gov-east-1"),
}

# https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html
OPT_IN_REGIONS = (
    "af-south-1",
    "ap-east-1",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "eu-south-2",
    "il-central-1",
    "me-central-1",
    "me-south-1",
)


@dataclass(frozen=True)
class Observed:
    """One answer of KMS: `code` is Success, or the exception's."""

    code: str
    message: str
    answer: dict[str, Any]


@dataclass
class Account:
    """The keys of an account, in the stack's Region and in the replica's."""

    session: Any
    id: str
    partition: str
    home: str
    other: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    """What KMS was seen to answer, in the form of the conformance table."""
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    @classmethod
    def of(cls, session: Any, replica_region: str | None) -> "Account":
        """Ask whose account this is.

        Raises
        ------
        MrkError
            No second Region is known for this partition, or it is the stack's own.
        """
        home = session.region_name
        partition = session.get_partition_for_region(home)
        others = (replica_region,) if replica_region else _REGIONS.get(partition, ())
        other = next((region for region in others if region != home), None)
        if other is None:
            raise MrkError(
                f"Name a Region of partition {partition} other than {home} for the replica, "
                "with --replica-region."
            )
        identity = session.client("sts", config=_CONFIG).get_caller_identity()
        return cls(session, identity["Account"], partition, home, other)

    def call(self, region: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call KMS in a Region."""
        answer: dict[str, Any] = getattr(self._client("kms", region), xform_name(operation))(
            **parameters
        )
        return answer

    def call_patiently(self, region: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call KMS, again as long as a key's tags may not count yet or it is still being made.

        Raises
        ------
        MrkError
            It was refused for longer than tags take to count.
        """
        refusal = ""

        def allowed() -> dict[str, Any] | None:
            nonlocal refusal
            try:
                return self.call(region, operation, **parameters)
            except ClientError as error:
                refusal = error.response["Error"]["Code"]
                if refusal not in _PASSES:
                    raise
                return None

        try:
            return wait_for(allowed, operation, timeout=TAGS_COUNT_AFTER + _MARGIN)
        except MrkError as error:
            raise MrkError(
                f"KMS in {region} answered {operation} with {refusal} for "
                f"{TAGS_COUNT_AFTER + _MARGIN} s. Compare your permissions with docs/verify.md."
            ) from error

    def describe(self, key_arn: str) -> dict[str, Any]:
        """Read a key's KeyMetadata."""
        answer = self.call(region_of(key_arn), "DescribeKey", KeyId=key_arn)
        metadata: dict[str, Any] = answer["KeyMetadata"]
        return metadata

    def aliases(self, key_arn: str) -> list[str]:
        """List the aliases of a key."""
        pages = (
            self._client("kms", region_of(key_arn))
            .get_paginator("list_aliases")
            .paginate(KeyId=key_arn)
        )
        return [alias["AliasName"] for page in pages for alias in page["Aliases"]]

    def tags(self, key_arn: str) -> dict[str, str]:
        """Read the tags of a key, once they count."""
        answer = self.call_patiently(region_of(key_arn), "ListResourceTags", KeyId=key_arn)
        return {tag["TagKey"]: tag["TagValue"] for tag in answer["Tags"]}

    def tagged(self, region: str, run: str | None = None) -> dict[str, dict[str, str]]:
        """Map the ARN of each key that a run made, or any run, to its tags.

        The tagging API follows KMS with a delay.
        """
        wanted = {"Key": TAG, "Values": [run] if run else []}
        pages = (
            self._client("resourcegroupstaggingapi", region)
            .get_paginator("get_resources")
            .paginate(TagFilters=[wanted], ResourceTypeFilters=["kms:key"])
        )
        return {
            found["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in found["Tags"]}
            for page in pages
            for found in page["ResourceTagMappingList"]
        }

    def members(self, key_arn: str) -> list[str]:
        """List the ARNs of a key set, replicas first: a primary waits for them."""
        configuration = self.describe(key_arn)["MultiRegionConfiguration"]
        replicas = [replica["Arn"] for replica in configuration["ReplicaKeys"]]
        return [*replicas, configuration["PrimaryKey"]["Arn"]]

    def remove(self, key_arn: str) -> None:
        """Delete a key's aliases and schedule its deletion, unless it waits for that already."""
        region = region_of(key_arn)
        if self.describe(key_arn)["KeyState"] in WAITS_FOR_DELETION:
            return
        for alias in self.aliases(key_arn):
            self.call_patiently(region, "DeleteAlias", AliasName=alias)
        window = DELETION_WINDOW_DAYS
        self.call_patiently(
            region, "ScheduleKeyDeletion", KeyId=key_arn, PendingWindowInDays=window
        )

    def ask(self, region: str, operation: str, **parameters: Any) -> Observed:
        """Call KMS and return its answer, an error as well."""
        try:
            answer = self.call(region, operation, **parameters)
        except ClientError as error:
            refused = error.response["Error"]
            return Observed(refused["Code"], refused["Message"], {})
        return Observed("Success", "", answer.get("KeyMetadata", answer))

    def observe(
        self,
        case: str,
        operation: str,
        *,
        given: str,
        arrange: list[str],
        region: str,
        key_arn: str | None = None,
        show: Iterable[str] = (),
        absent: Iterable[str] = (),
        **parameters: Any,
    ) -> Observed:
        """Call KMS and keep its answer as a row of the conformance table.

        Parameters
        ----------
        case, given, arrange
            The row's name, what was there, and the steps of kms_arrangement.py that make it so.
        key_arn
            The key that the call is about, which the row calls {arn}.
        show, absent
            Fields of the answer to keep, by their dotted names; those that should be missing.
        """
        if key_arn:
            parameters["KeyId"] = key_arn
        seen = self.ask(region, operation, **parameters)
        row = {
            "case": case,
            "given": given,
            "arrange": arrange,
            "call": operation,
            "region": _ROW_OTHER if region == self.other else _ROW_HOME,
            "params": {
                name: self._general(value, key_arn) if isinstance(value, str) else value
                for name, value in parameters.items()
            },
            "code": seen.code,
        }
        if seen.code == "Success":
            found = {name: field_of(seen.answer, name) for name in show}
            row["result"] = {
                name: self._general(value, key_arn)
                for name, value in found.items()
                if value is not None
            }
            row["absent"] = [name for name in absent if field_of(seen.answer, name) is None]
        else:
            row["message"] = self._general(seen.message, key_arn)
        self.rows.append(row)
        return seen

    def _general(self, value: Any, key_arn: str | None) -> Any:
        """Put the names that rows use in the place of this account's own."""
        if isinstance(value, list):
            return [self._general(one, key_arn) for one in value]
        if not isinstance(value, str):
            return value
        if key_arn:
            value = value.replace(key_arn, "{arn}")
        for own, general in (
            (self.id, _ROW_ACCOUNT),
            (self.home, _ROW_HOME),
            (self.other, _ROW_OTHER),
            (f"arn:{self.partition}:", "arn:aws:"),
        ):
            value = value.replace(own, general)
        return value

    def _client(self, service: str, region: str) -> Any:
        key = (service, region)
        if key not in self._clients:
            self._clients[key] = self.session.client(service, region_name=region, config=_CONFIG)
        return self._clients[key]


def region_of(key_arn: str) -> str:
    """Return the Region that a key is in."""
    return key_arn.split(":")[3]


def field_of(answer: Any, name: str) -> Any:
    """Return the field of an answer by its dotted name, replicas as their Regions; None if none.

    Whatever differs between two runs, an instant or a generated ID, is `*`.
    """
    found = answer
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if name.endswith("ReplicaKeys"):
        return [replica["Region"] for replica in found or []]
    if name == "KeyId" and isinstance(found, str) and found.startswith("mrk-"):
        return "mrk-*"
    return "*" if hasattr(found, "isoformat") or name.endswith("KeyMaterialId") else found


def seconds_since(moment: datetime) -> float:
    """Return how long ago KMS says that something was, by this machine's clock."""
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())
