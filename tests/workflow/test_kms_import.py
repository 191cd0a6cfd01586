"""Importing key material into the emulator's KMS, beyond what was seen of the real one.

`test_kms_conformance.py` shows what was seen; the rest is as KMS documents it.
"""

import datetime as dt
import secrets
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from local.stack.endpoint import Endpoint
from tests.support.stack.kms_calls import HOME, OTHER, Refusal, refusal

OAEP = "RSAES_OAEP_SHA_256"
AES_WRAP = "RSA_AES_KEY_WRAP_SHA_256"
DOES_NOT_EXPIRE = "KEY_MATERIAL_DOES_NOT_EXPIRE"
DAY = 86400

MAC = {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}
CURVE = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
SYMMETRIC = {"KeySpec": "SYMMETRIC_DEFAULT"}

INCORRECT = ("IncorrectKeyMaterialException", "")


def private_key(key: Any) -> bytes:
    encoded: bytes = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return encoded


MATERIAL: dict[str, Callable[[], bytes]] = {
    "SYMMETRIC_DEFAULT": lambda: secrets.token_bytes(32),
    "HMAC_224": lambda: secrets.token_bytes(28),
    "HMAC_256": lambda: secrets.token_bytes(32),
    "HMAC_384": lambda: secrets.token_bytes(48),
    "HMAC_512": lambda: secrets.token_bytes(64),
    "RSA_2048": lambda: private_key(rsa.generate_private_key(65537, 2048)),
    "ECC_NIST_P256": lambda: private_key(ec.generate_private_key(ec.SECP256R1())),
    "ECC_NIST_P384": lambda: private_key(ec.generate_private_key(ec.SECP384R1())),
    "ECC_NIST_P521": lambda: private_key(ec.generate_private_key(ec.SECP521R1())),
    "ECC_SECG_P256K1": lambda: private_key(ec.generate_private_key(ec.SECP256K1())),
    "ECC_NIST_EDWARDS25519": lambda: private_key(ed25519.Ed25519PrivateKey.generate()),
}


@dataclass
class KeySet:
    """A multi-Region key whose material is imported, and its replica."""

    emulator: Endpoint
    spec: str
    algorithm: str = OAEP
    wrapping_spec: str = "RSA_2048"
    key_id: str = field(default="", init=False)

    def kms(self, region: str = HOME) -> Any:
        return self.emulator.client("kms", region)

    def describe(self, region: str = HOME) -> dict[str, Any]:
        described: dict[str, Any] = self.kms(region).describe_key(KeyId=self.key_id)["KeyMetadata"]
        return described

    def state(self, region: str = HOME) -> str:
        return str(self.describe(region)["KeyState"])

    def replicate(self) -> None:
        self.kms().replicate_key(KeyId=self.key_id, ReplicaRegion=OTHER)

    def wrapped(self, material: bytes, region: str = HOME) -> dict[str, Any]:
        """Return the parameters of an import of this material."""
        given = self.kms(region).get_parameters_for_import(
            KeyId=self.key_id,
            WrappingAlgorithm=self.algorithm,
            WrappingKeySpec=self.wrapping_spec,
        )
        wrapping_key = serialization.load_der_public_key(given["PublicKey"])
        assert isinstance(wrapping_key, rsa.RSAPublicKey)
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label=None)
        if self.algorithm == OAEP:
            encrypted = wrapping_key.encrypt(material, oaep)
        else:
            own = secrets.token_bytes(32)
            encrypted = wrapping_key.encrypt(own, oaep)
            encrypted += keywrap.aes_key_wrap_with_padding(own, material)
        return {
            "KeyId": self.key_id,
            "ImportToken": given["ImportToken"],
            "EncryptedKeyMaterial": encrypted,
            "ExpirationModel": DOES_NOT_EXPIRE,
        }

    def bring(self, material: bytes, region: str = HOME, **parameters: Any) -> dict[str, Any]:
        given = self.wrapped(material, region) | parameters
        if "ValidTo" in given:
            del given["ExpirationModel"]
        answer: dict[str, Any] = self.kms(region).import_key_material(**given)
        return answer

    def refused(self, material: bytes, region: str = HOME, **parameters: Any) -> Refusal:
        given = self.wrapped(material, region) | parameters
        return refusal(self.kms(region).import_key_material, **given)


def key_set(emulator: Endpoint, algorithm: str = OAEP, **parameters: Any) -> KeySet:
    made = KeySet(emulator, parameters["KeySpec"], algorithm)
    created = made.kms().create_key(Origin="EXTERNAL", MultiRegion=True, **parameters)
    made.key_id = created["KeyMetadata"]["KeyId"]
    return made


def soon(emulator: Endpoint, days: float) -> dt.datetime:
    shift = emulator.kms_settings().clock_shift_seconds + days * DAY
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=shift)).replace(microsecond=0)


@pytest.fixture(autouse=True)
def no_waits(emulator: Endpoint) -> Iterator[None]:
    with emulator.changed_kms_settings(creating_seconds=0, updating_seconds=0):
        yield


@pytest.mark.parametrize(
    ("spec", "usage", "algorithm", "wrapping_spec"),
    [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", OAEP, "RSA_2048"),
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", OAEP, "RSA_4096"),
        ("HMAC_224", "GENERATE_VERIFY_MAC", OAEP, "RSA_2048"),
        ("HMAC_256", "GENERATE_VERIFY_MAC", OAEP, "RSA_2048"),
        ("HMAC_384", "GENERATE_VERIFY_MAC", OAEP, "RSA_2048"),
        ("HMAC_512", "GENERATE_VERIFY_MAC", OAEP, "RSA_3072"),
        ("RSA_2048", "SIGN_VERIFY", AES_WRAP, "RSA_2048"),
        ("RSA_2048", "ENCRYPT_DECRYPT", AES_WRAP, "RSA_3072"),
        ("ECC_NIST_P256", "SIGN_VERIFY", OAEP, "RSA_2048"),
        ("ECC_NIST_P384", "KEY_AGREEMENT", AES_WRAP, "RSA_2048"),
        ("ECC_NIST_P521", "SIGN_VERIFY", OAEP, "RSA_3072"),
        ("ECC_NIST_P521", "SIGN_VERIFY", AES_WRAP, "RSA_2048"),
        ("ECC_SECG_P256K1", "SIGN_VERIFY", AES_WRAP, "RSA_2048"),
        ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY", AES_WRAP, "RSA_2048"),
    ],
)
def test_primary_and_replica_compute_alike(
    emulator: Endpoint, spec: str, usage: str, algorithm: str, wrapping_spec: str
) -> None:
    keys = key_set(emulator, algorithm, KeySpec=spec, KeyUsage=usage)
    keys.wrapping_spec = wrapping_spec
    material = MATERIAL[spec]()

    first = keys.bring(material)
    keys.replicate()
    assert keys.state(OTHER) == "PendingImport"
    second = keys.bring(material, OTHER)

    assert (keys.state(), keys.state(OTHER)) == ("Enabled", "Enabled")
    assert keys.describe(OTHER)["ExpirationModel"] == DOES_NOT_EXPIRE
    assert first.get("KeyMaterialId") == second.get("KeyMaterialId")
    assert ("KeyMaterialId" in first) == (spec == "SYMMETRIC_DEFAULT")
    assert ("CurrentKeyMaterialId" in keys.describe()) == (spec == "SYMMETRIC_DEFAULT")
    assert computed(keys, HOME, material) == computed(keys, OTHER, material)


def computed(keys: KeySet, region: str, material: bytes) -> bytes:
    """Return something that only keys with the same material have in common."""
    kms = keys.kms(region)
    if keys.spec == "SYMMETRIC_DEFAULT":
        secret = keys.kms(HOME).encrypt(KeyId=keys.key_id, Plaintext=b"secret")["CiphertextBlob"]
        return bytes(kms.decrypt(CiphertextBlob=secret)["Plaintext"])
    if keys.spec.startswith("HMAC"):
        algorithm = keys.spec.replace("_", "_SHA_")
        mac = kms.generate_mac(KeyId=keys.key_id, MacAlgorithm=algorithm, Message=b"message")
        return bytes(mac["Mac"])
    public_key = kms.get_public_key(KeyId=keys.key_id)["PublicKey"]
    loaded = serialization.load_der_private_key(material, None).public_key()
    assert loaded == serialization.load_der_public_key(public_key)
    return bytes(public_key)


@pytest.mark.parametrize(
    ("spec", "algorithm", "wrapping_spec"),
    [
        ("HMAC_256", AES_WRAP, "RSA_4096"),
        ("RSA_2048", OAEP, "RSA_4096"),
        ("RSA_2048", "RSAES_OAEP_SHA_1", "RSA_2048"),
        ("ECC_NIST_P521", OAEP, "RSA_2048"),
        ("ECC_NIST_EDWARDS25519", OAEP, "RSA_2048"),
        ("SYMMETRIC_DEFAULT", "RSAES_PKCS1_V1_5", "RSA_2048"),
        ("ECC_NIST_P256", AES_WRAP, "SM2"),
    ],
)
def test_not_every_material_can_be_wrapped_in_every_way(
    emulator: Endpoint, spec: str, algorithm: str, wrapping_spec: str
) -> None:
    usage = "GENERATE_VERIFY_MAC" if spec.startswith("HMAC") else "SIGN_VERIFY"
    usage = "ENCRYPT_DECRYPT" if spec == "SYMMETRIC_DEFAULT" else usage
    keys = key_set(emulator, KeySpec=spec, KeyUsage=usage)

    refused = refusal(
        keys.kms().get_parameters_for_import,
        KeyId=keys.key_id,
        WrappingAlgorithm=algorithm,
        WrappingKeySpec=wrapping_spec,
    )

    assert refused == (
        "ValidationException",
        f"Wrapping algorithm {algorithm} and wrapping key spec {wrapping_spec} cannot be used to "
        f"import a {spec} key.",
    )


@pytest.mark.parametrize(("key", "algorithm"), [(MAC, OAEP), (CURVE, AES_WRAP)])
def test_only_the_material_that_the_key_set_had_is_taken(
    emulator: Endpoint, key: dict[str, str], algorithm: str
) -> None:
    keys = key_set(emulator, algorithm, **key)
    material, other = MATERIAL[keys.spec](), MATERIAL[keys.spec]()
    keys.bring(material)
    keys.replicate()

    assert keys.refused(other, OTHER) == INCORRECT
    assert keys.refused(other) == INCORRECT
    keys.kms().delete_imported_key_material(KeyId=keys.key_id)
    assert keys.refused(other) == INCORRECT
    assert keys.state() == "PendingImport"
    keys.bring(material)
    assert (keys.state(), keys.state(OTHER)) == ("Enabled", "PendingImport")


def test_other_symmetric_material_is_refused_by_the_id_of_what_was_there(
    emulator: Endpoint,
) -> None:
    keys = key_set(emulator, **SYMMETRIC)
    first = keys.bring(bytes(32))["KeyMaterialId"]
    keys.kms().delete_imported_key_material(KeyId=keys.key_id)

    assert keys.refused(bytes(range(32))) == (
        "IncorrectKeyMaterialException",
        f"Imported key material does not have the expected identifier ({first}).",
    )


@pytest.mark.parametrize(
    ("key", "algorithm", "material"),
    [
        (MAC, OAEP, bytes(64)),
        (CURVE, OAEP, b"no key"),
        (CURVE, AES_WRAP, MATERIAL["ECC_NIST_P384"]()),
        (CURVE, AES_WRAP, MATERIAL["RSA_2048"]()),
    ],
)
def test_material_of_another_kind_is_no_material(
    emulator: Endpoint, key: dict[str, str], algorithm: str, material: bytes
) -> None:
    keys = key_set(emulator, algorithm, **key)

    assert keys.refused(material) == ("InvalidCiphertextException", "")
    assert keys.state() == "PendingImport"


def test_a_replica_takes_no_material_while_it_is_made(emulator: Endpoint) -> None:
    keys = key_set(emulator, **SYMMETRIC)
    keys.bring(bytes(32))

    with emulator.changed_kms_settings(creating_seconds=600):
        keys.replicate()
        described = keys.describe(OTHER)
        assert described["KeyState"] == "Creating"
        assert described["ExpirationModel"] == DOES_NOT_EXPIRE
        assert "CurrentKeyMaterialId" not in described
        with pytest.raises(ClientError, match="is creating"):
            keys.wrapped(bytes(32), OTHER)


class TestTokens:
    def test_a_token_is_for_the_key_of_its_region(self, emulator: Endpoint) -> None:
        keys = key_set(emulator, **SYMMETRIC)
        keys.bring(bytes(32))
        keys.replicate()
        of_primary = keys.wrapped(bytes(32))

        refused = refusal(keys.kms(OTHER).import_key_material, **of_primary)
        assert refused == ("InvalidImportTokenException", "")
        nonsense = refusal(keys.kms().import_key_material, **of_primary | {"ImportToken": b"?"})
        assert nonsense == ("InvalidImportTokenException", "")

    def test_each_lives_a_day_and_can_be_used_again(self, emulator: Endpoint) -> None:
        keys = key_set(emulator, **SYMMETRIC)
        older = keys.wrapped(bytes(32))

        with emulator.changed_kms_settings(clock_shift_seconds=DAY - 60):
            newer = keys.wrapped(bytes(32))
            keys.kms().import_key_material(**older)
            keys.kms().import_key_material(**older)
        with emulator.changed_kms_settings(clock_shift_seconds=DAY + 60):
            refused = refusal(keys.kms().import_key_material, **older)
            assert refused == ("ExpiredImportTokenException", "")
            keys.kms().import_key_material(**newer)


class TestExpiry:
    def test_it_is_told_and_comes_in_its_own_region_alone(self, emulator: Endpoint) -> None:
        keys = key_set(emulator, **MAC)
        valid_to = soon(emulator, 2)
        keys.bring(bytes(32))
        keys.replicate()
        keys.bring(bytes(32), OTHER, ValidTo=valid_to)

        described = keys.describe(OTHER)
        assert described["ExpirationModel"] == "KEY_MATERIAL_EXPIRES"
        assert described["ValidTo"] == valid_to
        assert "ValidTo" not in keys.describe()
        with emulator.changed_kms_settings(clock_shift_seconds=2 * DAY + 60):
            assert (keys.state(), keys.state(OTHER)) == ("Enabled", "PendingImport")
            keys.bring(bytes(32), OTHER)
        assert keys.state(OTHER) == "Enabled"

    def test_an_import_without_expiry_ends_it(self, emulator: Endpoint) -> None:
        keys = key_set(emulator, **SYMMETRIC)
        keys.bring(bytes(32), ValidTo=soon(emulator, 2))
        keys.bring(bytes(32))

        assert keys.describe()["ExpirationModel"] == DOES_NOT_EXPIRE
        with emulator.changed_kms_settings(clock_shift_seconds=3 * DAY):
            assert keys.state() == "Enabled"

    @pytest.mark.parametrize("days", [-1, 366])
    def test_it_is_less_than_a_year_ahead(self, emulator: Endpoint, days: float) -> None:
        keys = key_set(emulator, **SYMMETRIC)

        given = keys.wrapped(bytes(32))
        del given["ExpirationModel"]
        code, _ = refusal(keys.kms().import_key_material, **given, ValidTo=soon(emulator, days))

        assert code == "ValidationException"
        keys.bring(bytes(32), ValidTo=soon(emulator, 364))

    def test_it_is_seen_once_a_deletion_is_cancelled(self, emulator: Endpoint) -> None:
        expiring, lasting = key_set(emulator, **MAC), key_set(emulator, **MAC)
        expiring.bring(bytes(32), ValidTo=soon(emulator, 1))
        lasting.bring(bytes(32))
        for keys in (expiring, lasting):
            keys.kms().schedule_key_deletion(KeyId=keys.key_id, PendingWindowInDays=7)

        with emulator.changed_kms_settings(clock_shift_seconds=2 * DAY):
            for keys in (expiring, lasting):
                keys.kms().cancel_key_deletion(KeyId=keys.key_id)
            assert (expiring.state(), lasting.state()) == ("PendingImport", "Disabled")


def test_what_is_of_symmetric_keys_is_refused_for_others(emulator: Endpoint) -> None:
    keys = key_set(emulator, **MAC)

    for parameter in (
        {"ImportType": "NEW_KEY_MATERIAL"},
        {"KeyMaterialDescription": "x"},
        {"KeyMaterialId": "0" * 64},
    ):
        assert keys.refused(bytes(32), **parameter)[0] == "ValidationException"


def test_a_rotation_leaves_what_was_encrypted_readable_and_needs_all_material(
    emulator: Endpoint,
) -> None:
    keys = key_set(emulator, **SYMMETRIC)
    kms = keys.kms()
    old = keys.bring(bytes(32))["KeyMaterialId"]
    secret = kms.encrypt(KeyId=keys.key_id, Plaintext=b"secret")["CiphertextBlob"]
    new = keys.bring(bytes(range(32)), ImportType="NEW_KEY_MATERIAL")["KeyMaterialId"]
    kms.rotate_key_on_demand(KeyId=keys.key_id)

    assert keys.describe()["CurrentKeyMaterialId"] == new
    assert kms.decrypt(CiphertextBlob=secret)["Plaintext"] == b"secret"
    kms.delete_imported_key_material(KeyId=keys.key_id, KeyMaterialId=old)
    assert keys.state() == "PendingImport"


def test_the_new_primary_takes_new_material(emulator: Endpoint) -> None:
    keys = key_set(emulator, **SYMMETRIC)
    keys.bring(bytes(32))
    keys.replicate()
    keys.bring(bytes(32), OTHER)
    keys.kms().update_primary_region(KeyId=keys.key_id, PrimaryRegion=OTHER)

    new = bytes(range(32))
    code, _ = keys.refused(new, ImportType="NEW_KEY_MATERIAL")
    assert code == "ValidationException"
    keys.bring(new, OTHER, ImportType="NEW_KEY_MATERIAL")
    keys.bring(new)
    keys.kms(OTHER).rotate_key_on_demand(KeyId=keys.key_id)
    assert keys.describe()["CurrentKeyMaterialId"] == keys.describe(OTHER)["CurrentKeyMaterialId"]


@pytest.mark.parametrize(
    ("name", "allowed", "denied"),
    [
        ("kms:KeyOrigin", "EXTERNAL", "AWS_KMS"),
        ("kms:KeySpec", "HMAC_256", "HMAC_512"),
        ("kms:MultiRegionKeyType", "PRIMARY", "REPLICA"),
        ("aws:ResourceTag/team", "payments", "other"),
    ],
)
def test_the_key_is_a_condition_of_both_calls(
    emulator: Endpoint, name: str, allowed: str, denied: str
) -> None:
    tags = [{"TagKey": "team", "TagValue": "payments"}]
    keys = key_set(emulator, **MAC, Tags=tags)

    assert outcomes(keys, name, denied) == ["AccessDeniedException"] * 2
    assert outcomes(keys, name, allowed) == ["Success"] * 2


def test_how_it_is_imported_is_a_condition_of_the_one_call(emulator: Endpoint) -> None:
    keys = key_set(emulator, **MAC)

    both = [
        outcomes(keys, name, value)
        for name, value in (("kms:WrappingAlgorithm", OAEP), ("kms:WrappingKeySpec", "RSA_2048"))
    ]
    assert both == [["Success", "AccessDeniedException"]] * 2
    assert outcomes(keys, "kms:WrappingAlgorithm", AES_WRAP)[0] == "AccessDeniedException"
    assert outcomes(keys, "kms:ExpirationModel", DOES_NOT_EXPIRE) == [
        "AccessDeniedException",
        "Success",
    ]


def outcomes(keys: KeySet, name: str, value: str) -> list[str]:
    """Make both calls with a role whose policy has this condition; give their codes."""
    role = f"role-{uuid.uuid4()}"
    statement = {
        "Effect": "Allow",
        "Action": ["kms:GetParametersForImport", "kms:ImportKeyMaterial"],
        "Resource": "*",
        "Condition": {"StringEquals": {name: value}},
    }
    keys.emulator.create_role(role, policy={"Version": "2012-10-17", "Statement": [statement]})
    kms = keys.emulator.client("kms", HOME, keys.emulator.credentials_of(role))
    given = keys.wrapped(bytes(32))
    wrapping = {"WrappingAlgorithm": OAEP, "WrappingKeySpec": "RSA_2048"}
    codes = []
    for call, parameters in (
        (kms.get_parameters_for_import, {"KeyId": keys.key_id, **wrapping}),
        (kms.import_key_material, given),
    ):
        try:
            call(**parameters)
            codes.append("Success")
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
    return codes
