"""Objects of the stack's bucket."""

import io
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from provisioner.aws import objects
from provisioner.aws.clients import client
from provisioner.errors import BatchUnreadable, DependencyUnavailable
from tests.support.answering import answer, calls_of, lose_on_the_wire, refusal

LOST = ReadTimeoutError(endpoint_url="https://s3.invalid")


def body(content: bytes, length: int | None = None) -> dict[str, Any]:
    return {"ContentLength": length or len(content), "Body": io.BytesIO(content)}


def test_an_object_is_read_as_a_whole() -> None:
    calls = calls_of(client("s3"))
    answer(client("s3"), "GetObject", body(b"content"))

    assert objects.read(client("s3"), "bucket", "a/b") == b"content"
    assert [(name, p["Bucket"], p["Key"]) for name, p in calls] == [("GetObject", "bucket", "a/b")]


def test_an_object_that_is_not_there_is_named() -> None:
    answer(client("s3"), "GetObject", refusal("NoSuchKey", status=404))

    with pytest.raises(BatchUnreadable, match="no object a/b in the bucket bucket"):
        objects.read(client("s3"), "bucket", "a/b")


def test_an_object_that_is_too_large_is_not_read() -> None:
    answer(client("s3"), "GetObject", body(b"", objects.MAX_BYTES + 1))

    with pytest.raises(BatchUnreadable, match="a/b has 134217729 bytes, over 134217728"):
        objects.read(client("s3"), "bucket", "a/b")


def test_a_denied_read_is_no_missing_object() -> None:
    answer(client("s3"), "GetObject", refusal("AccessDenied", "No.", 403))

    with pytest.raises(DependencyUnavailable, match=r"did not return a/b.*No\."):
        objects.read(client("s3"), "bucket", "a/b")


def test_a_part_of_an_object_is_read_from_its_first_to_its_last_byte() -> None:
    calls = calls_of(client("s3"))
    answer(client("s3"), "GetObject", body(b"tent"))

    assert objects.read_part(client("s3"), "bucket", "a/b", 3, 6) == b"tent"
    assert [(p["Bucket"], p["Key"], p["Range"]) for _, p in calls] == [
        ("bucket", "a/b", "bytes=3-6")
    ]


def test_a_part_that_is_not_returned_makes_s3_unavailable() -> None:
    answer(client("s3"), "GetObject", refusal("NoSuchKey", status=404))

    with pytest.raises(DependencyUnavailable, match="did not return a part of a/b"):
        objects.read_part(client("s3"), "bucket", "a/b", 3, 6)


def test_an_object_is_written_in_utf_8() -> None:
    calls = calls_of(client("s3"))
    answer(client("s3"), "PutObject", {})

    objects.write(client("s3"), "bucket", "a/b", "é")

    assert [p["Body"].read() for _, p in calls] == ["é".encode()]


def test_a_write_that_is_lost_makes_s3_unavailable() -> None:
    lose_on_the_wire(client("s3"), LOST)

    with pytest.raises(DependencyUnavailable, match="did not take a/b"):
        objects.write(client("s3"), "bucket", "a/b", "")
