"""The Regions in which this stack may have keys."""

from botocore.exceptions import BotoCoreError, ClientError

from provisioner.aws.client_types import EC2Client
from provisioner.errors import DependencyUnavailable
from provisioner.settings import Settings


def enabled_regions(ec2: EC2Client, settings: Settings) -> list[str]:
    """List the Regions of `AllowedRegions`; for `*` those that the account has enabled.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeRegions.html

    Raises
    ------
    DependencyUnavailable
        EC2 did not list them.
    """
    if "*" not in settings.allowed_regions:
        return list(settings.allowed_regions)
    try:
        return sorted(region["RegionName"] for region in ec2.describe_regions()["Regions"])
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(f"EC2 did not list the Regions: {error}.") from error
