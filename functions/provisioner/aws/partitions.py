"""What the SDK's own data says of partitions and their Regions."""

from functools import cache

from botocore.loaders import Loader


@cache
def known_regions(partition: str) -> frozenset[str]:
    """Return the Regions of a partition, from the data that comes with the SDK."""
    partitions = Loader().load_data("partitions")["partitions"]
    return frozenset(
        region
        for entry in partitions
        if entry["id"] == partition
        for region in entry["regions"]
        if not region.endswith("-global")
    )
