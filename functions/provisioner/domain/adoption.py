"""What adopting a key set that exists comes to: its declaration, what differs, who else manages it.

Nothing here calls AWS. An adoption writes the provisioner's own tags and nothing else, so whatever
else a declaration would change is a difference, and refused.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from provisioner.domain import key_policy
from provisioner.domain.change import ObservedKey, ObservedSet, is_leaving, plan_change
from provisioner.domain.key_specs import Origin
from provisioner.domain.operation import Adoption
from provisioner.domain.plan import (
    OWN_TAG_PREFIX,
    OWN_TAGS,
    ROTATION,
    STACK_TAG,
    KeySetRequest,
    RegionNames,
    own_tags,
    plan_key,
    plan_policy,
    regions,
)
from provisioner.domain.policy_meaning import same_meaning
from provisioner.errors import Problem, new_problem
from provisioner.json_text import Json, JsonObject
from provisioner.settings import Settings

MAX_TAGS = 50
"""Tags with the prefix `aws:` do not count.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-resource-tags.html
"""
_AT_REST = ("Enabled", "Disabled")


@dataclass(frozen=True)
class AdoptionRequest:
    """What is asked. `request` is None where the document declares nothing.

    The operationId in `adoption` is a new one; the same adoption may be under way with another.
    """

    document: JsonObject
    adoption: Adoption
    request_id: str
    request: KeySetRequest | None


@dataclass(frozen=True)
class FoundSet:
    """A key set as KMS has it, whoever made it.

    `observed` has every key, each with all of its tags and of its aliases. `valid_to` is when
    imported key material expires, by Region, ISO 8601 in UTC or None.
    """

    key_spec: str
    key_usage: str
    origin: str
    observed: ObservedSet
    valid_to: Mapping[str, str | None]


class Difference(TypedDict):
    """One thing in which a declaration and KMS differ.

    `path` is the field of the document, `region` the key's, `property` as in the changes of a plan.
    `kms` and `declared` are its values there and here, None where there is none.
    """

    path: str
    region: str
    property: str
    kms: Json
    declared: Json


def declaration_of(
    found: FoundSet, given: JsonObject, unmanaged: list[str], settings: Settings
) -> JsonObject:
    """Return the complete declaration that a key set amounts to, as a request states it.

    What `given` says with the same meaning stays in its words: the names of key administrators and
    key users, or the alias among several of a key. A replica has only what differs from the primary
    key. `alias` is null where the primary key has none, which no request may say: it needs one.

    Parameters
    ----------
    given
        The request as far as there is one; its `requestId`, `revision`, `ticket` and `onFailure`
        are taken over.
    """
    home = found.observed["primaryRegion"]
    keys, given_replicas = found.observed["keys"], _replicas(given)
    primary = _settings_of(found, keys[home], given, given, settings)
    declared: JsonObject = {
        **{name: given[name] for name in _KEPT if name in given},
        "primaryRegion": home,
        "keySpec": found.key_spec,
        "keyUsage": found.key_usage,
        "origin": found.origin,
        **primary,
    }
    if (period := keys[home]["rotationPeriodInDays"]) is not None:
        declared["rotation"] = {"periodInDays": period}
    kept = [name for name in given_replicas if name in keys and name != home]
    others = [*kept, *sorted(keys.keys() - {home, *kept})]
    declared["replicas"] = [
        {"region": region, **_own(primary, settings_there, settings)}
        for region in others
        if region not in unmanaged
        for settings_there in [
            _settings_of(
                found, keys[region], {**given, **given_replicas.get(region, {})}, given, settings
            )
        ]
    ]
    return declared


_KEPT = ("requestId", "revision", "onFailure", "ticket")


def _replicas(given: JsonObject) -> dict[str, JsonObject]:
    replicas = given.get("replicas")
    return {
        one["region"]: one
        for one in (replicas if isinstance(replicas, list) else [])
        if isinstance(one, dict) and isinstance(one.get("region"), str)
    }


def _settings_of(
    found: FoundSet, key: ObservedKey, said: JsonObject, given: JsonObject, settings: Settings
) -> JsonObject:
    """Return what a request states of one key; `said` is what `given` states of it."""
    names = sorted(name for name, owner in key["aliases"].items() if owner == key["arn"])
    alias = said.get("alias")
    stated: JsonObject = {
        "alias": alias if alias in names else next(iter(names), None),
        "description": key["description"],
        "tags": {n: v for n, v in key["tags"].items() if not _is_reserved(n)},
        "policy": _policy(found, key, said.get("policy"), given, settings),
    }
    if key["keyState"] == "Disabled":
        stated["enabled"] = False
    if valid_to := found.valid_to.get(key["region"]):
        stated["keyMaterial"] = {"expires": True, "validTo": valid_to}
    return stated


def _policy(
    found: FoundSet, key: ObservedKey, said: Json, given: JsonObject, settings: Settings
) -> Json:
    has = key["policy"]
    if has is None:
        return None
    kind: Any = {
        **given,
        "keySpec": found.key_spec,
        "keyUsage": found.key_usage,
        "origin": found.origin,
    }
    if isinstance(said, dict) and _means(plan_policy(kind, said, settings), has, settings):  # type: ignore[arg-type]
        return said
    default = key_policy.default_policy(settings.partition, settings.account_id)
    return None if _means(default, has, settings) else {"document": has}


def _means(policy: key_policy.Policy, has: key_policy.Policy, settings: Settings) -> bool:
    return same_meaning(has, policy, partition=settings.partition)


def _own(primary: JsonObject, there: JsonObject, settings: Settings) -> JsonObject:
    """Return what a replica key has of its own. A key is enabled or not by itself."""
    own = {
        name: there.get(name)
        for name in ("alias", "description", "tags", "keyMaterial")
        if there.get(name) != primary.get(name)
    }
    if not _same_policy(primary["policy"], there["policy"], settings):
        own["policy"] = there["policy"]
    if "enabled" in there:
        own["enabled"] = there["enabled"]
    return own


def _same_policy(one: Json, other: Json, settings: Settings) -> bool:
    documents = [p.get("document") if isinstance(p, dict) else None for p in (one, other)]
    first, second = documents
    if isinstance(first, dict) and isinstance(second, dict):
        return _means(first, second, settings)
    return bool(one == other)


def _is_reserved(tag: str) -> bool:
    return tag.lower().startswith(("aws:", OWN_TAG_PREFIX))


def differences(
    found: FoundSet, declared: KeySetRequest, unmanaged: list[str], settings: Settings
) -> list[Difference]:
    """List in what a declaration differs from the key set that it is to adopt.

    Tags and aliases that the declaration does not name are none: they stay, and are nobody's
    business here. Its own tags are what an adoption writes.
    """
    observed, home = found.observed, declared["primaryRegion"]
    named = [*regions(declared)]
    kinds = {"keySpec": found.key_spec, "keyUsage": found.key_usage, "origin": found.origin}
    differing: list[Difference] = [
        _difference(name, home, name, has, declared[name])  # type: ignore[literal-required]
        for name, has in kinds.items()
        if has != declared[name]  # type: ignore[literal-required]
    ]
    differing += [
        _difference("replicas", region, "region", region, None)
        for region in sorted(observed["keys"].keys() - {*named, *unmanaged})
    ]
    differing += [
        _difference(f"unmanaged[{index}]", region, "region", None, region)
        for index, region in enumerate(unmanaged)
        if region not in observed["keys"] or region == observed["primaryRegion"]
    ]
    missing = [region for region in named if region not in observed["keys"]]
    rotates: RegionNames = {home: {"aliases": [], "tags": [], "settings": [ROTATION]}}
    states = _states(found, declared)
    for change in plan_change(declared, declared, observed, settings, rotates):
        what, region = change["property"], change["region"]
        is_ours = what.removeprefix("tags.") in OWN_TAGS
        is_known = what in ("keyState", "policy") or (region in missing and what != "region")
        if not is_ours and not is_known:
            path = _path(what, region, declared)
            differing.append(_difference(path, region, what, change["from"], change["to"]))
    policies = _policies(found, declared, settings)
    return [*differing, *states, *policies, *_expiries(found, declared, settings)]


def _states(found: FoundSet, declared: KeySetRequest) -> list[Difference]:
    """Find keys in another state than declared, also those that are on their way somewhere."""
    differing = []
    replicas = {one["region"]: one for one in declared["replicas"]}
    for region in regions(declared):
        key = found.observed["keys"].get(region)
        own: Mapping[str, Any] = replicas.get(region, declared)
        wanted = "Enabled" if own.get("enabled", True) else "Disabled"
        if key and key["keyState"] != wanted:
            field = "enabled" if key["keyState"] in _AT_REST else "region"
            path = _path(field, region, declared)
            differing.append(_difference(path, region, "keyState", key["keyState"], wanted))
    return differing


def _policies(found: FoundSet, declared: KeySetRequest, settings: Settings) -> Iterator[Difference]:
    """Find key policies of another meaning.

    A change leaves one as it is that lacks nothing but principals which are gone. Here nobody has
    ever said which they were.
    """
    for region in regions(declared):
        if key := found.observed["keys"].get(region):
            has, wanted = key["policy"], plan_key(declared, region, settings).policy
            if has is None or not _means(wanted, has, settings):
                yield _difference(_path("policy", region, declared), region, "policy", has, wanted)


def _expiries(found: FoundSet, declared: KeySetRequest, settings: Settings) -> Iterator[Difference]:
    if declared["origin"] != Origin.EXTERNAL or found.origin != Origin.EXTERNAL:
        return
    for region in regions(declared):
        key = found.observed["keys"].get(region)
        if key is None or key.get("lacksMaterial"):
            continue
        expiry, has = plan_key(declared, region, settings).expiry, found.valid_to.get(region)
        wanted = expiry["validTo"] if expiry else None
        if has != wanted:
            path = _path("keyMaterial.validTo", region, declared)
            yield _difference(path, region, "validTo", has, wanted)


def _path(field: str, region: str, declared: KeySetRequest) -> str:
    if field == "primaryRegion":
        return field
    index = regions(declared).index(region) - 1
    if index >= 0:
        return f"replicas[{index}].{field}"
    return "primaryRegion" if field == "region" else field


def _difference(path: str, region: str, what: str, has: Json, wanted: Json) -> Difference:
    return {"path": path, "region": region, "property": what, "kms": has, "declared": wanted}


def difference_problem(difference: Difference) -> Problem:
    """Phrase a difference as a reason for not adopting a key set (`ADOPTION_DIFFERS`)."""
    what, region, path = difference["property"], difference["region"], difference["path"]
    has, wanted = difference["kms"], difference["declared"]
    if path.startswith("unmanaged"):
        text = f"The set has no replica key in {region}; take it out of unmanaged."
    elif what == "region" and wanted is None:
        text = (
            f"The set has a key in {region} that is not declared. Declare it in replicas, or name "
            f"the Region in unmanaged."
        )
    elif what == "region":
        text = f"The set has no key in {region}. Take it out of replicas; adopted, add it."
    elif what == "keyState" and has not in _AT_REST:
        text = f"The key in {region} is {has}. Wait until it is {wanted}, or make it so."
    elif what == "policy":
        text = f"The key in {region} has another key policy. {_COPY}"
    else:
        text = (
            f"{_name(what)} of the key in {region}: KMS has {_shown(has)}, declared is "
            f"{_shown(wanted)}. {_COPY}"
        )
    return new_problem(path, "ADOPTION_DIFFERS", text)


_COPY = "Declare what KMS has (plan=true returns it), and change it with the next revision."
_SHOWN = 200


def _name(what: str) -> str:
    kind, _, tag = what.partition(".")
    return f"The tag {tag}" if kind == "tags" else what


def _shown(value: Json) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return f"{value.get('periodInDays')} days"
    return f"{value!s:.{_SHOWN}}" if value != "" else "an empty one"


def manager_problems(
    found: FoundSet, request_id: str, unmanaged: list[str], settings: Settings
) -> list[Problem]:
    """Find who else manages a key set, by the tags that other tools set (`OTHER_MANAGER`).

    Nobody else's tags can prove that nobody else manages it: Terraform by itself sets none.
    """
    seen: dict[str, list[str]] = {}
    for region, key in sorted(found.observed["keys"].items()):
        if region not in unmanaged:
            for manager in managers(key["tags"], settings):
                seen.setdefault(manager, []).append(region)
    return [
        new_problem(
            "takeOver",
            "OTHER_MANAGER",
            f"{manager} manages the key in {', '.join(where)}, by its tags. Two managers undo each "
            "other's work: let that one forget the keys without deleting them, or send takeOver "
            f"true if {request_id} is to manage them all the same.",
        )
        for manager, where in seen.items()
    ]


def tag_problems(
    found: FoundSet, request_id: str, unmanaged: list[str], settings: Settings
) -> list[Problem]:
    """Find keys that have no room for the tags of the provisioner (`TOO_MANY_TAGS`).

    https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html
    """
    problems = []
    for region, key in sorted(found.observed["keys"].items()):
        counted = [name for name in key["tags"] if not name.lower().startswith("aws:")]
        number = len({*counted, *own_tags(request_id, settings)})
        if region not in unmanaged and number > MAX_TAGS:
            text = (
                f"The key in {region} has {len(counted)} tags, and a key has at most {MAX_TAGS}, "
                "two of which would be the provisioner's. Take some away first."
            )
            problems.append(new_problem("keyArn", "TOO_MANY_TAGS", text))
    return problems


_TOOLS = {
    "terraform": "Terraform",
    "opentofu": "OpenTofu",
    "terragrunt": "Terragrunt",
    "cloudformation": "CloudFormation",
    "cdk": "AWS CDK",
    "pulumi": "Pulumi",
    "crossplane": "Crossplane",
    "ansible": "Ansible",
    "kro": "kro",
}
"""What people write who tag with which tool they made something."""
_SAYS_WHO = re.compile(
    r"(?:.*[/:])?(?:managed|created|deployed|provisioned)[-_ .]?(?:by|with)|provisioner|iac"
    r"|(?:iac|deployment)[-_ ]?tool",
    re.IGNORECASE,
)
_OWN_PREFIXES = {
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-resource-tags.html
    "aws:cloudformation:": "CloudFormation",
    "aws:servicecatalog:": "AWS Service Catalog",
    # https://aws-controllers-k8s.github.io/community/docs/user-docs/ack-tags/
    "services.k8s.aws/": "AWS Controllers for Kubernetes",
    # GetExternalTags of crossplane-runtime.
    "crossplane-": "Crossplane",
    "pulumi:": "Pulumi",
}
_CLOUDFORMATION_STACK = "aws:cloudformation:stack-name"


def managers(tags: Mapping[str, str], settings: Settings) -> list[str]:
    """Name who else manages a key by its tags, each once."""
    found = []
    stack = tags.get(STACK_TAG)
    if stack not in (None, settings.stack_name):
        found.append(f"The provisioner's stack {stack}")
    for name, value in sorted(tags.items()):
        if manager := _manager(name, value):
            stack = tags.get(_CLOUDFORMATION_STACK)
            is_stack = manager == "CloudFormation" and stack
            found.append(f"The CloudFormation stack {stack}" if is_stack else manager)
    return list(dict.fromkeys(found))


def _manager(name: str, value: str) -> str | None:
    for prefix, manager in _OWN_PREFIXES.items():
        if name.lower().startswith(prefix):
            return manager
    if name.lower() in _TOOLS:  # As in Terraform=true.
        return None if value.lower() in ("false", "no", "0") else _TOOLS[name.lower()]
    if _SAYS_WHO.fullmatch(name):
        words = re.split(r"[^a-z]+", value.lower())
        return next((_TOOLS[word] for word in words if word in _TOOLS), None)
    return None


def is_managed_region(key: ObservedKey, unmanaged: list[str]) -> bool:
    """Whether a key of a found set is to be adopted."""
    return key["region"] not in unmanaged and not is_leaving(key)
