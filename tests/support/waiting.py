"""A request that waits for key material, and what answers it."""

from typing import Any

from provisioner.aws.records import Record, Records
from tests.support.samples import EXECUTION, imported_request_of, key_arn

HOME, EUROPE, ASIA = "us-east-1", "eu-west-1", "ap-south-1"
REQUEST = imported_request_of(
    ticket={"id": "CHG0031338"}, replicas=[{"region": EUROPE}, {"region": ASIA}]
)
DEADLINE = "2026-12-01T20:00:00.000Z"
TOKEN, NEXT_TOKEN = "token-of-the-task", "token-of-the-next-task"


def material_for(region: str) -> dict[str, Any]:
    """Return what is asked for in a Region."""
    return {
        "region": region,
        "keyArn": key_arn(region),
        "keySpec": "SYMMETRIC_DEFAULT",
        "wrappingAlgorithm": "RSAES_OAEP_SHA_256",
        "wrappingKeySpec": "RSA_4096",
        "publicKey": "cHVibGlj",
        "importToken": "dG9rZW4=",
        "validUntil": "2026-11-25T20:00:00Z",
    }


def answer_of(*regions: str, **fields: Any) -> dict[str, Any]:
    """Return an answer for these Regions, each of whose materials has these fields."""
    wrapped = {"importToken": "dG9rZW4=", "encryptedKeyMaterial": "d3JhcHBlZA==", **fields}
    materials = [{"region": region, **wrapped} for region in regions or (HOME,)]
    return {"requestId": "CHG1", "materials": materials}


def wait(records: Records, *regions: str, token: str = TOKEN) -> Record:
    """Let the request wait for the key material of these Regions; give its record."""
    records.claim(REQUEST, EXECUTION)
    key: Any = {"keyId": "mrk-1"}
    materials: list[Any] = [material_for(region) for region in regions or (HOME,)]
    assert records.await_material(
        "CHG1",
        EXECUTION,
        token,
        key=key,
        materials=materials,
        errors=[],
        deadline=DEADLINE,
    )
    return record_of(records)


def record_of(records: Records) -> Record:
    """Return the record of the request, which is there."""
    record = records.get("CHG1")
    assert record
    return record
