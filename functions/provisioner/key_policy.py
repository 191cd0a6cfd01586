"""Key policies: the default one, the one built from administrators and users, and a given one.

https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from provisioner import wildcards
from provisioner.errors import Problem, new_problem
from provisioner.key_specs import KeyUsage, Origin

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
    """Give the policy that KMS itself uses when CreateKey carries none."""
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


def check_policy(policy: Policy, path: str, *, partition: str, account_id: str) -> list[Problem]:
    """Find everything that is wrong with a given key policy.

    Refused are: what is not a policy, a statement that KMS would silently ignore, access for
    everyone, and a policy that leaves nobody who can change it.
    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html

    Parameters
    ----------
    path
        Where the policy stands in the request, such as `replicas[0].policy.document`.
    """
    if (size := policy_bytes(policy)) > MAX_POLICY_BYTES:
        # Nothing inside is looked at: a policy this long has to change as a whole.
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
    if not problems and _locks_out([*statements.values()], partition, account_id):
        text = (
            f"No statement lets account {account_id} change this policy later (kms:PutKeyPolicy "
            "without a condition), so KMS would refuse it or the key could never be managed. Add "
            "the statement 'Enable IAM User Permissions' of the default key policy."
        )
        problems.append(new_problem(path, "POLICY_LOCKS_OUT", text))
    return problems


def principals_let_in(policy: Policy, path: str) -> Iterator[tuple[str, str]]:
    """List the AWS principals that a given key policy lets in, each with its path.

    A Deny lets nobody in, so it may name whom it likes. What is malformed is passed over:
    `check_policy` tells of it.

    Parameters
    ----------
    path
        Where the policy stands in the request, such as `replicas[0].policy.document`.
    """
    for where, statement in _statements(policy, path).items():
        if not isinstance(statement, dict) or statement.get("Effect") == "Deny":
            continue
        principal = statement.get("Principal")
        if principal == "*":
            yield f"{where}.Principal", "*"
        named = principal.get("AWS") if isinstance(principal, dict) else None
        for place, name in _items(named, f"{where}.Principal.AWS").items():
            if isinstance(name, str):
                yield place, name


def _statements(policy: Policy, path: str) -> dict[str, Any]:
    """Map the path of each statement to the statement; nothing where there are none."""
    listed = policy.get("Statement")
    return _items(listed, f"{path}.Statement") if isinstance(listed, dict | list) else {}


def _items(given: object, path: str) -> dict[str, Any]:
    """Map paths to the items of a list; what is not in a list is one item by itself."""
    if not isinstance(given, list):
        return {path: given}
    return {f"{path}[{index}]": item for index, item in enumerate(given)}


def _account_statement(partition: str, account_id: str) -> dict[str, Any]:
    return {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{partition}:iam::{account_id}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }


def _allow(sid: str, principals: list[str], actions: list[str]) -> dict[str, Any]:
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
    if not _texts(statement, "Resource", "NotResource"):
        text = "A statement without Resource has no effect: KMS ignores it silently. Use '*'."
        yield new_problem(path, "POLICY_STATEMENT_WITHOUT_RESOURCE", text)
    if not _is_condition(statement.get("Condition", {})):
        text = (
            "Condition maps IAM's operators, such as StringEquals, to objects of condition keys, "
            "and each key to a value or a list of values."
        )
        yield new_problem(f"{path}.Condition", "POLICY_MALFORMED", text)
        return
    yield from _principal_problems(statement, path, partition)


def _is_condition(condition: object) -> bool:
    return isinstance(condition, dict) and all(
        _OPERATOR.fullmatch(operator)
        and isinstance(keys, dict)
        and all(isinstance(v, str | int | float) for given in keys.values() for v in _listed(given))
        for operator, keys in condition.items()
    )


def _listed(given: Any) -> list[Any]:
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
    for kind in services.keys() & {"Service", "Federated"}:
        if any("*" in name for name in _texts(services, kind)):
            text = f"A {kind} principal is named in full; it has no wildcards."
            yield new_problem(f"{path}.{element}", "POLICY_PRINCIPAL_INVALID", text)
    for name in _aws_principals(statement, element):
        if name != "*" and not is_principal(name, partition):
            text = (
                f"An AWS principal is an account ID, or the ARN of an account, role, user or "
                f"session in partition {partition}."
            )
            yield new_problem(f"{path}.{element}", "POLICY_PRINCIPAL_INVALID", text)
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
    path = r"[\w+=,.@/-]{1,576}"
    iam = rf"iam::\d{{12}}:(root|(role|user)/{path})"
    sts = rf"sts::\d{{12}}:(assumed-role|federated-user)/{path}"
    arn = rf"arn:{re.escape(partition)}:({iam}|{sts})"
    return re.fullmatch(rf"\d{{12}}|{arn}", name, re.ASCII) is not None


def _is_principal_map(principal: object) -> bool:
    return (
        isinstance(principal, dict)
        and bool(principal)
        and principal.keys() <= _PRINCIPAL_TYPES
        and all(_texts(principal, kind) for kind in principal)
    )


def _texts(holder: dict[str, Any], *names: str) -> list[str]:
    """Give the one text or the texts under the first of the names that is there, else nothing."""
    listed = _listed(next((holder[name] for name in names if name in holder), None))
    return listed if all(isinstance(item, str) and item for item in listed) else []


def _aws_principals(statement: Policy, element: str = "Principal") -> list[str]:
    principal = statement.get(element, {})
    return ["*"] if principal == "*" else _texts({"AWS": [], **principal}, "AWS")


def _names_its_callers(condition: Policy) -> bool:
    """Whether a condition holds the callers down to fixed values.

    A wildcard or a policy variable is not fixed, and `...IfExists`, `ForAllValues` and negated
    operators are true for callers that lack the key.
    """
    return any(
        key.lower() in _IDENTIFYING_KEYS
        and (values := _texts(keys, key))
        and not any(re.search(r"[*?]|\$\{|^0\.0\.0\.0/0$|^::/0$", value) for value in values)
        for operator, keys in condition.items()
        if _POSITIVE_OPERATOR.match(operator)
        for key in keys
    )


def _locks_out(statements: list[Policy], partition: str, account_id: str) -> bool:
    """Whether the account itself is left without an unconditional kms:PutKeyPolicy.

    KMS refuses a policy under which its caller could not change it again. The caller here is a
    role of this stack, which no request can name, so the account as a whole must be allowed.
    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html#key-policy-default-allow-root-enable-iam
    """
    account = {account_id, f"arn:{partition}:iam::{account_id}:root"}

    def concerns_us(statement: Policy) -> bool:
        if "NotPrincipal" in statement:
            return account.isdisjoint(_aws_principals(statement, "NotPrincipal"))
        return not (account | {"*"}).isdisjoint(_aws_principals(statement))

    keys = [
        f"arn:{partition}:kms:{region}:{account_id}:key/mrk-{digit * 32}"
        for region, digit in (("us-east-1", "0"), ("eu-west-1", "f"))
    ]
    ours = [
        statement
        for statement in statements
        if concerns_us(statement)
        and _covers(statement, "Action", ["kms:PutKeyPolicy"])
        and _covers(statement, "Resource", keys)
    ]
    allowed = any(s["Effect"] == "Allow" and not s.get("Condition") for s in ours)
    denied = any(s["Effect"] == "Deny" and not s.get("Condition") for s in ours)
    return denied or not allowed


def _covers(statement: Policy, element: str, names: list[str]) -> bool:
    """Whether a statement's Action or Resource, or what its opposite leaves, holds every name."""

    def listed(name: str, patterns: list[str]) -> bool:
        return any(wildcards.matches(name, pattern) for pattern in patterns)

    opposite = f"Not{element}"
    given = _texts(statement, opposite, element)
    if element == "Action":  # Of all that a statement holds, only actions have no case.
        names, given = [*map(_lower, names)], [*map(_lower, given)]
    if opposite in statement:
        return not any(listed(name, given) for name in names)
    return all(listed(name, given) for name in names)


def _lower(text: str) -> str:
    """Lower A to Z alone: a Kelvin sign is no K."""
    return re.sub("[A-Z]+", lambda letters: letters[0].lower(), text)
