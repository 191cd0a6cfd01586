"""Rotation of key material in the emulator's KMS, beyond what was seen of the real one.

https://docs.aws.amazon.com/kms/latest/developerguide/rotating-keys-on-demand.html
"""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from local.stack.endpoint import Endpoint
from tests.support.stack.kms_arrangement import Arrangement
from tests.support.stack.kms_calls import HOME, OTHER, ROOT, key_arn, key_policy, refusal

DAY = 86400


@pytest.fixture(autouse=True)
def _settings(emulator: Endpoint) -> Iterator[None]:
    with emulator.changed_kms_settings(creating_seconds=0, updating_seconds=0, rotating_seconds=0):
        yield


@pytest.fixture
def replica(emulator: Endpoint, kms: Any, primary: str) -> Any:
    """Return KMS in the Region of the primary's replica."""
    kms.replicate_key(KeyId=primary, ReplicaRegion=OTHER)
    return emulator.client("kms", OTHER)


def rotations(kms: Any, key: str, **parameters: Any) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = kms.list_key_rotations(KeyId=key, **parameters)["Rotations"]
    return listed


def current(kms: Any, key: str) -> str:
    return str(kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"])


def encrypted(kms: Any, key: str, plaintext: bytes) -> bytes:
    return bytes(kms.encrypt(KeyId=key, Plaintext=plaintext)["CiphertextBlob"])


def decrypted(kms: Any, ciphertext: bytes) -> tuple[bytes, str]:
    answer = kms.decrypt(CiphertextBlob=ciphertext)
    return answer["Plaintext"], answer["KeyMaterialId"]


class TestOnDemand:
    def test_it_is_asked_for_on_the_primary_and_once(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        emulator.change_kms_settings(rotating_seconds=600)
        before = encrypted(kms, primary, b"secret")

        for _ in range(2):
            answer = kms.rotate_key_on_demand(KeyId=primary)
            assert answer["KeyId"] == key_arn(HOME, primary)
        assert kms.get_key_rotation_status(KeyId=primary)["OnDemandRotationStartDate"]
        assert rotations(kms, primary) == []
        with emulator.changed_kms_settings(clock_shift_seconds=601):
            assert len(rotations(kms, primary)) == 1
            assert decrypted(kms, before)[0] == b"secret"

    def test_it_is_asked_for_25_times_at_most(self, kms: Any, primary: str) -> None:
        for _ in range(25):
            kms.rotate_key_on_demand(KeyId=primary)

        code, message = refusal(kms.rotate_key_on_demand, KeyId=primary)
        assert code == "LimitExceededException"
        assert message.endswith(key_arn(HOME, primary))

    def test_every_region_follows_when_it_is_done(
        self, emulator: Endpoint, kms: Any, replica: Any, primary: str
    ) -> None:
        first = current(kms, primary)
        emulator.change_kms_settings(rotating_seconds=600)
        kms.rotate_key_on_demand(KeyId=primary)

        for region in (kms, replica):
            assert current(region, primary) == first
            assert rotations(region, primary) == []
        with emulator.changed_kms_settings(clock_shift_seconds=601):
            second = current(kms, primary)
            assert second != first
            assert current(replica, primary) == second
            for region, name in ((kms, HOME), (replica, OTHER)):
                assert "OnDemandRotationStartDate" not in region.get_key_rotation_status(
                    KeyId=primary
                )
                old, new = rotations(region, primary, IncludeKeyMaterial="ALL_KEY_MATERIAL")
                assert (old["KeyMaterialId"], old["KeyMaterialState"]) == (first, "NON_CURRENT")
                assert (new["KeyMaterialId"], new["KeyMaterialState"]) == (second, "CURRENT")
                assert (new["RotationType"], new["KeyId"]) == ("ON_DEMAND", key_arn(name, primary))


class TestCiphertexts:
    def test_they_are_decrypted_everywhere_with_the_material_that_encrypted(
        self, kms: Any, replica: Any, primary: str
    ) -> None:
        materials, ciphertexts = [], []
        for number in range(3):
            materials.append(current(kms, primary))
            ciphertexts.append(encrypted((kms, replica)[number % 2], primary, b"secret"))
            kms.rotate_key_on_demand(KeyId=primary)

        assert len(set(materials)) == 3
        for region in (kms, replica):
            for material, ciphertext in zip(materials, ciphertexts, strict=True):
                assert decrypted(region, ciphertext) == (b"secret", material)

    def test_a_replica_that_is_made_later_has_all_material(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        old = encrypted(kms, primary, b"old")
        kms.rotate_key_on_demand(KeyId=primary)
        new = encrypted(kms, primary, b"new")
        kms.replicate_key(KeyId=primary, ReplicaRegion=OTHER)

        replica = emulator.client("kms", OTHER)
        assert current(replica, primary) == current(kms, primary)
        assert [decrypted(replica, each)[0] for each in (old, new)] == [b"old", b"new"]
        assert decrypted(kms, encrypted(replica, primary, b"back"))[0] == b"back"

    def test_data_keys_are_under_the_current_material(self, kms: Any, primary: str) -> None:
        kms.rotate_key_on_demand(KeyId=primary)
        data_key = kms.generate_data_key(KeyId=primary, KeySpec="AES_256")
        pair = kms.generate_data_key_pair(KeyId=primary, KeyPairSpec="ECC_NIST_P256")

        material = current(kms, primary)
        assert data_key["KeyMaterialId"] == pair["KeyMaterialId"] == material
        assert decrypted(kms, data_key["CiphertextBlob"]) == (data_key["Plaintext"], material)
        private_key = decrypted(kms, pair["PrivateKeyCiphertextBlob"])
        assert private_key == (pair["PrivateKeyPlaintext"], material)

    def test_what_names_no_material_of_the_key_is_refused(self, kms: Any, primary: str) -> None:
        ciphertext = encrypted(kms, primary, b"secret")

        for spoilt in (ciphertext[:-1], ciphertext[:-32] + bytes(32), b"short"):
            refused = refusal(kms.decrypt, CiphertextBlob=spoilt)
            assert refused == ("InvalidCiphertextException", "")

    def test_the_key_that_they_name_decides_who_decrypts(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        name = f"reader-{uuid.uuid4()}"
        everything = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
        emulator.create_role(name, policy={"Version": "2012-10-17", "Statement": everything})
        reader = emulator.client("kms", credentials=emulator.credentials_of(name))
        ciphertext = encrypted(kms, primary, b"secret")

        assert decrypted(reader, ciphertext)[0] == b"secret"
        administrator = key_policy(ROOT, Condition={"ArnEquals": {"aws:PrincipalArn": ROOT}})
        kms.put_key_policy(KeyId=primary, Policy=administrator)
        assert refusal(reader.decrypt, CiphertextBlob=ciphertext)[0] == "AccessDeniedException"

    def test_another_key_decrypts_nothing(self, kms: Any, primary: str) -> None:
        ciphertext = encrypted(kms, primary, b"secret")
        second = kms.create_key()["KeyMetadata"]["KeyId"]

        code, _ = refusal(kms.decrypt, KeyId=second, CiphertextBlob=ciphertext)
        assert code == "IncorrectKeyException"


class TestImported:
    """https://docs.aws.amazon.com/kms/latest/developerguide/rotating-keys-imported.html."""

    def test_a_region_decrypts_nothing_until_it_has_all_material(self, emulator: Endpoint) -> None:
        keys = Arrangement(emulator)
        for step in ("external primary", "import material", "replica"):
            keys.take(step)
        old = encrypted(keys.kms(), keys.key_id, b"old")
        for step in ("stage B", "import B into replica", "rotate"):
            keys.take(step)
        new = encrypted(keys.kms(), keys.key_id, b"new")

        replica = keys.kms(OTHER)
        for ciphertext in (old, new):
            assert decrypted(keys.kms(), ciphertext)[0] in (b"old", b"new")
            code, _ = refusal(replica.decrypt, CiphertextBlob=ciphertext)
            assert code == "KMSInvalidStateException"
        keys.take("import material again")
        assert decrypted(replica, old) == (b"old", keys.values["A"])
        assert decrypted(replica, new) == (b"new", keys.values["B"])

    def test_one_material_of_several_can_expire(self, emulator: Endpoint) -> None:
        keys = Arrangement(emulator)
        for step in ("external primary", "import material", "stage B for 2 days", "rotate"):
            keys.take(step)
        ciphertext = encrypted(keys.kms(), keys.key_id, b"secret")

        with emulator.changed_kms_settings():
            keys.take("3 days later")
            refused, _ = refusal(keys.kms().decrypt, CiphertextBlob=ciphertext)
            assert refused == "KMSInvalidStateException"
            keys.take("import B again")
            assert decrypted(keys.kms(), ciphertext) == (b"secret", keys.values["B"])


class TestAutomatic:
    """https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html."""

    def test_it_comes_by_its_date_and_again_a_period_later(
        self, emulator: Endpoint, kms: Any, replica: Any, primary: str
    ) -> None:
        kms.enable_key_rotation(KeyId=primary, RotationPeriodInDays=90)
        due = kms.get_key_rotation_status(KeyId=primary)["NextRotationDate"]
        before = encrypted(kms, primary, b"secret")

        with emulator.changed_kms_settings(clock_shift_seconds=91 * DAY):
            (rotation,) = rotations(replica, primary)
            again = kms.get_key_rotation_status(KeyId=primary)["NextRotationDate"]
            assert decrypted(kms, before)[0] == b"secret"
        assert (rotation["RotationType"], rotation["RotationDate"]) == ("AUTOMATIC", due)
        assert (again - due).days == 90

    def test_a_disabled_key_is_passed_over(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        kms.enable_key_rotation(KeyId=primary, RotationPeriodInDays=90)
        kms.disable_key(KeyId=primary)

        with emulator.changed_kms_settings(clock_shift_seconds=91 * DAY):
            assert rotations(kms, primary) == []
            kms.enable_key(KeyId=primary)
            assert len(rotations(kms, primary)) == 1

    def test_none_is_asked_for_within_the_20_minutes_before(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        kms.enable_key_rotation(KeyId=primary, RotationPeriodInDays=90)

        with emulator.changed_kms_settings(clock_shift_seconds=90 * DAY - 19 * 60):
            code, _ = refusal(kms.rotate_key_on_demand, KeyId=primary)
            assert code == "ConflictException"
        with emulator.changed_kms_settings(clock_shift_seconds=90 * DAY - 21 * 60):
            kms.rotate_key_on_demand(KeyId=primary)

    def test_it_counts_for_none_of_the_25(self, emulator: Endpoint, kms: Any, primary: str) -> None:
        kms.enable_key_rotation(KeyId=primary, RotationPeriodInDays=90)
        with emulator.changed_kms_settings(clock_shift_seconds=91 * DAY):
            for _ in range(25):
                kms.rotate_key_on_demand(KeyId=primary)

            assert refusal(kms.rotate_key_on_demand, KeyId=primary)[0] == "LimitExceededException"
