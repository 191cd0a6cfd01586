"""Makes the keys that a row of kms_observed.json is about, step by step."""

import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from local.stack.endpoint import Endpoint

PRIMARY_REGION = "us-east-1"
REPLICA_REGION = "us-west-2"
SECOND_REPLICA_REGION = "ap-east-1"

SERVICE_LINKED_ROLE = "AWSServiceRoleForKeyManagementServiceMultiRegionKeys"

_DAY = 86400
_MATERIALS = {
    "A": bytes(range(32)),
    "B": bytes(range(1, 33)),
    "C": bytes(range(2, 34)),
    "too little": bytes(31),
}


@dataclass
class Arrangement:
    """One key or key set, and what a row can say of it.

    A step is a method's name with spaces, and a number if the method takes one.
    """

    emulator: Endpoint
    key_id: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    def take(self, step: str) -> None:
        """Take a step such as `replica` or `10 days later`."""
        number = next((word for word in step.split() if word[0].isdigit()), None)
        name = "_".join(word for word in step.split() if word != number).lower()
        method = getattr(self, name)
        if number is None:
            method()
        else:
            method(float(number))

    def kms(self, region: str = PRIMARY_REGION) -> Any:
        """Return the account root's KMS client."""
        return self.emulator.client("kms", region)

    def arn(self, region: str = PRIMARY_REGION) -> str:
        """Return the ARN that the key has in a Region."""
        return f"arn:aws:kms:{region}:111122223333:key/{self.key_id}"

    # Settings and time.

    def creating(self, seconds: float) -> None:
        self.emulator.change_kms_settings(creating_seconds=seconds)

    def updating(self, seconds: float) -> None:
        self.emulator.change_kms_settings(updating_seconds=seconds)

    def rotating(self, seconds: float) -> None:
        self.emulator.change_kms_settings(rotating_seconds=seconds)

    def seconds_later(self, seconds: float) -> None:
        passed = self.emulator.kms_settings().clock_shift_seconds
        self.emulator.change_kms_settings(clock_shift_seconds=passed + seconds)

    def days_later(self, days: float) -> None:
        self.seconds_later(days * _DAY)

    # Keys.

    def key(self) -> None:
        self._create()

    def primary(self) -> None:
        self._create(MultiRegion=True, Description="of the primary")

    def external_key(self) -> None:
        self._create(Origin="EXTERNAL")

    def external_primary(self) -> None:
        self._create(MultiRegion=True, Origin="EXTERNAL")

    def asymmetric_key(self) -> None:
        self._create(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")

    def hmac_key(self) -> None:
        self._create(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")

    def replica(self) -> None:
        self._replicate(REPLICA_REGION, Description="of the replica")

    def plain_replica(self) -> None:
        self._replicate(REPLICA_REGION)

    def second_replica(self) -> None:
        self._replicate(SECOND_REPLICA_REGION)

    def _create(self, **parameters: Any) -> None:
        key = self.kms().create_key(**parameters)["KeyMetadata"]
        self.key_id = key["KeyId"]
        self.values["materialId"] = key.get("CurrentKeyMaterialId")

    def _replicate(self, region: str, **parameters: Any) -> None:
        self.kms().replicate_key(KeyId=self.key_id, ReplicaRegion=region, **parameters)

    # What is on a key.

    def alias(self) -> None:
        self.values["alias"] = f"alias/row-{uuid.uuid4()}"
        self.kms().create_alias(AliasName=self.values["alias"], TargetKeyId=self.key_id)

    def tags(self) -> None:
        tag = {"TagKey": "team", "TagValue": "payments"}
        self.kms().tag_resource(KeyId=self.key_id, Tags=[tag])

    def ciphertext(self) -> None:
        answer = self.kms().encrypt(KeyId=self.key_id, Plaintext=b"secret")
        self.values["ciphertext"] = answer["CiphertextBlob"]

    def rotation(self, days: float) -> None:
        self.kms().enable_key_rotation(KeyId=self.key_id, RotationPeriodInDays=int(days))
        status = self.kms().get_key_rotation_status(KeyId=self.key_id)
        self.values["nextRotation"] = status["NextRotationDate"]

    def no_rotation(self) -> None:
        self.kms().disable_key_rotation(KeyId=self.key_id)

    # Imported key material: the bytes of A, B and C, and their IDs under these names.

    def import_material(self) -> None:
        self._import("A", PRIMARY_REGION)

    def import_material_again(self) -> None:
        self._import("A", REPLICA_REGION)

    def import_described_material(self) -> None:
        self._import("A", PRIMARY_REGION, KeyMaterialDescription="x")

    def import_material_for_days(self, days: float) -> None:
        self._import("A", PRIMARY_REGION, **self._expiring(days))

    def stage_b(self) -> None:
        self._import("B", PRIMARY_REGION, ImportType="NEW_KEY_MATERIAL")

    def stage_b_for_days(self, days: float) -> None:
        expiring = self._expiring(days)
        self._import("B", PRIMARY_REGION, ImportType="NEW_KEY_MATERIAL", **expiring)

    def stage_c(self) -> None:
        self._import("C", PRIMARY_REGION, ImportType="NEW_KEY_MATERIAL")

    def import_b_into_replica(self) -> None:
        self._import("B", REPLICA_REGION)

    def import_b_again(self) -> None:
        self._import("B", PRIMARY_REGION)

    def rotate(self) -> None:
        self.kms().rotate_key_on_demand(KeyId=self.key_id)
        described = self.kms().describe_key(KeyId=self.key_id)["KeyMetadata"]
        self.values["rotatedId"] = described["CurrentKeyMaterialId"]

    def remove_material(self) -> None:
        self.kms().delete_imported_key_material(KeyId=self.key_id)

    def remove_a(self) -> None:
        self._remove("A", PRIMARY_REGION)

    def remove_c(self) -> None:
        self._remove("C", PRIMARY_REGION)

    def remove_a_from_replica(self) -> None:
        self._remove("A", REPLICA_REGION)

    def _remove(self, name: str, region: str) -> None:
        self.kms(region).delete_imported_key_material(
            KeyId=self.key_id, KeyMaterialId=self.values[name]
        )

    def _import(self, name: str, region: str, **parameters: Any) -> None:
        self._wrap(name, region)
        if "ValidTo" not in parameters:
            parameters["ExpirationModel"] = "KEY_MATERIAL_DOES_NOT_EXPIRE"
        answer = self.kms(region).import_key_material(
            KeyId=self.key_id,
            ImportToken=self.values["token"],
            EncryptedKeyMaterial=self.values["wrapped"],
            **parameters,
        )
        self.values[name] = answer["KeyMaterialId"]

    def _expiring(self, days: float) -> dict[str, Any]:
        # A timestamp travels in whole seconds.
        valid_to = (self.now() + dt.timedelta(days=days)).replace(microsecond=0)
        self.values["validTo"] = valid_to
        return {"ValidTo": valid_to}

    # What an import would be called with.

    def wrap_a(self) -> None:
        self._wrap("A", PRIMARY_REGION)

    def wrap_b(self) -> None:
        self._wrap("B", PRIMARY_REGION)

    def wrap_c(self) -> None:
        self._wrap("C", PRIMARY_REGION)

    def wrap_a_for_replica(self) -> None:
        self._wrap("A", REPLICA_REGION)

    def wrap_b_for_replica(self) -> None:
        self._wrap("B", REPLICA_REGION)

    def wrap_too_little(self) -> None:
        self._wrap("too little", PRIMARY_REGION)

    def wrap_nothing(self) -> None:
        self._wrap("A", PRIMARY_REGION)
        self.values["wrapped"] = b"\0" * 256

    def parameters_again(self) -> None:
        self._parameters(PRIMARY_REGION)

    def other_key_token(self) -> None:
        key_id = self.key_id
        self.external_key()
        self.values["token"] = self._parameters(PRIMARY_REGION)["ImportToken"]
        self.key_id = key_id

    def _wrap(self, name: str, region: str) -> None:
        given = self._parameters(region)
        wrapping_key = serialization.load_der_public_key(given["PublicKey"])
        assert isinstance(wrapping_key, rsa.RSAPublicKey)
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label=None)
        self.values["token"] = given["ImportToken"]
        self.values["wrapped"] = wrapping_key.encrypt(_MATERIALS[name], oaep)

    def _parameters(self, region: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.kms(region).get_parameters_for_import(
            KeyId=self.key_id, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
        )
        return answer

    # States.

    def disable_primary(self) -> None:
        self.kms().disable_key(KeyId=self.key_id)

    def disable_replica(self) -> None:
        self.kms(REPLICA_REGION).disable_key(KeyId=self.key_id)

    def delete_primary(self) -> None:
        self._delete(PRIMARY_REGION)

    def delete_replica(self) -> None:
        self.values["replicaDeletion"] = self._delete(REPLICA_REGION)["DeletionDate"]

    def delete_second_replica(self) -> None:
        self._delete(SECOND_REPLICA_REGION)

    def cancel_primary(self) -> None:
        self.kms().cancel_key_deletion(KeyId=self.key_id)

    def promote(self) -> None:
        self.kms().update_primary_region(KeyId=self.key_id, PrimaryRegion=REPLICA_REGION)

    def _delete(self, region: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.kms(region).schedule_key_deletion(
            KeyId=self.key_id, PendingWindowInDays=7
        )
        return answer

    # The service-linked role of multi-Region keys.

    def role_deletion(self) -> None:
        answer = self.emulator.client("iam").delete_service_linked_role(
            RoleName=SERVICE_LINKED_ROLE
        )
        self.values |= {"task": answer["DeletionTaskId"], "polls": []}

    def poll_role_deletion(self) -> None:
        iam = self.emulator.client("iam")
        try:
            answer = iam.get_service_linked_role_deletion_status(DeletionTaskId=self.values["task"])
            self.values["polls"].append(answer["Status"])
        except iam.exceptions.NoSuchEntityException as error:
            self.values["polls"].append(error.response["Error"]["Code"])

    # Values that a row can name.

    def now(self) -> dt.datetime:
        """Return the time on KMS's clock."""
        shift = self.emulator.kms_settings().clock_shift_seconds
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=shift)

    def named_values(self, region: str) -> dict[str, Any]:
        """Return what stands in braces in a row, as seen from the Region called."""
        return self.values | {
            "arn": self.arn(region),
            "primary": self.arn(PRIMARY_REGION),
            "replica": self.arn(REPLICA_REGION),
            "keyId": self.key_id,
        }
