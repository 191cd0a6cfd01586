"""Rotations on the deployed stack: every Region decrypts what was encrypted before and after."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from local.polling import wait_for
from local.stack.stack import Stack
from provisioner.clock import instant_text, now
from tests.support.stack.material_holder import (
    PROVIDED,
    new_material,
    questions,
    wait_for_question,
    wrapped,
)
from tests.support.stack.reading import new_request, read_key

HOME, NEAR, FAR = "us-east-1", "eu-west-1", "us-west-2"
REGIONS = (HOME, NEAR, FAR)
FINISHED = "Multi-Region Key Operation Finished"


@dataclass
class Sealing:
    """A key set of three Regions, and what was encrypted under it in each of them."""

    stack: Stack
    request: dict[str, Any]
    sealed: dict[bytes, bytes] = field(default_factory=dict)
    arns: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self.request["requestId"])

    def client(self, region: str) -> Any:
        return self.stack.client("kms", region)

    def encrypt(self, when: str) -> None:
        """Encrypt something in every Region."""
        for region, arn in self.arns.items():
            text = f"{when} in {region}".encode()
            answer = self.client(region).encrypt(KeyId=arn, Plaintext=text)
            self.sealed[text] = answer["CiphertextBlob"]

    def check(self, count: int) -> None:
        """Decrypt everything in every Region."""
        assert len(self.sealed) == count
        for region, arn in self.arns.items():
            for text, ciphertext in self.sealed.items():
                opened = self.client(region).decrypt(KeyId=arn, CiphertextBlob=ciphertext)
                assert opened["Plaintext"] == text

    def material(self, region: str = HOME) -> str:
        """Return the ID of the current key material."""
        described = self.client(region).describe_key(KeyId=self.arns[region])
        return str(described["KeyMetadata"]["CurrentKeyMaterialId"])

    def learn(self, outcome: dict[str, Any]) -> None:
        """Note the keys of an outcome."""
        key = outcome["detail"]["key"]
        self.arns = {one["region"]: one["arn"] for one in [key["primary"], *key["replicas"]]}
        assert {*self.arns} == {*REGIONS}

    def operate(self, kind: str, operation_id: str = "op-1") -> int:
        """Ask for an operation; return the status of the answer."""
        body = {"operationId": operation_id, "operation": kind}
        return self.stack.api("POST", f"/keys/{self.id}/operations", body).status_code

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.stack.api("GET", f"/keys/{self.id}").json()
        return answer

    def provide(self, secret: bytes, number: int, *regions: str) -> dict[str, Any]:
        """Answer a question for some Regions or all, and return it."""
        question = wait_for_question(self.stack, self.id, number)
        self.stack.send(wrapped(question, secret, *regions), PROVIDED)
        return question


def sealing(stack: Stack, name: str, **fields: Any) -> Sealing:
    replicas = fields.pop("replicas", [{"region": NEAR}, {"region": FAR}])
    return Sealing(stack, new_request(name, replicas=replicas, **fields))


def imported(stack: Stack, name: str, **fields: Any) -> Sealing:
    material = {"wrappingKeySpec": "RSA_2048", **fields.pop("keyMaterial", {})}
    return sealing(stack, name, origin="EXTERNAL", keyMaterial=material, **fields)


def created(sets: list[Sealing], first: dict[str, bytes]) -> None:
    """Create sets side by side, with their first key material, and encrypt under each."""
    for one in sets:
        one.stack.send(one.request)
    for number in (1, 2):
        for one in sets:
            if one.id in first:
                one.provide(first[one.id], number)
    for one in sets:
        outcome = one.stack.wait_for_outcome(one.id)
        assert outcome["detail-type"] == "Multi-Region Key Created", outcome["detail"]["errors"]
        one.learn(outcome)
        one.encrypt("before")


def finished(one: Sealing) -> dict[str, Any]:
    outcome = one.stack.wait_for_outcomes(one.id, 2, timeout=120)[1]
    assert outcome["detail-type"] == FINISHED, outcome["detail"]["errors"]
    detail: dict[str, Any] = outcome["detail"]
    return detail


def test_a_key_set_is_rotated_once_however_often_that_is_asked_for(stack: Stack) -> None:
    one = sealing(stack, "rotate")
    created([one], {})
    before = one.material()

    assert [one.operate("ROTATE") for _ in range(2)] == [202, 202]

    detail = finished(one)
    assert (detail["operationId"], detail["operation"]) == ("op-1", "ROTATE")
    one.encrypt("after")
    one.check(6)
    assert {one.material(region) for region in REGIONS} != {before}
    assert one.operate("ROTATE") == 202
    rotations = one.status()["rotations"]
    assert [(rotation["state"], rotation["type"]) for rotation in rotations] == [
        ("NON_CURRENT", None),
        ("CURRENT", "ON_DEMAND"),
    ]
    assert one.operate("ROTATE_MATERIAL", "op-2") == 400


def test_imported_material_is_rotated_in_every_region_and_all_decrypt_before_and_after(
    stack: Stack,
) -> None:
    plain = imported(stack, "rotated")
    in_parts = imported(stack, "rotated-in-parts")
    expiring = imported(stack, "rotated-expiring", keyMaterial={"validTo": in_months(6)})
    wrong = imported(stack, "rotated-wrong", keyMaterial={"wrappingKeySpec": "RSA_3072"})
    sets = [plain, in_parts, expiring, wrong]
    old = {one.id: new_material("SYMMETRIC_DEFAULT").secret for one in sets}
    new = {one.id: new_material("SYMMETRIC_DEFAULT").secret for one in sets}
    created(sets, old)
    before = {one.id: one.material() for one in sets}

    assert [one.operate("ROTATE_MATERIAL") for one in sets] == [202] * 4
    question = plain.provide(new[plain.id], 3)
    in_parts.provide(new[in_parts.id], 3, HOME, FAR)
    expires = expiring.provide(new[expiring.id], 3)
    wrong.provide(old[wrong.id], 3)

    assert (question["operationId"], question["operation"]) == ("op-1", "ROTATE_MATERIAL")
    assert [one["region"] for one in question["materials"]] == [HOME, NEAR, FAR]
    assert [one["code"] for one in question["warnings"]] == ["ROTATION_IS_FINAL"]
    assert "NEW_MATERIAL_EXPIRES" in [one["code"] for one in expires["warnings"]]
    # Nothing is rotated while a Region lacks it: that one alone is asked for again.
    rest = in_parts.provide(new[in_parts.id], 4)
    assert [one["region"] for one in rest["materials"]] == [NEAR]
    # Material that the set has is no new one.
    again = wrong.provide(new[wrong.id], 4)
    assert [one["code"] for one in again["errors"]] == ["INCORRECT_KEY_MATERIAL"]

    for one in sets:
        assert finished(one)["operation"] == "ROTATE_MATERIAL"
        one.encrypt("after")
        one.check(6)
        [now] = {one.material(region) for region in REGIONS}
        assert now != before[one.id]
        status = one.status()
        assert status["status"] == "CREATED"
        assert [entry["state"] for entry in status["rotations"]] == ["NON_CURRENT", "CURRENT"]


def test_material_that_waits_from_before_is_never_rotated_to_unseen(stack: Stack) -> None:
    one = imported(stack, "staged")
    old, given, other = (new_material("SYMMETRIC_DEFAULT").secret for _ in range(3))
    created([one], {one.id: old})
    assert one.operate("ROTATE_MATERIAL") == 202
    one.provide(other, 3, HOME)
    wait_for_question(stack, one.id, 4)
    assert stack.api("DELETE", f"/keys/{one.id}").status_code == 202
    failed = stack.wait_for_outcomes(one.id, 2)[1]["detail"]
    assert (failed["status"], failed["errors"][0]["code"]) == ("FAILED", "CANCELLED")

    assert one.operate("ROTATE_MATERIAL", "op-2") == 202
    question = one.provide(given, 5)
    assert "OTHER_MATERIAL_STAGED" in [warning["code"] for warning in question["warnings"]]
    [problem] = wait_for_question(stack, one.id, 6)["errors"]
    assert problem["code"] == "INCORRECT_KEY_MATERIAL"
    assert "aws kms delete-imported-key-material" in problem["message"]
    staged = next(e for e in one.status()["rotations"] if e["state"].startswith("PENDING"))
    one.client(HOME).delete_imported_key_material(
        KeyId=one.arns[HOME], KeyMaterialId=staged["keyMaterialId"]
    )
    one.provide(given, 6)

    outcome = stack.wait_for_outcomes(one.id, 3, timeout=120)[2]
    assert outcome["detail-type"] == FINISHED, outcome["detail"]["errors"]
    one.encrypt("after")
    one.check(6)
    wait_for(
        lambda: one.status()["status"] == "CREATED" or None, "the status from before", timeout=10
    )


def test_a_rotated_set_gets_a_region_once_its_key_has_all_material_by_hand(stack: Stack) -> None:
    old, new = (new_material("SYMMETRIC_DEFAULT").secret for _ in range(2))
    one = imported(stack, "rotated-more", replicas=[])
    stack.send(one.request)
    one.provide(old, 1)
    arn = stack.wait_for_outcome(one.id)["detail"]["key"]["primary"]["arn"]
    one.arns = {HOME: arn}
    one.encrypt("before")
    assert one.operate("ROTATE_MATERIAL") == 202
    one.provide(new, 2)
    finished(one)
    one.encrypt("after")
    added = {**one.request, "revision": 2, "replicas": [{"region": NEAR}]}

    refused = stack.api("POST", "/keys", added)
    stack.send(added)

    rejected = stack.wait_for_outcomes(one.id, 3)[2]["detail"]
    for [error] in (refused.json()["errors"], rejected["errors"]):
        assert (error["path"], error["code"]) == ("replicas[0].region", "CHANGE_NOT_SUPPORTED")
        assert f"{arn} has 2 key materials" in error["message"]
    assert (refused.status_code, rejected["status"]) == (400, "REJECTED")

    bring_in_by_hand(one, [old, new])
    stack.send(added)

    outcome = stack.wait_for_outcomes(one.id, 4)[3]
    assert outcome["detail-type"] == "Multi-Region Key Updated", outcome["detail"]["errors"]
    [replica] = outcome["detail"]["key"]["replicas"]
    assert (replica["keyState"], replica["alias"]) == ("Enabled", one.request["alias"])
    one.arns[NEAR] = replica["arn"]
    one.check(2)
    found = read_key(stack, NEAR, replica["arn"])
    assert found["aliases"] == [one.request["alias"]]
    assert len(questions(stack, one.id)) == 2


def bring_in_by_hand(one: Sealing, secrets: list[bytes]) -> None:
    """Make a replica key with all its key material, as docs/imported-key-material.md says."""
    key_id, kms = one.arns[HOME].rsplit("/", 1)[1], one.client(NEAR)
    ours = {"mrk:stack": one.stack.name, "mrk:request-id": one.id}
    tags = [{"TagKey": name, "TagValue": value} for name, value in ours.items()]
    one.client(HOME).replicate_key(KeyId=key_id, ReplicaRegion=NEAR, Tags=tags)
    wait_for(
        lambda: kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] != "Creating" or None,
        "the replica key",
        timeout=30,
    )
    for secret in secrets:
        wrapping = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
        given = kms.get_parameters_for_import(KeyId=key_id, **wrapping)
        public_key = load_der_public_key(given["PublicKey"])
        assert isinstance(public_key, rsa.RSAPublicKey)
        oaep = padding.OAEP(mgf=padding.MGF1(SHA256()), algorithm=SHA256(), label=None)
        kms.import_key_material(
            KeyId=key_id,
            ImportToken=given["ImportToken"],
            EncryptedKeyMaterial=public_key.encrypt(secret, oaep),
            ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
        )


def in_months(months: int) -> str:
    """Return an instant so many months ahead."""
    return instant_text(now() + timedelta(days=30 * months))
