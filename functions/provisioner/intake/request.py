"""Reads a request: the schema of its fields, the rules across them, and every problem at once.

pydantic checks each field by itself. The rules below check what fields mean together, and only
where the fields they read are sound, so that one mistake is reported once.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal, cast

from pydantic import Field, ValidationError
from pydantic.functional_validators import AfterValidator
from pydantic_core import PydanticCustomError

from provisioner import json_text
from provisioner.aws.partitions import known_regions
from provisioner.clock import instant_text, now
from provisioner.domain import guardrails, key_access, key_policy, plan
from provisioner.domain.key_specs import (
    KEY_SPECS,
    KeyUsage,
    Origin,
    WrappingAlgorithm,
    can_rotate,
    wrapping_algorithms,
)
from provisioner.domain.plan import Expiry, KeySetRequest, PolicyRequest
from provisioner.errors import Problem, RequestRejected, new_problem
from provisioner.intake import documents, field_texts
from provisioner.intake.documents import Fields
from provisioner.json_text import Json, JsonObject
from provisioner.settings import Settings

MAX_TAGS = 50
MAX_TICKET_BYTES = 4_096
MAX_VALIDITY = timedelta(days=365)
"""https://docs.aws.amazon.com/kms/latest/APIReference/API_ImportKeyMaterial.html"""
MAX_REQUEST_BYTES = 128 * 1024
"""Half of what Step Functions and EventBridge carry: a request always fits with its outcome.

https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

_DEFAULTS_BYTES = 4 * 1024
"""What defaults can add to a request, those of a replica in each of 34 Regions included."""


def _tag_text(text: str) -> str:
    """Check the characters of a tag key or value.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_Tag.html
    """
    if not all(unicodedata.category(char)[0] in "LZN" or char in "_.:/=+-@" for char in text):
        raise PydanticCustomError(
            "tag_characters", "Tags hold letters, digits, spaces and _ . : / = + - @ only."
        )
    return text


def _tag_key(key: str) -> str:
    if key.lower().startswith(("aws:", plan.OWN_TAG_PREFIX)):
        raise PydanticCustomError(
            "tag_reserved", "Tag keys that begin with aws: or mrk: are reserved."
        )
    return key


def _alias_name(alias: str) -> str:
    if alias.startswith("alias/aws/"):
        raise PydanticCustomError(
            "alias_reserved", "Aliases that begin with alias/aws/ are reserved for AWS services."
        )
    return alias


def _small_ticket(ticket: JsonObject) -> JsonObject:
    if json_text.size(ticket) > MAX_TICKET_BYTES:
        raise PydanticCustomError("ticket_too_large", "A ticket has at most 4,096 bytes of JSON.")
    return ticket


def _instant(text: str) -> str:
    """Write an instant in UTC and whole seconds, as KMS keeps it."""
    try:
        instant = datetime.fromisoformat(text)
        written = instant_text(instant) if instant.tzinfo else None
    except (ValueError, OverflowError):  # the latter where UTC has no such year
        written = None
    if written is None:
        raise PydanticCustomError(
            "bad_format", "An instant is written as 2027-01-31T00:00:00Z, with its time zone."
        )
    return written


# https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html
Alias = Annotated[
    str,
    Field(pattern=r"^alias/[a-zA-Z0-9/_-]+$", max_length=256),
    AfterValidator(_alias_name),
]
Description = Annotated[str, Field(max_length=8192)]
Tags = dict[
    Annotated[
        str,
        Field(min_length=1, max_length=128),
        AfterValidator(_tag_text),
        AfterValidator(_tag_key),
    ],
    Annotated[str, Field(max_length=256), AfterValidator(_tag_text)],
]


# https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html
DeletionWindow = Annotated[int, Field(ge=7, le=30)]
Word = Annotated[
    str, Field(pattern=r"^((PROMOTE|REMOVE|DISABLE|RESTORE|MOVE_ALIAS):.+|DECOMMISSION)$")
]


class KeyPolicyFields(Fields):
    """A key policy: built from key administrators and key users, or given as a document."""

    administrators: list[str] | None = None
    users: list[str] | None = None
    document: JsonObject | None = None


class RotationFields(Fields):
    """Automatic key rotation."""

    periodInDays: int = Field(365, ge=90, le=2560)


class ExpiryFields(Fields):
    """When imported key material expires in one Region: at `validTo`, or never."""

    expires: bool | None = None
    validTo: Annotated[str, AfterValidator(_instant)] | None = None


class KeyMaterialFields(ExpiryFields):
    """How key material of origin EXTERNAL comes in, and when it expires."""

    wrappingAlgorithm: Annotated[WrappingAlgorithm, Field(strict=False)] | None = None
    wrappingKeySpec: Literal["RSA_2048", "RSA_3072", "RSA_4096"] = "RSA_4096"
    deadlineInDays: int = Field(7, ge=1, le=30)


class ReplicaFields(Fields):
    """A replica key. A field left out is the same as the primary's; null is none."""

    region: str
    alias: Alias | None = None
    description: Description | None = None
    tags: Tags | None = None
    policy: KeyPolicyFields | None = None
    keyMaterial: ExpiryFields | None = None
    enabled: bool = True


class RequestFields(Fields):
    """A request for a complete multi-Region key set."""

    requestId: str = Field(pattern=f"^{plan.REQUEST_ID_PATTERN}$")
    primaryRegion: str | None = None
    keySpec: str = Field("SYMMETRIC_DEFAULT", json_schema_extra={"enum": [*KEY_SPECS]})
    keyUsage: Annotated[KeyUsage, Field(strict=False)] | None = None
    origin: Annotated[Origin, Field(strict=False)] = Origin.AWS_KMS
    alias: Alias
    description: Description | None = None
    tags: Tags | None = None
    policy: KeyPolicyFields | None = None
    rotation: RotationFields | None = None
    keyMaterial: KeyMaterialFields | None = None
    replicas: list[ReplicaFields] | None = None
    onFailure: Literal["RETAIN", "ROLL_BACK"] = "RETAIN"
    revision: int = Field(1, ge=plan.REVISIONS[0], le=plan.REVISIONS[-1])
    enabled: bool = True
    desiredState: Literal["ACTIVE", "DECOMMISSIONED"] = "ACTIVE"
    deletionWindowInDays: DeletionWindow = plan.DELETION_WINDOW_DAYS
    confirm: list[Word] | None = None
    ticket: Annotated[dict[str, Any], AfterValidator(_small_ticket)] | None = None


def parse_request(
    document: object,
    settings: Settings,
    *,
    primary_region: str | None = None,
    adopting: bool = False,
) -> KeySetRequest:
    """Check a request as a whole and fill in its defaults.

    Parameters
    ----------
    document
        What the caller sent, parsed from JSON.
    primary_region
        The default of `primaryRegion`: what `usual_primary_region` returns. None is the stack's own
        Region, as in a first revision.
    adopting
        The keys exist, so that a first revision may declare some of them disabled.

    Returns
    -------
    KeySetRequest
        Plain JSON. A replica holds only the fields that were given for it. It is taken again as it
        is, although its defaults may make it larger than a request may be: the API and the sweep
        start executions with it.

    Raises
    ------
    RequestRejected
        With every problem, each with the path of its field, a code and a message.
    """
    usual = primary_region or settings.home_region
    unreadable = documents.unreadable(document, "request", MAX_REQUEST_BYTES)
    if unreadable is None:
        return _parse(cast(JsonObject, document), settings, usual, adopting=adopting)
    if documents.unreadable(document, "request", MAX_REQUEST_BYTES + _DEFAULTS_BYTES) is None:
        with suppress(RequestRejected):
            request = _parse(cast(JsonObject, document), settings, usual, adopting=adopting)
            if request == document:
                return request
    raise RequestRejected([unreadable])


def _parse(
    document: JsonObject, settings: Settings, primary_region: str, *, adopting: bool
) -> KeySetRequest:
    fields, details = None, []
    try:
        fields = RequestFields.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False)
    draft = _Draft(document, [detail["loc"] for detail in details], settings, primary_region)
    problems = documents.problems_from(details, RequestFields)
    rules = _RULES if adopting else (*_RULES, _first_revision_rule)
    problems += [problem for rule in rules for problem in rule(draft)]
    if fields is None or problems:
        raise RequestRejected(documents.bounded(problems))
    return _normalised(fields, settings, primary_region)


def policy_warnings(request: KeySetRequest, settings: Settings) -> list[Problem]:
    """List what is to be known of the key policies of a valid request before it is carried out.

    That is what they take away that it can be carried out without, which other accounts they let
    in, and what names other Regions than those of the keys that have the policy.
    """
    draft = _Draft(cast(JsonObject, request), [], settings, request["primaryRegion"])
    warnings = [*key_access.warnings(_keys_under_documents(draft), settings)]
    known = known_regions(settings.partition)
    for prefix, fields in draft.members:
        policy, path = fields.get("policy") or {}, f"{prefix}policy"
        warnings += key_policy.account_warnings(policy, path, settings.account_id)
        if "document" in policy:
            heirs = (
                () if prefix else (r["region"] for r in request["replicas"] if "policy" not in r)
            )
            used_in = [fields["region" if prefix else "primaryRegion"], *heirs]
            document = policy["document"]
            warnings += key_policy.region_warnings(document, f"{path}.document", used_in, known)
    return documents.bounded(warnings)


class _Draft:
    """A request of which some fields may be wrong: the rules ask it for sound values only."""

    def __init__(
        self,
        document: JsonObject,
        wrong: list[tuple[int | str, ...]],
        settings: Settings,
        primary_region: str,
    ) -> None:
        self.document = document
        self.settings = settings
        self.primary_region = primary_region
        self._wrong = {""} if wrong else set()
        for place in wrong:
            above = ""
            for step in place:
                above = f"{above}.{step}" if above else str(step)
                self._wrong.add(above)

    def sound(self, path: str) -> bool:
        """Whether no problem was found at or below this path."""
        return path.replace("[", ".").replace("]", "") not in self._wrong

    def get(self, name: str, default: Json = None) -> Json:
        """Return a field's value, its default where it is absent, or None where it is wrong."""
        return self.document.get(name, default) if self.sound(name) else None

    @cached_property
    def members(self) -> list[tuple[str, JsonObject]]:
        """The path prefix and the fields of the primary and of each replica."""
        replicas = self.document.get("replicas")
        return [("", self.document)] + [
            (f"replicas[{index}].", replica)
            for index, replica in enumerate(replicas if isinstance(replicas, list) else [])
            if isinstance(replica, dict)
        ]

    @cached_property
    def regions(self) -> list[tuple[str, str, str]]:
        """The path prefix, the path and the value of each Region that is sound by itself."""
        found = []
        for prefix, fields in self.members:
            name = "region" if prefix else "primaryRegion"
            path, region = f"{prefix}{name}", fields.get(name)
            if self.sound(path):
                found.append((prefix, path, self.primary_region if region is None else region))
        return found

    @cached_property
    def documents(self) -> dict[str, tuple[key_policy.Policy, list[Problem]]]:
        """Each key policy that is given as a document, by its path, with its problems."""
        found = {}
        for prefix, fields in self.members:
            policy, path = fields.get("policy"), f"{prefix}policy.document"
            document = policy.get("document") if isinstance(policy, dict) else None
            if isinstance(document, dict):
                wrong = key_policy.check_policy(document, path, partition=self.settings.partition)
                found[path] = (document, wrong)
        return found

    @property
    def spec(self) -> tuple[str, str, str] | None:
        """Return key spec, usage and origin, or None where one of them is wrong."""
        spec = self.get("keySpec", "SYMMETRIC_DEFAULT")
        if spec not in KEY_SPECS or not (self.sound("keyUsage") and self.sound("origin")):
            return None
        usage = self.document.get("keyUsage") or KEY_SPECS[spec].usages[0]
        return spec, usage, self.document.get("origin", Origin.AWS_KMS)


def _region_rule(draft: _Draft) -> Iterator[Problem]:
    seen: set[str] = set()
    for _, path, region in draft.regions:
        if problem := _region_problem(path, region, draft.settings):
            yield problem
        elif region in seen:
            text = f"{region} has a key of this set already; a Region holds one."
            if region == draft.primary_region and draft.document.get("primaryRegion") is None:
                text = f"{text} It is the primary's, as long as primaryRegion names no other one."
            yield new_problem(path, "DUPLICATE_REGION", text)
        seen.add(region)


def _region_problem(path: str, region: str, settings: Settings) -> Problem | None:
    allowed = settings.allowed_regions
    if not _is_region(region, settings):
        return _unknown_region(path, region, settings)
    if "*" in allowed or region in allowed:
        return None
    text = f"{region} is not among the Regions this stack allows (AllowedRegions)."
    return new_problem(path, "REGION_NOT_ALLOWED", text)


def _is_region(region: str, settings: Settings) -> bool:
    named = settings.allowed_regions
    return (region in named and region != "*") or region in known_regions(settings.partition)


def _unknown_region(path: str, region: str, settings: Settings) -> Problem:
    text = f"Partition {settings.partition} has no Region {field_texts.shown(region)}."
    return new_problem(path, "REGION_UNKNOWN", text)


def _key_kind_rule(draft: _Draft) -> Iterator[Problem]:
    spec = draft.get("keySpec", "SYMMETRIC_DEFAULT")
    if spec is None:
        return
    rules = KEY_SPECS.get(spec)
    partition = draft.settings.partition
    if rules is None:
        text = f"A multi-Region key's spec is one of {', '.join(KEY_SPECS)}."
        yield new_problem("keySpec", "KEY_SPEC_NOT_MULTI_REGION", text)
        return
    if rules.partitions and partition not in rules.partitions:
        text = f"{spec} exists in the China Regions only."
        yield new_problem("keySpec", "KEY_SPEC_NOT_IN_PARTITION", text)
    yield from guardrails.key_spec_problems(spec, draft.settings)
    usages = ", ".join(rules.usages)
    usage = draft.get("keyUsage")
    if usage is None and draft.sound("keyUsage") and len(rules.usages) > 1:
        text = f"{spec} can be used in several ways; say which: {usages}."
        yield new_problem("keyUsage", "KEY_USAGE_REQUIRED", text)
    if usage is not None and usage not in rules.usages:
        text = f"{spec} can be used for {usages} only."
        yield new_problem("keyUsage", "KEY_USAGE_NOT_SUPPORTED", text)
    origin = draft.get("origin", Origin.AWS_KMS)
    if origin is not None and origin not in rules.origins:
        text = f"{spec} is made with origin {', '.join(rules.origins)} only."
        yield new_problem("origin", "ORIGIN_NOT_SUPPORTED", text)


def _rotation_rule(draft: _Draft) -> Iterator[Problem]:
    if draft.spec is None or draft.document.get("rotation") is None:
        return
    spec, _, origin = draft.spec
    if not can_rotate(spec, origin):
        text = "Only SYMMETRIC_DEFAULT keys of origin AWS_KMS rotate by themselves."
        yield new_problem("rotation", "ROTATION_NOT_SUPPORTED", text)


def _key_material_rule(draft: _Draft) -> Iterator[Problem]:
    origin = draft.get("origin", Origin.AWS_KMS)
    for prefix, fields in draft.members:
        path, material = f"{prefix}keyMaterial", fields.get("keyMaterial")
        if not isinstance(material, dict):
            continue
        if origin is not None and origin != Origin.EXTERNAL:
            text = "Only a key of origin EXTERNAL has key material that is imported."
            yield new_problem(path, "KEY_MATERIAL_NOT_IMPORTED", text)
        yield from _expiry_problems(draft, material, path)
    yield from _wrapping_problems(draft)


def _expiry_problems(draft: _Draft, material: JsonObject, path: str) -> Iterator[Problem]:
    if not (draft.sound(f"{path}.expires") and draft.sound(f"{path}.validTo")):
        return
    expires, valid_to = material.get("expires"), material.get("validTo")
    if expires and valid_to is None:
        text = "Say with validTo when the key material expires."
        yield new_problem(f"{path}.validTo", "VALID_TO_REQUIRED", text)
    if expires is False and valid_to is not None:
        text = "Key material with a validTo expires; leave validTo out, or expires."
        yield new_problem(path, "EXPIRY_AMBIGUOUS", text)
    if valid_to is not None:
        instant, soonest = datetime.fromisoformat(valid_to), now()
        if not soonest < instant < soonest + MAX_VALIDITY:
            text = "validTo is in the future, less than 365 days away."
            yield new_problem(f"{path}.validTo", "OUT_OF_RANGE", text)


def _wrapping_problems(draft: _Draft) -> Iterator[Problem]:
    spec, material = draft.get("keySpec", "SYMMETRIC_DEFAULT"), draft.document.get("keyMaterial")
    fields = ("keyMaterial.wrappingAlgorithm", "keyMaterial.wrappingKeySpec")
    if spec not in KEY_SPECS or Origin.EXTERNAL not in KEY_SPECS[spec].origins:
        return
    partition = draft.settings.partition
    if not wrapping_algorithms(spec, "RSA_4096", partition):
        if draft.get("origin") == Origin.EXTERNAL:
            text = f"Key material for {spec} cannot be wrapped under an RSA key in China Regions."
            yield new_problem("origin", "ORIGIN_NOT_SUPPORTED", text)
        return
    if not isinstance(material, dict) or not all(map(draft.sound, fields)):
        return
    wanted, size = material.get("wrappingAlgorithm"), material.get("wrappingKeySpec", "RSA_4096")
    allowed = wrapping_algorithms(spec, size, partition)
    if not allowed:
        text = f"Key material for {spec} is wrapped under RSA_3072 or RSA_4096 here."
        yield new_problem("keyMaterial.wrappingKeySpec", "WRAPPING_KEY_SPEC_NOT_SUPPORTED", text)
    elif wanted is not None and wanted not in allowed:
        text = f"Key material for {spec} is wrapped under {size} with {' or '.join(allowed)}."
        yield new_problem("keyMaterial.wrappingAlgorithm", "WRAPPING_ALGORITHM_NOT_SUPPORTED", text)


def _alias_rule(draft: _Draft) -> Iterator[Problem]:
    for prefix, fields in draft.members:
        alias, path = fields.get("alias"), f"{prefix}alias"
        if alias is not None and draft.sound(path):
            yield from guardrails.alias_problems(path, alias, draft.settings)


def _confirm_rule(draft: _Draft) -> Iterator[Problem]:
    words, seen = draft.document.get("confirm"), set()
    for index, word in enumerate(words if isinstance(words, list) else []):
        path = f"confirm[{index}]"
        if not draft.sound(path):
            continue
        region = word.partition(":")[2]
        if region and not _is_region(region, draft.settings):
            yield _unknown_region(path, region, draft.settings)
        elif word in seen:
            text = f"{word} stands in confirm already; once is enough."
            yield new_problem(path, "DUPLICATE_CONFIRMATION", text)
        elif draft.get("revision", 1) == 1:
            text = f"A first revision needs no word: leave {word} out, or count revision up."
            yield new_problem(path, "CONFIRMATION_UNUSED", text)
        seen.add(word)


def _first_revision_rule(draft: _Draft) -> Iterator[Problem]:
    """Refuse what only a key set that exists can be asked for."""
    if draft.get("revision", 1) != 1:
        return
    for prefix, fields in draft.members:
        if fields.get("enabled") is False:
            text = "A key is created enabled; to disable it, send revision 2 once it is created."
            yield new_problem(f"{prefix}enabled", "NOT_IN_FIRST_REVISION", text)
    if draft.get("desiredState") == plan.DECOMMISSIONED:
        text = "A first revision creates a key set; to decommission one, count revision up."
        yield new_problem("desiredState", "NOT_IN_FIRST_REVISION", text)


def _ticket_rule(draft: _Draft) -> Iterator[Problem]:
    if draft.sound("ticket"):
        yield from guardrails.ticket_problems(draft.document.get("ticket"), draft.settings)


def _tags_rule(draft: _Draft) -> Iterator[Problem]:
    for prefix, fields in draft.members:
        tags = fields.get("tags")
        # A replica that names no tags has the primary's, which the primary's path names.
        if isinstance(tags, dict) or (tags is None and (not prefix or "tags" in fields)):
            yield from guardrails.tags_problems(f"{prefix}tags", tags or {}, draft.settings)
        if isinstance(tags, dict) and len(tags) + len(plan.OWN_TAGS) > MAX_TAGS:
            text = (
                f"A key has at most {MAX_TAGS} tags, of which {len(plan.OWN_TAGS)} are the "
                f"provisioner's ({', '.join(plan.OWN_TAGS)}); these are {len(tags)}."
            )
            yield new_problem(f"{prefix}tags", "TOO_MANY_TAGS", text)


def _policy_rule(draft: _Draft) -> Iterator[Problem]:
    for prefix, fields in draft.members:
        policy = fields.get("policy")
        if isinstance(policy, dict):
            yield from _policy_problems(draft, policy, f"{prefix}policy")


def _policy_problems(draft: _Draft, policy: JsonObject, path: str) -> Iterator[Problem]:
    partition, account_id = draft.settings.partition, draft.settings.account_id
    document = policy.get("document")
    named = [name for name in ("administrators", "users") if policy.get(name) is not None]
    if document is None and not any(policy.get(name) for name in named) and draft.sound(path):
        text = "Name administrators or users, or give a document; null is the default key policy."
        yield new_problem(path, "POLICY_EMPTY", text)
    if document is not None and named:
        text = "Give a document, or administrators and users, not both."
        yield new_problem(path, "POLICY_AMBIGUOUS", text)
    for name in named:
        if isinstance(policy[name], list):
            yield from _principal_problems(policy[name], f"{path}.{name}", draft.settings)
    if isinstance(document, dict):
        yield from draft.documents[f"{path}.document"][1]
        yield from guardrails.document_problems(f"{path}.document", document, draft.settings)
    elif draft.spec is not None and draft.sound(path):
        spec, usage, origin = draft.spec
        built = key_policy.console_policy(
            partition=partition,
            account_id=account_id,
            administrators=policy.get("administrators") or [],
            users=policy.get("users") or [],
            key_spec=spec,
            key_usage=usage,
            origin=origin,
        )
        if (size := key_policy.policy_bytes(built)) > key_policy.MAX_POLICY_BYTES:
            text = f"These principals make a policy of {size} bytes; KMS takes at most 32,768."
            yield new_problem(path, "POLICY_TOO_LARGE", text)


def _key_access_rule(draft: _Draft) -> Iterator[Problem]:
    yield from key_access.problems(_keys_under_documents(draft), draft.settings)


def _keys_under_documents(draft: _Draft) -> Iterator[key_access.Key]:
    """Return the keys whose policy is a sound document; other policies let this account in."""
    policies = {
        path: key_policy.evaluated(document, path)
        for path, (document, wrong) in draft.documents.items()
        if not wrong
    }
    if not policies:
        return
    regions = _sound_regions(draft)
    (_, primary), *_ = draft.members
    rotation = draft.get("rotation")
    period = rotation.get("periodInDays", 365) if isinstance(rotation, dict) else None
    for prefix, fields in draft.members:
        path = f"{prefix if 'policy' in fields else ''}policy.document"
        if path not in policies or (prefix and prefix not in regions):
            continue
        yield key_access.Key(
            path=path,
            policy=policies[path],
            is_primary=not prefix,
            region=regions.get(prefix),
            primary_region=regions.get(""),
            replicas=tuple(region for where, region in regions.items() if where and not prefix),
            has_alias={**primary, **fields}.get("alias") is not None,
            spec=draft.spec,
            rotation_period=period,
            wrapping=_wrapping(draft),
        )


def _sound_regions(draft: _Draft) -> dict[str, str]:
    """Return the Region of each key by the prefix of its path, each Region once."""
    found: dict[str, str] = {}
    for prefix, path, region in draft.regions:
        if not _region_problem(path, region, draft.settings) and region not in found.values():
            found[prefix] = region
    return found


def _wrapping(draft: _Draft) -> tuple[str, str] | None:
    if draft.spec is None or not draft.sound("keyMaterial"):
        return None
    material = draft.document.get("keyMaterial") or {}
    size = material.get("wrappingKeySpec", "RSA_4096")
    usual = wrapping_algorithms(draft.spec[0], size, draft.settings.partition)
    algorithm = material.get("wrappingAlgorithm") or next(iter(usual), None)
    return (algorithm, size) if algorithm else None


def _principal_problems(names: list[object], path: str, settings: Settings) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if not isinstance(name, str):
            continue  # Reported already, by the schema.
        if re.fullmatch(r"arn:.*", name) and key_policy.is_principal(name, settings.partition):
            yield from guardrails.principal_problems(f"{path}[{index}]", name, settings)
        else:
            text = (
                f"{field_texts.shown(name)} is not the ARN of an IAM principal in partition "
                f"{settings.partition}."
            )
            yield new_problem(f"{path}[{index}]", "PRINCIPAL_INVALID", text)


_RULES = (
    _region_rule,
    _key_kind_rule,
    _rotation_rule,
    _key_material_rule,
    _alias_rule,
    _tags_rule,
    _policy_rule,
    _key_access_rule,
    _ticket_rule,
    _confirm_rule,
)


_USUAL_CHANGES: dict[str, Any] = {
    "enabled": True,
    "desiredState": "ACTIVE",
    "deletionWindowInDays": plan.DELETION_WINDOW_DAYS,
    "confirm": [],
}
"""What a request says of a key set that exists, where it says nothing of it."""


def _normalised(fields: RequestFields, settings: Settings, primary_region: str) -> KeySetRequest:
    given: Json = fields.model_dump(mode="json")
    given["primaryRegion"] = fields.primaryRegion or primary_region
    given["keyUsage"] = fields.keyUsage or KEY_SPECS[fields.keySpec].usages[0]
    given["description"] = fields.description or ""
    given["tags"] = fields.tags or {}
    given["policy"] = _normalised_policy(fields.policy)
    given["keyMaterial"] = _normalised_material(fields, settings.partition)
    given["replicas"] = [_normalised_replica(replica) for replica in fields.replicas or []]
    for name, usual in _USUAL_CHANGES.items():
        if given[name] in (None, usual):
            del given[name]
    return cast(KeySetRequest, given)


def _normalised_replica(replica: ReplicaFields) -> JsonObject:
    given = replica.model_dump(mode="json", exclude_unset=True)
    if "policy" in given:
        given["policy"] = _normalised_policy(replica.policy)
    if replica.keyMaterial:
        given["keyMaterial"] = _expiry(replica.keyMaterial)
    return given


def _normalised_material(fields: RequestFields, partition: str) -> JsonObject | None:
    if fields.origin != Origin.EXTERNAL:
        return None
    given = fields.keyMaterial or KeyMaterialFields()
    usual = wrapping_algorithms(fields.keySpec, given.wrappingKeySpec, partition)[0]
    return {
        **_expiry(given),
        "wrappingAlgorithm": given.wrappingAlgorithm or usual,
        "wrappingKeySpec": given.wrappingKeySpec,
        "deadlineInDays": given.deadlineInDays,
    }


def _expiry(given: ExpiryFields) -> Expiry:
    return {"expires": given.validTo is not None, "validTo": given.validTo}


def _normalised_policy(policy: KeyPolicyFields | None) -> PolicyRequest | None:
    if policy is None:
        return None
    if policy.document is not None:
        return {"document": policy.document}
    return {
        "administrators": _without_repeats(policy.administrators or []),
        "users": _without_repeats(policy.users or []),
    }


def _without_repeats(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
