"""Key policies: the default one, the one built from administrators and users, and a given one.

https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any, TypeIs

from provisioner.domain import wildcards
from provisioner.domain.key_specs import KeyUsage, Origin
from provisioner.domain.policy_evaluation import KeyPolicy
from provisioner.errors import Problem, new_problem

MAX_POLICY_BYTES = 32_768
"""https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html"""

_ADMINISTRATOR_ACTIONS = [
    *(f"kms:{verb}*" for verb in ("Create", "Describe", "Enable", "List", "Put", "Update")),
    *(f"kms:{verb}*" for verb in ("Revoke", "Disable", "Get", "Delete")),
    "kms:TagResource",
    "kms:UntagResource",
    "kms:ScheduleKeyDeletion",
    "kms:CancelKeyDeletion",
    "kms:RotateKeyOnDemand",
    "kms:ReplicateKey",
    "kms:UpdatePrimaryRegion",
]

_GRANT_ACTIONS = ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"]

_VERSIONS = ("2012-10-17", "2008-10-17")
_STATEMENT_ELEMENTS = {
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
}
_PRINCIPAL_TYPES = {"AWS", "Service", "Federated"}
_POSITIVE_OPERATOR = re.compile(
    r"(ForAnyValue:)?(String(Equals|EqualsIgnoreCase|Like)|Arn(Equals|Like)|IpAddress)\Z",
    re.I | re.A,
)
_OPERATOR = re.compile(
    r"Null|((ForAnyValue|ForAllValues):)?(String(Not)?(Equals(IgnoreCase)?|Like)"
    r"|(Numeric|Date)((Not)?Equals|(Less|Greater)Than(Equals)?)|Bool|BinaryEquals"
    r"|(Not)?IpAddress|Arn(Not)?(Equals|Like))(IfExists)?",
    re.I | re.A,
)
"""https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html"""
_IAM_ONLY_KEY = re.compile(r"(aws:ResourceTag/|kms:ResourceAliases\Z)", re.I | re.A)
_ONE_VALUE_KEY = re.compile(r"(kms:EncryptionContext:|aws:RequestTag/)", re.I | re.A)
# Keys whose value only the caller's own account, organisation, network or the calling service sets.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-resources.html
_IDENTIFYING_KEYS = {
    "aws:principalarn",
    "aws:principalaccount",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "kms:calleraccount",
}

Policy = dict[str, Any]


def default_policy(partition: str, account_id: str) -> Policy:
    """Return the policy that KMS itself uses when CreateKey carries none."""
    return {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [_account_statement(partition, account_id)],
    }


def console_policy(
    *,
    partition: str,
    account_id: str,
    administrators: list[str],
    users: list[str],
    key_spec: str,
    key_usage: str,
    origin: str,
) -> Policy:
    """Build the policy that the KMS console writes for key administrators and key users.

    Parameters
    ----------
    administrators, users
        ARNs of IAM principals. A list that is empty adds no statement.
    key_spec, key_usage, origin
        Decide which actions this kind of key has.
    """
    statements = [_account_statement(partition, account_id)]
    if administrators:
        imports = ["kms:ImportKeyMaterial"] if origin == Origin.EXTERNAL else []
        statements.append(
            _allow(
                "Allow access for Key Administrators",
                administrators,
                _ADMINISTRATOR_ACTIONS + imports,
            )
        )
    if users:
        statements.append(_allow("Allow use of the key", users, user_actions(key_spec, key_usage)))
        grants = _allow("Allow attachment of persistent resources", users, _GRANT_ACTIONS)
        grants["Condition"] = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        statements.append(grants)
    return {"Version": "2012-10-17", "Id": "key-consolepolicy-3", "Statement": statements}


def user_actions(key_spec: str, key_usage: str) -> list[str]:
    """Name the actions that key users need for this kind of key, as the console does.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html#key-policy-users-crypto
    """
    if key_spec == "SYMMETRIC_DEFAULT":
        names = ["Encrypt", "Decrypt", "ReEncrypt*", "GenerateDataKey*", "DescribeKey"]
    elif key_usage == KeyUsage.GENERATE_VERIFY_MAC:
        names = ["GenerateMac", "VerifyMac", "DescribeKey"]
    elif key_usage == KeyUsage.ENCRYPT_DECRYPT:
        names = ["Encrypt", "Decrypt", "ReEncrypt*", "DescribeKey", "GetPublicKey"]
    elif key_usage == KeyUsage.SIGN_VERIFY:
        names = ["Sign", "Verify", "DescribeKey", "GetPublicKey"]
    else:
        names = ["DeriveSharedSecret", "DescribeKey", "GetPublicKey"]
    return [f"kms:{name}" for name in names]


def policy_bytes(policy: Policy) -> int:
    """Size of the policy as it is sent, in bytes of UTF-8."""
    return len(policy_text(policy).encode())


def policy_text(policy: Policy) -> str:
    """Serialise the policy as it is sent to KMS: compact, so that 32 KB hold the most."""
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)


def check_policy(policy: Policy, path: str, *, partition: str) -> list[Problem]:
    """Find everything that is wrong with the form of a given key policy.

    Refused are: what is not a policy, a statement that KMS would ignore, what can be no principal,
    and access for everyone. Whom a sound policy locks out is `key_access`'s to say.
    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html

    Parameters
    ----------
    path
        Where the policy stands in the request, such as `replicas[0].policy.document`.
    """
    if (size := policy_bytes(policy)) > MAX_POLICY_BYTES:
        # Nothing inside is checked: a policy this long has to change as a whole.
        return [
            new_problem(
                path,
                "POLICY_TOO_LARGE",
                f"The key policy is {size} bytes long; KMS takes at most {MAX_POLICY_BYTES}.",
            )
        ]
    problems = [*_character_problems(policy, path), *_outer_problems(policy, path)]
    statements = _statements(policy, path)
    if not statements:
        where = f"{path}.Statement"
        text = "A key policy has a Statement: one object, or a list of at least one."
        return [*problems, new_problem(where, "POLICY_MALFORMED", text)]
    for where, statement in statements.items():
        problems += _statement_problems(statement, where, partition)
    return problems


def evaluated(policy: Policy, path: str) -> KeyPolicy:
    """Prepare a policy that `check_policy` finds nothing wrong with for being evaluated."""
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html
    return KeyPolicy(_statements(policy, path), policy.get("Version", _VERSIONS[1]))


def principals_let_in(policy: Policy, path: str) -> Iterator[tuple[str, str]]:
    """List the AWS principals that a given key policy lets in, each with its path.

    A Deny lets nobody in, so it may name whom it likes. Where a condition holds everyone down to
    principals or accounts, these are let in. What is malformed is passed over: `check_policy`
    reports it.

    Parameters
    ----------
    path
        Where the policy stands in the request, such as `replicas[0].policy.document`.
    """
    for where, statement in _statements(policy, path).items():
        if not isinstance(statement, dict) or statement.get("Effect") == "Deny":
            continue
        principal = statement.get("Principal")
        named = principal.get("AWS") if isinstance(principal, dict) else None
        listed = {f"{where}.Principal": "*"} if principal == "*" else {}
        for place, name in {**listed, **_items(named, f"{where}.Principal.AWS")}.items():
            if name == "*":
                held_down = _held_down_to(statement.get("Condition", {}))
                yield from ((place, held) for held in held_down or ["*"])
            elif isinstance(name, str):
                yield place, name


def principals_looked_up(policy: Policy) -> list[str]:
    """List the principals of a sound policy that KMS looks up: all but `*` and federated ones."""
    return [
        *dict.fromkeys(
            name
            for statement in _statements(policy, "").values()
            for element in ("Principal", "NotPrincipal")
            if isinstance(named := statement.get(element), dict)
            for kind in ("AWS", "Service")
            for name in _texts(named, kind)
            if name != "*"
        )
    ]


def _held_down_to(condition: object) -> list[str]:
    """Return the accounts and principals that a condition holds everyone down to, if it does."""
    for operator, keys in condition.items() if _is_condition(condition) else ():
        for key in keys if _POSITIVE_OPERATOR.match(operator) else ():
            values, name = _texts(keys, key), key.lower()
            if name in _CALLERS_KEYS and all(_is_fixed(name, value) for value in values):
                return [
                    _account_of(value) if _WILDCARD.search(value) else value for value in values
                ]
    return []


def _account_of(arn: str) -> str:
    return arn.split(":")[4]


def _statements(policy: Policy, path: str) -> dict[str, Any]:
    """Map the path of each statement to the statement; nothing where there are none."""
    listed = policy.get("Statement")
    return _items(listed, f"{path}.Statement") if isinstance(listed, dict | list) else {}


def _items(given: object, path: str) -> dict[str, Any]:
    """Map paths to the items of a list; what is not in a list is one item by itself."""
    if not isinstance(given, list):
        return {path: given}
    return {f"{path}[{index}]": item for index, item in enumerate(given)}


def _account_statement(partition: str, account_id: str) -> Policy:
    return {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{partition}:iam::{account_id}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }


def _allow(sid: str, principals: list[str], actions: list[str]) -> Policy:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": principals},
        "Action": actions,
        "Resource": "*",
    }


def _character_problems(policy: Policy, path: str) -> Iterator[Problem]:
    """Find a character that no key policy can hold; JSON writes control characters without one.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_PutKeyPolicy.html
    """
    if stranger := re.search(r"[^\x20-\xff]", policy_text(policy)):
        text = f"KMS takes no character beyond U+00FF in a key policy; U+{ord(stranger[0]):04X} is."
        yield new_problem(path, "POLICY_CHARACTERS", text)


def _outer_problems(policy: Policy, path: str) -> Iterator[Problem]:
    if policy.get("Version", _VERSIONS[0]) not in _VERSIONS:
        text = f"The policy's Version is one of {', '.join(_VERSIONS)}."
        yield new_problem(f"{path}.Version", "POLICY_MALFORMED", text)
    if not isinstance(policy.get("Id", ""), str):
        yield new_problem(f"{path}.Id", "POLICY_MALFORMED", "The policy's Id is a text.")
    for name in sorted(policy.keys() - {"Version", "Id", "Statement"}):
        text = "A key policy has Version, Id and Statement only."
        yield new_problem(f"{path}.{name[:64]}", "POLICY_MALFORMED", text)


def _statement_problems(statement: object, path: str, partition: str) -> Iterator[Problem]:
    if not isinstance(statement, dict):
        yield new_problem(path, "POLICY_MALFORMED", "A statement is a JSON object.")
        return
    for name in sorted(statement.keys() - _STATEMENT_ELEMENTS):
        text = "A key policy's statement has no such element."
        yield new_problem(f"{path}.{name[:64]}", "POLICY_MALFORMED", text)
    if statement.get("Effect") not in ("Allow", "Deny"):
        yield new_problem(f"{path}.Effect", "POLICY_MALFORMED", "Effect is Allow or Deny.")
    if not isinstance(statement.get("Sid", ""), str):
        yield new_problem(f"{path}.Sid", "POLICY_MALFORMED", "Sid is a text.")
    yield from _contradictions(statement, path)
    yield from _action_problems(statement, path)
    yield from _resource_problems(statement, path)
    if not _is_condition(statement.get("Condition", {})):
        text = (
            "Condition maps IAM's operators, such as StringEquals, to objects of condition keys, "
            "and each key to a value or a list of values."
        )
        yield new_problem(f"{path}.Condition", "POLICY_MALFORMED", text)
        return
    yield from _condition_key_problems(statement.get("Condition", {}), path)
    yield from _principal_problems(statement, path, partition)


def _resource_problems(statement: Policy, path: str) -> Iterator[Problem]:
    """Find a Resource that is not this key.

    KMS has announced to refuse statements without one from 2025-08-18 on, and that `*` is the only
    one that it accepts.
    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html#key-policy-elements
    """
    name = "NotResource" if "NotResource" in statement else "Resource"
    resources = _texts(statement, name)
    if not resources:
        text = "A statement without Resource has no effect: KMS refuses or ignores it. Use '*'."
        yield new_problem(path, "POLICY_STATEMENT_WITHOUT_RESOURCE", text)
    elif "Resource" not in statement or any(resource != "*" for resource in resources):
        text = (
            "The Resource of a key policy is '*', which means this key. A statement with anything "
            "else, such as the ARN of a key or a bucket, has no effect."
        )
        yield new_problem(f"{path}.{name}", "POLICY_RESOURCE_IGNORED", text)


def _condition_key_problems(condition: Policy, path: str) -> Iterator[Problem]:
    """Find conditions that KMS does not take in a key policy.

    https://docs.aws.amazon.com/kms/latest/developerguide/abac.html#about-abac-kms
    https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
    """
    for operator, key in ((operator, key) for operator, keys in condition.items() for key in keys):
        where = f"{path}.Condition.{operator}.{key}"
        if _IAM_ONLY_KEY.match(key):
            text = (
                "KMS takes conditions on a key's own tags and aliases in IAM policies only, not in "
                "a key policy."
            )
            yield new_problem(where, "POLICY_CONDITION_NOT_TAKEN", text)
        if operator.lower().startswith("forallvalues:") and _ONE_VALUE_KEY.match(key):
            text = (
                "KMS does not take ForAllValues for an encryption context or a tag, since it holds "
                "for requests without one. Leave ForAllValues out."
            )
            yield new_problem(where, "POLICY_CONDITION_NOT_TAKEN", text)


def _is_condition(condition: object) -> TypeIs[Policy]:
    return isinstance(condition, dict) and all(
        _OPERATOR.fullmatch(operator)
        and isinstance(keys, dict)
        and all(isinstance(v, str | int | float) for given in keys.values() for v in _listed(given))
        for operator, keys in condition.items()
    )


def _listed(given: object) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _contradictions(statement: Policy, path: str) -> Iterator[Problem]:
    for name in ("Principal", "Action", "Resource"):
        if {name, f"Not{name}"} <= statement.keys():
            text = f"A statement has {name} or Not{name}, not both."
            yield new_problem(path, "POLICY_MALFORMED", text)


def _action_problems(statement: Policy, path: str) -> Iterator[Problem]:
    name = "NotAction" if "NotAction" in statement else "Action"
    value = statement.get(name)
    if value in (None, "", []):
        text = "A statement without Action has no effect: KMS ignores it silently."
        yield new_problem(path, "POLICY_STATEMENT_WITHOUT_ACTION", text)
        return
    actions = _texts(statement, name)
    if not actions:
        text = f"{name} is a text, or a list of texts."
        yield new_problem(f"{path}.{name}", "POLICY_MALFORMED", text)
    for index, action in enumerate(actions):
        if action != "*" and not re.match("kms:", action, re.IGNORECASE | re.ASCII):
            where = f"{path}.{name}" + (f"[{index}]" if isinstance(value, list) else "")
            text = "An action of a key policy begins with 'kms:' or is '*'."
            yield new_problem(where, "POLICY_ACTION_NOT_KMS", text)


def _principal_problems(statement: Policy, path: str, partition: str) -> Iterator[Problem]:
    if "NotPrincipal" in statement and statement.get("Effect") == "Allow":
        text = "Allow with NotPrincipal gives access to everyone else in the world."
        yield new_problem(f"{path}.NotPrincipal", "POLICY_OPEN_TO_ALL", text)
        return
    element = "NotPrincipal" if "NotPrincipal" in statement else "Principal"
    principal = statement.get(element)
    if principal != "*" and not _is_principal_map(principal):
        text = "A statement names its Principal: '*', or an object such as {\"AWS\": [ARNs]}."
        yield new_problem(f"{path}.{element}", "POLICY_MALFORMED", text)
        return
    services = principal if isinstance(principal, dict) else {}
    faults = [
        *(_service_fault(name, partition) for name in _texts(services, "Service")),
        *(_federated_fault(name) for name in _texts(services, "Federated")),
        *(_aws_fault(name, partition) for name in _aws_principals(statement, element)),
    ]
    for fault in dict.fromkeys(filter(None, faults)):
        yield new_problem(f"{path}.{element}", "POLICY_PRINCIPAL_INVALID", fault)
    if (
        statement.get("Effect") == "Allow"
        and "*" in _aws_principals(statement, element)
        and not _names_its_callers(statement.get("Condition", {}))
    ):
        text = (
            "The principal '*' is everyone in the world. Name principals, or add a condition with "
            "a fixed value, such as StringEquals aws:PrincipalOrgID."
        )
        yield new_problem(f"{path}.Principal", "POLICY_OPEN_TO_ALL", text)


def is_principal(name: str, partition: str) -> bool:
    """Whether a key policy can name this as an AWS principal of the partition."""
    return name != "*" and _aws_fault(name, partition) is None


def _aws_fault(name: str, partition: str) -> str | None:
    """Say what keeps this from being an AWS principal of the partition.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
    """
    word, path = r"[\w+=,.@-]{1,64}", r"[\w+=,.@/-]{0,575}[\w+=,.@-]"
    iam = rf"iam::\d{{12}}:(root|(role|user)/{path})"
    sts = rf"sts::\d{{12}}:(assumed-role/{word}|federated-user)/{word}"
    arn = rf"arn:{re.escape(partition)}:({iam}|{sts})"
    if name == "*" or re.fullmatch(rf"\d{{12}}|{arn}", name, re.ASCII):
        return None
    if re.fullmatch(rf"arn:[\w-]+:sts::\d{{12}}:assumed-role/{word}/?", name, re.ASCII):
        return f"A session's ARN ends with the name of the session; {_shown(name)} has none."
    if re.fullmatch(r"arn:[\w-]+:iam::\d{12}:(role|user)/.*/", name, re.ASCII):
        return f"The ARN of a role or user ends with its name, not with a slash: {_shown(name)}."
    return (
        f"An AWS principal is an account ID, or the ARN of an account, role, user or session in "
        f"partition {partition}; {_shown(name)} is none."
    )


def _service_fault(name: str, partition: str) -> str | None:
    """Say what keeps this from being a service principal of the partition."""
    domains = _SERVICE_DOMAINS.get(partition, _SERVICE_DOMAINS["aws"])
    service = name.removesuffix(next((d for d in domains if name.endswith(d)), ""))
    if service != name and re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", service):
        return None
    if name.startswith("arn:"):
        return f"An ARN stands under AWS, not under Service: {_shown(name)}."
    return (
        f"A Service principal is named in full, ends in {' or '.join(domains)} and has no "
        f"wildcards; {_shown(name)} is none."
    )


_SERVICE_DOMAINS = {
    "aws": (".amazonaws.com",),
    "aws-cn": (".amazonaws.com.cn", ".amazonaws.com"),
    "aws-iso": (".c2s.ic.gov", ".amazonaws.com"),
    "aws-iso-b": (".sc2s.sgov.gov", ".amazonaws.com"),
}
"""How service principals end. In China some services keep the domain of the other Regions.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-services
"""


def _federated_fault(name: str) -> str | None:
    if "*" in name:
        return f"A Federated principal is named in full and has no wildcards: {_shown(name)}."
    return None


def _shown(name: str) -> str:
    """Write what a caller named so that it cannot break a sentence."""
    return ascii(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}...")


def _is_principal_map(principal: object) -> bool:
    return (
        isinstance(principal, dict)
        and bool(principal)
        and principal.keys() <= _PRINCIPAL_TYPES
        and all(_texts(principal, kind) for kind in principal)
    )


def _texts(holder: Policy, *names: str) -> list[str]:
    """Return the one text or the texts under the first of the names that is there, else nothing."""
    listed = _listed(next((holder[name] for name in names if name in holder), None))
    return listed if all(isinstance(item, str) and item for item in listed) else []


def _aws_principals(statement: Policy, element: str = "Principal") -> list[str]:
    principal = statement.get(element, {})
    return ["*"] if principal == "*" else _texts({"AWS": [], **principal}, "AWS")


def _names_its_callers(condition: Policy) -> bool:
    """Whether a condition holds the callers down to fixed values.

    A wildcard or a policy variable is not fixed, except behind what already fixes the account, the
    organisation or the role. `...IfExists`, `ForAllValues` and negated operators are true for
    callers that lack the key.
    """
    return any(
        key.lower() in _IDENTIFYING_KEYS
        and (values := _texts(keys, key))
        and all(_is_fixed(key.lower(), value) for value in values)
        for operator, keys in condition.items()
        if _POSITIVE_OPERATOR.match(operator)
        for key in keys
    )


def _is_fixed(key: str, value: str) -> bool:
    if "${" in value:
        return False
    prefix = _FIXED_PREFIXES.get(key)
    if prefix and prefix.match(value):
        return True
    return not _WILDCARD.search(value) and value not in ("0.0.0.0/0", "::/0")


# What a wildcard may follow: AWS recommends such patterns for permission sets and organisations.
# https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
_OF_AN_ACCOUNT = re.compile(r"arn:[a-z-]+:[a-z-]+:[a-z0-9-]*:\d{12}:", re.A)
_OF_AN_ORGANISATION = re.compile(r"o-[a-z0-9]{10,32}/", re.A)
_WILDCARD = re.compile("[*?]")
_CALLERS_KEYS = {"aws:principalarn", "aws:principalaccount", "kms:calleraccount"}
"""Identifying keys that say which account the caller is of."""
_FIXED_PREFIXES = {
    "aws:principalarn": _OF_AN_ACCOUNT,
    "aws:sourcearn": _OF_AN_ACCOUNT,
    "aws:principalorgpaths": _OF_AN_ORGANISATION,
    "aws:sourceorgpaths": _OF_AN_ORGANISATION,
    "aws:userid": re.compile(r"A[A-Z]{3}[A-Z0-9]{12,}:", re.A),
}


def account_warnings(given: Policy, path: str, own_account: str) -> Iterator[Problem]:
    """Find which other accounts a policy lets in, as a whole or by some of their principals.

    Parameters
    ----------
    given
        A request's policy: administrators and users, or a document.
    path
        Where it stands in the request.
    """
    named = [
        *(
            (place, name)
            for role in ("administrators", "users")
            for place, name in _items(given.get(role) or [], f"{path}.{role}").items()
        ),
        *principals_let_in(given.get("document") or {}, f"{path}.document"),
    ]
    whole: dict[str, str] = {}
    partly: dict[str, str] = {}
    for place, name in named:
        account = name if name.isdigit() else _account_of(name) if ":" in name else ""
        if account not in ("", own_account):
            is_whole = name == account or name.endswith(":root")
            (whole if is_whole else partly).setdefault(account, place)
    for account, place in whole.items():
        text = f"This lets in the whole account {account}, which decides who of it comes."
        yield new_problem(place, "POLICY_LETS_IN_ACCOUNT", text)
    for account, place in partly.items():
        if account not in whole:
            text = f"This lets in principals of another account, {account}."
            yield new_problem(place, "POLICY_LETS_IN_ACCOUNT", text)


def region_warnings(
    policy: Policy, path: str, regions: Collection[str], known: Collection[str]
) -> Iterator[Problem]:
    """Find what names some Regions and not that of each key with the policy.

    Parameters
    ----------
    path
        Where the policy stands in the request.
    regions
        Those of the keys that have it, replicas that inherit it among them.
    known
        Every Region of the partition.
    """
    for where, statement in _statements(policy, path).items():
        for place, texts in _places(statement, where):
            gaps = [
                (region, named)
                for named in _regions_named(texts, known)
                for region in regions
                if not any(wildcards.matches(region, name) for name in named)
            ]
            if gaps:
                missing = [*dict.fromkeys(region for region, _ in gaps)]
                text = (
                    f"This names {_few(sorted(set[str]().union(*(named for _, named in gaps))))}, "
                    f"and not {_few(missing)}, where a key has this policy. Name that Region, "
                    "too, or have a replica there with a policy of its own."
                )
                yield new_problem(place, "POLICY_NAMES_OTHER_REGION", text)


def _places(statement: Policy, path: str) -> Iterator[tuple[str, list[str]]]:
    """List what can name a Region in a statement: service principals and condition values."""
    principal = statement.get("Principal")
    if isinstance(principal, dict) and "Service" in principal:
        yield f"{path}.Principal.Service", _texts(principal, "Service")
    for operator, keys in statement.get("Condition", {}).items():
        for key in keys:
            yield f"{path}.Condition.{operator}.{key}", _texts(keys, key)


def _regions_named(texts: Iterable[str], known: Collection[str]) -> list[set[str]]:
    """Return the Regions in texts, those together that are in the same place of the same text.

    A wildcard in that place stands beside them: `s3.*.amazonaws.com` is about every Region.
    """
    named: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for text in texts:
        parts = re.split("[.:/]", text)
        for place, part in enumerate(parts[:_REGION_WITHIN]):
            if part in known or "*" in part or "?" in part:
                named[str(place), *parts[:place], *parts[place + 1 : _REGION_WITHIN]].add(part)
    return [names for names in named.values() if not names.isdisjoint(known)]


def _few(names: list[str]) -> str:
    return ", ".join([*names[:_SHOWN_NAMES], *(["and more"] if len(names) > _SHOWN_NAMES else [])])


_REGION_WITHIN = 12
"""A Region is among the first parts of an ARN or a service's name."""
_SHOWN_NAMES = 6
_SHOWN_CHARACTERS = 80
