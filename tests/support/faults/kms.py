"""A stand-in for KMS, as strict as KMS about multi-Region keys and imported key material.

https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html has the table of what each
state allows. Nothing is encrypted: `wrap` only writes down for which public key it was done.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.faults.errors import refusal
from tests.support.faults.key_material import MOST_ON_DEMAND, STAGED, Materials, entry

ACCOUNT = "111122223333"
NO_SUCH_ROLE = "CadrService"
_LEAVING = ("PendingDeletion", "PendingReplicaDeletion")
# What the roles of template.yaml may do to any multi-Region key; the rest asks for the stack's tag.
_READS = {"GetKeyPolicy", "GetKeyRotationStatus"}
_WITHOUT_OUR_TAG = {"DescribeKey", "ListAliases", "ListResourceTags", *_READS}
_OUR_TAG = ("mrk:stack", "mrk")
_ONE_DAY = 86_400
_UPDATING_SECONDS = 21
# A primary key's own waiting period was seen to begin so long after its last replica was gone.
_AFTER_THE_REPLICAS = 2 * _ONE_DAY
_ONE_YEAR = 365 * _ONE_DAY
Tags = list[dict[str, str]]


@dataclass
class Key:
    """One Region's key. `enabled_at` ends its time as `Creating`.

    `last_use` is an operation and when it was. `material` is the first that was imported, which KMS
    deletes at `valid_to`; `later` has what was imported for a rotation, and until when KMS keeps
    it. A key that is `leaving` is deleted `window_days` after `leaving_since`, and never where the
    latter is None.
    """

    arn: str
    region: str
    created_at: float
    enabled_at: float
    facts: dict[str, str]
    description: str
    policy: str
    tags: dict[str, str]
    disabled: bool = False
    leaving: bool = False
    leaving_since: float | None = None
    window_days: int = 30
    updating_until: float = 0
    rotation_days: int | None = None
    last_use: tuple[str, float] | None = None
    ever_had_alias: bool = False
    material: bytes | None = None
    valid_to: float | None = None
    later: dict[bytes, float | None] = field(default_factory=dict)

    @property
    def key_id(self) -> str:
        return self.arn.rsplit("/", 1)[1]


@dataclass
class Kms:
    """All Regions. `keys` holds every key that ever existed, by its ARN, the oldest first."""

    clock: Callable[[], float]
    creating_seconds: float = 4
    authorization_seconds: float = 0
    """How long the tags of a new key do not count in authorisation."""
    alias_seconds: float = 0
    """How long a new alias is not shown."""
    keys: dict[str, Key] = field(default_factory=dict)
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)
    named_at: dict[tuple[str, str], float] = field(default_factory=dict)
    materials: dict[str, bytes] = field(default_factory=dict)
    """By key ID: the material that was imported first."""
    rotations: dict[str, Materials] = field(default_factory=dict)
    """By key ID: all key material, once anybody asked for it."""
    import_tokens: int = 0
    policy_reads: int = 0
    """Each read returns a policy in another order."""

    def primaries(self) -> list[Key]:
        """List the primary keys that ever existed."""
        return [key for key in self.keys.values() if key.facts["type"] == "PRIMARY"]

    def take_alias(self, region: str, alias: str) -> Key:
        """Let somebody else's key, which is made for that, have an alias."""
        key = Key(
            arn=f"arn:aws:kms:{region}:{ACCOUNT}:key/other",
            region=region,
            created_at=0,
            enabled_at=0,
            facts={"type": "", "spec": "SYMMETRIC_DEFAULT", "usage": "", "origin": "AWS_KMS"},
            description="",
            policy="",
            tags={"mrk:request-id": "another"},
        )
        self.keys[key.arn] = key
        self.aliases[region, alias], self.named_at[region, alias] = key.arn, 0
        return key

    def replicas_of(self, primary: Key) -> list[Key]:
        """List the replica keys of a primary."""
        return [
            key
            for key in self.keys.values()
            if key.key_id == primary.key_id and key is not primary and not self.is_gone(key)
        ]

    def deletion_of(self, key: Key) -> float | None:
        """Return when KMS deletes a key; None where that is not known, or never."""
        if not key.leaving or key.leaving_since is None:
            return None
        since = key.leaving_since
        if key.facts["type"] == "PRIMARY":
            others = [one for one in self.keys.values() if one.key_id == key.key_id]
            for deletion in [self.deletion_of(one) for one in others if one is not key]:
                if deletion is None:
                    return None
                since = max(since, deletion + _AFTER_THE_REPLICAS)
        return since + key.window_days * _ONE_DAY

    def is_gone(self, key: Key) -> bool:
        deletion = self.deletion_of(key)
        return deletion is not None and deletion <= self.clock()

    def promote(self, key_id: str, region: str) -> None:
        """Make the key of a Region the primary of its set, as whoever may UpdatePrimaryRegion."""
        for key in self.keys.values():
            if key.key_id == key_id:
                assert self.state_of(key) == "Enabled" or key.region != region
                key.facts["type"] = "PRIMARY" if key.region == region else "REPLICA"

    def replicate(self, primary: Key, region: str) -> None:
        """Make a replica as the provisioner does, whose answer nobody got."""
        tags = [{"TagKey": name, "TagValue": value} for name, value in primary.tags.items()]
        KmsInRegion(self, primary.region).replicate_key(
            KeyId=primary.arn,
            ReplicaRegion=region,
            Description=primary.description,
            Policy=primary.policy,
            Tags=tags,
        )

    def state_of(self, key: Key) -> str:
        if key.leaving:
            waits = key.facts["type"] == "PRIMARY" and self.replicas_of(key)
            return "PendingReplicaDeletion" if waits else "PendingDeletion"
        if self.clock() < key.enabled_at:
            return "Creating"
        if self.clock() < key.updating_until:
            return "Updating"
        if key.facts["origin"] == "EXTERNAL" and not self._has_material(key):
            return "PendingImport"
        return "Disabled" if key.disabled else "Enabled"

    def _has_material(self, key: Key) -> bool:
        """Whether a key has all of its material, but what is staged."""
        if key.material is None or self._is_over(key.valid_to):
            return False
        all_of_set = self.rotations[key.key_id].all if key.key_id in self.rotations else []
        needed = [one.secret for one in all_of_set[1:] if one.secret and one.state not in STAGED]
        return all(one in key.later and not self._is_over(key.later[one]) for one in needed)

    def _is_over(self, valid_to: float | None) -> bool:
        return valid_to is not None and valid_to <= self.clock()

    def materials_of(self, key: Key) -> Materials:
        """Return the key material of a key's set as it is by now."""
        found = self.rotations.setdefault(key.key_id, Materials())
        first = self.materials.get(key.key_id)
        if not found.all and (first is not None or key.facts["origin"] != "EXTERNAL"):
            found.add("CURRENT", first)
        found.pass_time(self.clock())
        if staged := found.of_state(*STAGED):
            members = [one for one in self.keys.values() if one.key_id == key.key_id]
            everywhere = all(staged.secret in one.later for one in members if not self.is_gone(one))
            staged.state = STAGED[0 if everywhere else 1]
        return found


class KmsInRegion:
    """What a client of one Region can call."""

    def __init__(self, kms: Kms, region: str) -> None:
        self._kms = kms
        self._region = region

    def create_key(
        self,
        *,
        MultiRegion: bool,
        KeySpec: str,
        KeyUsage: str,
        Origin: str,
        Description: str,
        Policy: str,
        Tags: Tags,
    ) -> dict[str, Any]:
        """Make another key each time: there is no client token."""
        assert MultiRegion
        _check_policy(Policy, "CreateKey")
        key_id = f"mrk-{len({key.key_id for key in self._kms.keys.values()}) + 1:032x}"
        facts = {"type": "PRIMARY", "spec": KeySpec, "usage": KeyUsage, "origin": Origin}
        key = self._add(key_id, facts, Description, Policy, Tags, seconds=0)
        return {"KeyMetadata": self._metadata(key)}

    def replicate_key(
        self, *, KeyId: str, ReplicaRegion: str, Description: str, Policy: str, Tags: Tags
    ) -> dict[str, Any]:
        primary = self._key(KeyId, "ReplicateKey")
        if primary.facts["type"] != "PRIMARY":
            raise refusal("UnsupportedOperationException", "ReplicateKey")
        if primary.disabled and not primary.leaving:
            raise refusal("DisabledException", "ReplicateKey")
        self._require(primary, "ReplicateKey", "Enabled")
        if ReplicaRegion == self._region:
            raise refusal("ValidationException", "ReplicateKey")
        there = KmsInRegion(self._kms, ReplicaRegion)
        before = self._kms.keys.get(there._arn(primary.key_id))
        if before and not self._kms.is_gone(before):
            raise refusal("AlreadyExistsException", "ReplicateKey")
        _check_policy(Policy, "ReplicateKey")
        facts = {**primary.facts, "type": "REPLICA"}
        replica = there._add(
            primary.key_id, facts, Description, Policy, Tags, seconds=self._kms.creating_seconds
        )
        return {"ReplicaKeyMetadata": there._metadata(replica)}

    def describe_key(self, *, KeyId: str) -> dict[str, Any]:
        arn = self._shown_aliases().get(KeyId, KeyId)
        return {"KeyMetadata": self._metadata(self._key(arn, "DescribeKey"))}

    def create_alias(self, *, AliasName: str, TargetKeyId: str) -> None:
        key = self._key(TargetKeyId, "CreateAlias")
        self._forbid(key, "CreateAlias", *_LEAVING)
        if (self._region, AliasName) in self._kms.aliases and not self._is_left_over(AliasName):
            raise refusal("AlreadyExistsException", "CreateAlias")
        self._kms.aliases[self._region, AliasName] = key.arn
        self._kms.named_at[self._region, AliasName] = self._kms.clock()
        key.ever_had_alias = True

    def update_alias(self, *, AliasName: str, TargetKeyId: str) -> None:
        """Let an alias point to another key of the same kind."""
        if AliasName not in self._shown_aliases():
            raise refusal("NotFoundException", "UpdateAlias")
        key = self._key(TargetKeyId, "UpdateAlias")
        self._forbid(key, "UpdateAlias", *_LEAVING)
        self._kms.aliases[self._region, AliasName] = key.arn

    def delete_alias(self, *, AliasName: str) -> None:
        target = self._kms.aliases.get((self._region, AliasName))
        if target is None:
            raise refusal("NotFoundException", "DeleteAlias")
        self._key(target, "DeleteAlias")
        del self._kms.aliases[self._region, AliasName]

    def list_aliases(self, *, KeyId: str | None = None, Limit: int = 100) -> dict[str, Any]:
        """List the aliases of a key, or all of them; they fit into one page."""
        assert len(self._kms.aliases) <= Limit
        key = KeyId and self._key(KeyId, "ListAliases")
        return {
            "Aliases": [
                {
                    "AliasName": name,
                    "AliasArn": self._arn("").removesuffix("key/") + name,
                    "TargetKeyId": target.rsplit("/", 1)[1],
                }
                for name, target in self._shown_aliases().items()
                if not key or target == key.arn
            ]
        }

    def schedule_key_deletion(self, *, KeyId: str, PendingWindowInDays: int) -> None:
        assert 7 <= PendingWindowInDays <= 30
        key = self._key(KeyId, "ScheduleKeyDeletion")
        self._forbid(key, "ScheduleKeyDeletion", "Updating", *_LEAVING)
        key.leaving = True
        key.leaving_since, key.window_days = self._kms.clock(), PendingWindowInDays

    def cancel_key_deletion(self, *, KeyId: str) -> None:
        key = self._key(KeyId, "CancelKeyDeletion")
        self._require(key, "CancelKeyDeletion", *_LEAVING)
        key.leaving, key.disabled = False, True
        key.leaving_since = None

    def enable_key(self, *, KeyId: str) -> None:
        key = self._key(KeyId, "EnableKey")
        self._require(key, "EnableKey", "Enabled", "Disabled")
        key.disabled = False

    def disable_key(self, *, KeyId: str) -> None:
        key = self._key(KeyId, "DisableKey")
        self._require(key, "DisableKey", "Enabled", "Disabled")
        key.disabled = True

    def update_primary_region(self, *, KeyId: str, PrimaryRegion: str) -> None:
        """Let a replica key be the primary key; both are `Updating` for some seconds."""
        operation = "UpdatePrimaryRegion"
        primary = self._key(KeyId, operation)
        if primary.facts["type"] != "PRIMARY":
            raise refusal("KMSInvalidStateException", operation)
        if PrimaryRegion == self._region:
            return
        there = [key for key in self._kms.replicas_of(primary) if key.region == PrimaryRegion]
        if not there:
            raise refusal("ValidationException", operation)
        for key in (primary, *there):
            if self._kms.state_of(key) == "Disabled":
                raise refusal("DisabledException", operation)
            self._require(key, operation, "Enabled")
        # Rotation is the set's; only the primary key's is read here.
        there[0].rotation_days = primary.rotation_days
        for key, kind in ((primary, "REPLICA"), (there[0], "PRIMARY")):
            key.facts = {**key.facts, "type": kind}
            key.updating_until = self._kms.clock() + _UPDATING_SECONDS

    def list_resource_tags(self, *, KeyId: str) -> dict[str, Any]:
        tags = self._key(KeyId, "ListResourceTags").tags
        return {"Tags": [{"TagKey": name, "TagValue": value} for name, value in tags.items()]}

    def tag_resource(self, *, KeyId: str, Tags: Tags) -> None:
        # The role that adopts keys may set the stack's own tags on any.
        adopts = _tags(Tags).keys() == {"mrk:request-id", "mrk:stack"}
        key = self._key(KeyId, "ListResourceTags" if adopts else "TagResource")
        self._forbid(key, "TagResource", *_LEAVING)
        key.tags.update(_tags(Tags))

    def untag_resource(self, *, KeyId: str, TagKeys: list[str]) -> None:
        key = self._key(KeyId, "UntagResource")
        self._forbid(key, "UntagResource", *_LEAVING)
        for name in TagKeys:
            key.tags.pop(name, None)

    def get_key_policy(self, *, KeyId: str) -> dict[str, Any]:
        self._kms.policy_reads += 1
        policy = self._key(KeyId, "GetKeyPolicy").policy
        return {"Policy": _rewritten(policy, self._kms.policy_reads)}

    def put_key_policy(self, *, KeyId: str, Policy: str) -> None:
        _check_policy(Policy, "PutKeyPolicy")
        self._key(KeyId, "PutKeyPolicy").policy = Policy

    def update_key_description(self, *, KeyId: str, Description: str) -> None:
        key = self._key(KeyId, "UpdateKeyDescription")
        self._forbid(key, "UpdateKeyDescription", *_LEAVING)
        key.description = Description

    def get_key_rotation_status(self, *, KeyId: str) -> dict[str, Any]:
        key = self._key(KeyId, "GetKeyRotationStatus")
        days, began = key.rotation_days, self._kms.materials_of(key).running_since
        running = {"OnDemandRotationStartDate": datetime.fromtimestamp(began, UTC)} if began else {}
        return {"KeyRotationEnabled": bool(days), "RotationPeriodInDays": days or 365, **running}

    def list_key_rotations(self, *, KeyId: str, IncludeKeyMaterial: str) -> dict[str, Any]:
        assert IncludeKeyMaterial == "ALL_KEY_MATERIAL"
        key = self._key(KeyId, "ListKeyRotations")
        materials = self._kms.materials_of(key).all
        return {
            "Rotations": [
                entry(
                    key.arn,
                    one,
                    key.later.get(one.secret or b"", None if place else key.valid_to),
                    is_here=(one.secret in key.later) if place else key.material is not None,
                )
                for place, one in enumerate(materials)
            ]
        }

    def rotate_key_on_demand(self, *, KeyId: str) -> dict[str, Any]:
        """Begin a rotation, or go on with the one that is running."""
        operation = "RotateKeyOnDemand"
        key = self._key(KeyId, operation)
        if key.facts["type"] != "PRIMARY" or key.facts["spec"] != "SYMMETRIC_DEFAULT":
            raise refusal("UnsupportedOperationException", operation)
        if self._kms.state_of(key) == "Disabled":
            raise refusal("DisabledException", operation)
        self._require(key, operation, "Enabled")
        materials = self._kms.materials_of(key)
        if materials.is_near:
            raise refusal("ConflictException", operation)
        if len(materials.begun) >= MOST_ON_DEMAND and materials.running_since is None:
            raise refusal("LimitExceededException", operation)
        if key.facts["origin"] == "EXTERNAL" and not materials.of_state("PENDING_ROTATION"):
            raise refusal("KMSInvalidStateException", operation)
        materials.begin(self._kms.clock())
        return {"KeyId": key.arn}

    def get_key_last_usage(self, *, KeyId: str) -> dict[str, Any]:
        key = self._key(KeyId, "GetKeyLastUsage")
        use: dict[str, Any] = {}
        if key.last_use:
            operation, at = key.last_use
            use = {"Operation": operation, "Timestamp": datetime.fromtimestamp(at, UTC)}
        since = datetime.fromtimestamp(key.created_at, UTC)
        return {"KeyLastUsage": use, "TrackingStartDate": since, "KeyCreationDate": since}

    def enable_key_rotation(self, *, KeyId: str, RotationPeriodInDays: int) -> None:
        key = self._key(KeyId, "EnableKeyRotation")
        if key.facts["type"] != "PRIMARY":
            raise refusal("UnsupportedOperationException", "EnableKeyRotation")
        self._require(key, "EnableKeyRotation", "Enabled")
        key.rotation_days = RotationPeriodInDays

    def disable_key_rotation(self, *, KeyId: str) -> None:
        key = self._key(KeyId, "DisableKeyRotation")
        if key.facts["type"] != "PRIMARY":
            raise refusal("UnsupportedOperationException", "DisableKeyRotation")
        self._require(key, "DisableKeyRotation", "Enabled")
        key.rotation_days = None

    def get_parameters_for_import(
        self, *, KeyId: str, WrappingAlgorithm: str, WrappingKeySpec: str
    ) -> dict[str, Any]:
        """Make a public key and an import token each time; those before stay good."""
        assert WrappingAlgorithm.startswith("RSA")
        assert WrappingKeySpec.startswith("RSA_")
        key = self._external_key(KeyId, "GetParametersForImport")
        self._kms.import_tokens += 1
        public_key = f"public key {self._kms.import_tokens}"
        valid_to = self._kms.clock() + _ONE_DAY
        token = {"key": key.arn, "publicKey": public_key, "validTo": valid_to}
        return {
            "KeyId": key.arn,
            "PublicKey": public_key.encode(),
            "ImportToken": json.dumps(token).encode(),
            "ParametersValidTo": datetime.fromtimestamp(valid_to, UTC),
        }

    def import_key_material(
        self,
        *,
        KeyId: str,
        ImportToken: bytes,
        EncryptedKeyMaterial: bytes,
        ExpirationModel: str,
        ValidTo: datetime | None = None,
        ImportType: str | None = None,
        KeyMaterialId: str | None = None,
        KeyMaterialDescription: str | None = None,
    ) -> None:
        """Take the key set's material, as often as it comes, and when it expires."""
        operation = "ImportKeyMaterial"
        key = self._external_key(KeyId, operation)
        material = self._unwrapped(key, ImportToken, EncryptedKeyMaterial)
        self._check_expiry(ExpirationModel, ValidTo)
        end = ValidTo.timestamp() if ValidTo else None
        if ImportType:
            self._associate(key, material, ImportType, KeyMaterialId, KeyMaterialDescription)
        if key.key_id in self._kms.materials and self._kms.materials[key.key_id] != material:
            found = self._kms.materials_of(key).of_secret(material)
            if found is None or KeyMaterialId not in (None, found.id):
                raise refusal("IncorrectKeyMaterialException", operation)
            key.later[material] = end
            return
        self._kms.materials[key.key_id] = material
        key.material, key.disabled = material, False
        key.valid_to = end

    def _unwrapped(self, key: Key, import_token: bytes, encrypted: bytes) -> bytes:
        operation = "ImportKeyMaterial"
        token = json.loads(import_token)
        public_key, _, material = encrypted.partition(_WRAPPED)
        if token["key"] != key.arn:
            raise refusal("InvalidImportTokenException", operation)
        if token["validTo"] <= self._kms.clock():
            raise refusal("ExpiredImportTokenException", operation)
        if public_key.decode() != token["publicKey"]:
            raise refusal("InvalidCiphertextException", operation)
        return material

    def _check_expiry(self, model: str, valid_to: datetime | None) -> None:
        expires_in = valid_to.timestamp() - self._kms.clock() if valid_to else None
        if (model == "KEY_MATERIAL_EXPIRES") != (valid_to is not None):
            raise refusal("ValidationException", "ImportKeyMaterial")
        if expires_in is not None and not 0 < expires_in <= _ONE_YEAR:
            raise refusal("ValidationException", "ImportKeyMaterial")

    def _associate(
        self,
        key: Key,
        material: bytes,
        import_type: str,
        material_id: str | None,
        description: str | None,
    ) -> None:
        """Check what an import says of its material, and associate new material with the set."""
        operation, materials = "ImportKeyMaterial", self._kms.materials_of(key)
        found = materials.of_secret(material)
        if key.facts["type"] != "PRIMARY" and (import_type.startswith("NEW") or description):
            raise refusal("ValidationException", operation)
        if import_type == "NEW_KEY_MATERIAL":
            assert material_id is None
            if found:
                raise refusal("IncorrectKeyMaterialException", operation)
            if materials.of_state(*STAGED) or not materials.all:
                raise refusal("KMSInvalidStateException", operation)
            materials.add(STAGED[1], material, description)
            return
        assert import_type == "EXISTING_KEY_MATERIAL"
        if found is None or found.id != material_id:
            raise refusal("IncorrectKeyMaterialException", operation)
        found.description = description or found.description

    def delete_imported_key_material(self, *, KeyId: str) -> None:
        """Delete the key material, if there is any."""
        key = self._external_key(KeyId, "DeleteImportedKeyMaterial")
        key.material = key.valid_to = None

    def _external_key(self, arn: str, operation: str) -> Key:
        key = self._key(arn, operation)
        if key.facts["origin"] != "EXTERNAL":
            raise refusal("UnsupportedOperationException", operation)
        self._require(key, operation, "PendingImport", "Enabled", "Disabled")
        return key

    def _shown_aliases(self) -> dict[str, str]:
        latest = self._kms.clock() - self._kms.alias_seconds
        return {
            place[1]: arn
            for place, arn in self._kms.aliases.items()
            if place[0] == self._region and self._kms.named_at[place] <= latest
            if not self._is_left_over(place[1])
        }

    def _is_left_over(self, alias: str) -> bool:
        """Whether the key of an alias is gone; KMS deletes its aliases with it."""
        key = self._kms.keys.get(self._kms.aliases[self._region, alias])
        return key is not None and self._kms.is_gone(key)

    def _arn(self, key_id: str) -> str:
        return f"arn:aws:kms:{self._region}:{ACCOUNT}:key/{key_id}"

    def _add(
        self,
        key_id: str,
        facts: dict[str, str],
        description: str,
        policy: str,
        tags: Tags,
        *,
        seconds: float,
    ) -> Key:
        now = self._kms.clock()
        key = Key(
            arn=self._arn(key_id),
            region=self._region,
            created_at=now,
            enabled_at=now + seconds,
            facts=facts,
            description=description,
            policy=policy,
            tags=_tags(tags),
        )
        self._kms.keys[key.arn] = key
        return key

    def _key(self, arn: str, operation: str) -> Key:
        key = self._kms.keys.get(arn)
        if key is None or key.region != self._region or self._kms.is_gone(key):
            raise refusal("NotFoundException", operation)
        age = self._kms.clock() - key.created_at
        is_allowed = _OUR_TAG in key.tags.items() and age >= self._kms.authorization_seconds
        if operation not in _WITHOUT_OUR_TAG and not is_allowed:
            raise refusal("AccessDeniedException", operation)
        return key

    def _require(self, key: Key, operation: str, *states: str) -> None:
        if self._kms.state_of(key) not in states:
            raise refusal("KMSInvalidStateException", operation)

    def _forbid(self, key: Key, operation: str, *states: str) -> None:
        if self._kms.state_of(key) in states:
            raise refusal("KMSInvalidStateException", operation)

    def _metadata(self, key: Key) -> dict[str, Any]:
        same_set = [
            other
            for other in self._kms.keys.values()
            if other.key_id == key.key_id and not self._kms.is_gone(other)
        ]
        same_set.sort(key=lambda other: other.facts["type"] != "PRIMARY")
        listed = [{"Arn": other.arn, "Region": other.region} for other in same_set]
        dates: dict[str, Any] = {}
        if self._kms._has_material(key):
            dates["ExpirationModel"] = "KEY_MATERIAL_DOES_NOT_EXPIRE"
            ends = [end for end in (key.valid_to, *key.later.values()) if end]
            if ends:
                dates["ExpirationModel"] = "KEY_MATERIAL_EXPIRES"
                dates["ValidTo"] = datetime.fromtimestamp(min(ends), UTC)
        deletion = self._kms.deletion_of(key)
        if deletion is not None and self._kms.state_of(key) == "PendingDeletion":
            dates["DeletionDate"] = datetime.fromtimestamp(deletion, UTC)
        return {
            **dates,
            "Arn": key.arn,
            "KeyId": key.key_id,
            "KeyState": self._kms.state_of(key),
            "KeySpec": key.facts["spec"],
            "KeyUsage": key.facts["usage"],
            "Origin": key.facts["origin"],
            "Description": key.description,
            "CreationDate": datetime.fromtimestamp(key.created_at, UTC),
            "MultiRegionConfiguration": {
                "MultiRegionKeyType": key.facts["type"],
                "PrimaryKey": listed[0],
                "ReplicaKeys": listed[1:],
            },
        }


_WRAPPED = b" wraps "


def wrap(public_key: bytes, material: bytes) -> bytes:
    """Wrap key material as whoever holds it does."""
    return public_key + _WRAPPED + material


def _tags(tags: Tags) -> dict[str, str]:
    found = {tag["TagKey"]: tag["TagValue"] for tag in tags}
    assert len(found) == len(tags) <= 50
    return found


def _rewritten(text: str, turn: int) -> str:
    """Write a policy as KMS returns it: a list of one as its value, and another order each time.

    https://github.com/aws/aws-cli/issues/9456
    """
    policy = json.loads(text)
    statements = [_unwrapped(statement) for statement in policy["Statement"]]
    return json.dumps({**policy, "Statement": statements[:: (-1) ** turn]})


def _unwrapped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unwrapped(one) for name, one in value.items()}
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _check_policy(text: str, operation: str) -> None:
    """Refuse a policy that locks its own account out, or whose principal does not exist."""
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    is_locked_out = not any(s["Principal"] == root for s in json.loads(text)["Statement"])
    if is_locked_out or f"role/{NO_SUCH_ROLE}" in text:
        raise refusal("MalformedPolicyDocumentException", operation)
