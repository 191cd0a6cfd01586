"""Key policies for hypothesis, every way to write one, and every kind of change that is a change.

A policy is drawn in one plain form: lists everywhere, nothing twice, lower case where case does not
count, texts for booleans and numbers, an account by its root's ARN. `spelled` writes it otherwise
and leaves what it means; each of `CHANGES` changes what it means, or may do so.
"""

from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.support.samples import ACCOUNT, ADMIN, ROOT, USER

OTHER = "arn:aws:iam::444455556666:root"
GONE = "AROAEXAMPLEEXAMPLE123"
Policy = dict[str, Any]

_ACCOUNTS = {ROOT: ACCOUNT, OTHER: "444455556666"}
_PRINCIPALS = [ROOT, OTHER, ADMIN, USER, GONE]
_ACTIONS = ["kms:decrypt", "kms:describekey", "kms:get*", "kms:putkeypolicy", "kms:*", "*"]
_RESOURCES = ["*", "arn:aws:kms:us-east-1:111122223333:key/mrk-1", "arn:aws:s3:::bucket"]
_CONDITIONS = {
    "Bool": {"aws:securetransport": ["true"], "kms:multiregion": ["false", "true"]},
    "NumericLessThan": {"kms:rotationperiodindays": ["180", "365", "0.5"]},
    "StringEquals": {
        "kms:calleraccount": [ACCOUNT, "444455556666"],
        "kms:encryptioncontext:app": ["Cards", "Loans"],
        "aws:principalarn": [ROOT, USER],
    },
    "ForAnyValue:StringLike": {"kms:encryptioncontextkeys": ["App*", "Team"]},
}


def _some(choices: list[str]) -> st.SearchStrategy[list[str]]:
    return st.sets(st.sampled_from(choices), min_size=1).map(sorted)


_principals = st.one_of(
    st.just("*"),
    st.fixed_dictionaries({"AWS": _some(_PRINCIPALS)}),
    st.fixed_dictionaries(
        {"AWS": _some(_PRINCIPALS), "Service": _some(["s3.amazonaws.com", "sns.amazonaws.com"])}
    ),
)
_conditions = st.fixed_dictionaries(
    {},
    optional={
        operator: st.fixed_dictionaries(
            {}, optional={key: _some(values) for key, values in keys.items()}
        ).filter(bool)
        for operator, keys in _CONDITIONS.items()
    },
)


@st.composite
def _statements(draw: st.DrawFn) -> Policy:
    no = st.sampled_from(["", "", "", "Not"])
    effect = draw(st.sampled_from(["Allow", "Deny"]))
    statement = {
        "Effect": effect,
        ("" if effect == "Allow" else draw(no)) + "Principal": draw(_principals),
        draw(no) + "Action": draw(_some(_ACTIONS)),
        draw(no) + "Resource": draw(_some(_RESOURCES)),
    }
    sid = draw(st.sampled_from(["", "Use", "Administration"]))
    condition = draw(_conditions)
    return (
        statement | ({"Sid": sid} if sid else {}) | ({"Condition": condition} if condition else {})
    )


RICH: Policy = {
    "Sid": "Rich",
    "Effect": "Allow",
    "Principal": {"AWS": [ADMIN, ROOT], "Service": ["s3.amazonaws.com"]},
    "Action": ["kms:decrypt", "kms:get*"],
    "Resource": ["*"],
    "Condition": _CONDITIONS,
}
"""A statement on which every change can be made."""


def policies() -> st.SearchStrategy[Policy]:
    """Return policies of which no statement stands twice, and one is `RICH`."""
    listed = st.lists(_statements(), max_size=3, unique_by=repr)
    versions = st.sampled_from([{"Version": "2012-10-17"}, {"Version": "2008-10-17"}, {}])
    ids = st.sampled_from([{"Id": "key-default-1"}, {}])
    return st.builds(
        lambda *parts: {**parts[0], **parts[1], "Statement": [deepcopy(RICH), *parts[2]]},
        *(versions, ids, listed),
    )


# Other ways to write a policy


def spelled(policy: Policy, random: Random) -> Policy:
    """Write a policy in another way that means the same."""
    again = policy["Statement"][: random.randrange(2)]
    statements = [_spelled_statement(one, random) for one in [*policy["Statement"], *again]]
    random.shuffle(statements)
    listed: Any = statements[0] if len(statements) == 1 and random.random() < 1 / 2 else statements
    return _shuffled({**_perhaps_empty(policy, {"Id": ""}, random), "Statement": listed}, random)


def _spelled_statement(statement: Policy, random: Random) -> Policy:
    form = _perhaps_empty(statement, {"Sid": "", "Condition": {}}, random)
    for name, value in statement.items():
        if name.endswith("Principal") and value != "*":
            form[name] = {
                kind: _listed([_spelled_principal(one, random) for one in names], random)
                for kind, names in _shuffled(value, random).items()
            }
        elif name.endswith("Action"):
            form[name] = _listed([_recased(one, random) for one in value], random)
        elif name.endswith("Resource"):
            form[name] = _listed(value, random)
        elif name == "Condition":
            form[name] = {
                operator: _spelled_keys(keys, random)
                for operator, keys in _shuffled(value, random).items()
            }
    return _shuffled(form, random)


def _spelled_keys(keys: Policy, random: Random) -> Policy:
    return {
        _recased(key, random): _listed([_spelled_value(one, random) for one in values], random)
        for key, values in _shuffled(keys, random).items()
    }


def _perhaps_empty(element: Policy, empty: Policy, random: Random) -> Policy:
    return {name: value for name, value in empty.items() if random.random() < 1 / 2} | element


def _spelled_principal(name: str, random: Random) -> str:
    return _ACCOUNTS.get(name, name) if random.random() < 1 / 2 else name


def _spelled_value(text: str, random: Random) -> Any:
    plain = {"true": True, "false": False, "180": 180, "365": 365, "0.5": 0.5}
    return plain.get(text, text) if random.random() < 1 / 2 else text


def _recased(text: str, random: Random) -> str:
    return random.choice([text, text.upper(), text.title(), text.replace("k", "K")])


def _listed(values: list[Any], random: Random) -> Any:
    if len(values) == 1 and random.random() < 1 / 2:
        return values[0]
    listed = values + values[: random.randrange(2)]
    random.shuffle(listed)
    return listed


def _shuffled(fields: Policy, random: Random) -> Policy:
    names = [*fields]
    random.shuffle(names)
    return {name: fields[name] for name in names}


# Changes


def _renamed(fields: Policy, old: str, new: str) -> None:
    fields[new] = fields.pop(old)


def _on_rich(change: Callable[[Policy], Any]) -> Callable[[Policy], Any]:
    """Make a change on the statement that is `RICH`."""
    return lambda policy: change(policy["Statement"][0])


def _on_condition(change: Callable[[Policy], Any]) -> Callable[[Policy], Any]:
    return _on_rich(lambda statement: change(statement["Condition"]))


def _other_version(policy: Policy) -> None:
    versions = [None, "2008-10-17", "2012-10-17"]
    new = versions[versions.index(policy.pop("Version", None)) - 1]
    policy |= {"Version": new} if new else {}


CHANGES: dict[str, Callable[[Policy], Any]] = {
    "another version, or none": _other_version,
    "another ID": lambda p: p.update(Id="key-consolepolicy-3"),
    "a statement less": lambda p: p["Statement"].pop(0),
    "a statement more": lambda p: p["Statement"].append({**RICH, "Sid": "More"}),
    "another Sid": _on_rich(lambda s: s.update(Sid="Use of the key")),
    "a Sid of another case": _on_rich(lambda s: s.update(Sid="RICH")),
    "no Sid": _on_rich(lambda s: s.pop("Sid")),
    "another effect": _on_rich(lambda s: s.update(Effect="Deny")),
    "an effect of another case": _on_rich(lambda s: s.update(Effect="allow")),
    "NotAction": _on_rich(lambda s: _renamed(s, "Action", "NotAction")),
    "NotPrincipal": _on_rich(lambda s: _renamed(s, "Principal", "NotPrincipal")),
    "NotResource": _on_rich(lambda s: _renamed(s, "Resource", "NotResource")),
    "an action less": _on_rich(lambda s: s["Action"].pop()),
    "an action more": _on_rich(lambda s: s["Action"].append("kms:encrypt")),
    "no action": _on_rich(lambda s: s.pop("Action")),
    "a wildcard that covers an action": _on_rich(lambda s: s["Action"].append("kms:getkey*")),
    "a wildcard in place of an action": _on_rich(lambda s: s.update(Action=["kms:d*", "kms:get*"])),
    "a resource more": _on_rich(lambda s: s["Resource"].append("arn:aws:s3:::bucket")),
    "another resource": _on_rich(lambda s: s.update(Resource=["arn:aws:s3:::bucket"])),
    "no resource": _on_rich(lambda s: s.pop("Resource")),
    "a principal less": _on_rich(lambda s: s["Principal"]["AWS"].pop()),
    "a principal more": _on_rich(lambda s: s["Principal"]["AWS"].append(USER)),
    "another account": _on_rich(lambda s: s["Principal"].update(AWS=[ADMIN, OTHER])),
    "an account of another partition": _on_rich(
        lambda s: s["Principal"].update(AWS=[ADMIN, ROOT.replace("aws", "aws-cn")])
    ),
    "a principal of another case": _on_rich(
        lambda s: s["Principal"].update(AWS=[ADMIN.replace("KeyAdmin", "keyadmin"), ROOT])
    ),
    "a principal that is gone": _on_rich(lambda s: s["Principal"].update(AWS=[GONE, ROOT])),
    "no AWS principal": _on_rich(lambda s: s["Principal"].pop("AWS")),
    "no service": _on_rich(lambda s: s["Principal"].pop("Service")),
    "another kind of principal": _on_rich(lambda s: _renamed(s["Principal"], "Service", "AWS")),
    "everyone": _on_rich(lambda s: s.update(Principal="*")),
    "everyone of AWS": _on_rich(lambda s: s.update(Principal={"AWS": ["*"]})),
    "no condition": _on_rich(lambda s: s.pop("Condition")),
    "an operator less": _on_condition(lambda c: c.pop("Bool")),
    "an operator more": _on_condition(lambda c: c.update(Null={"aws:userid": ["true"]})),
    "another operator": _on_condition(lambda c: _renamed(c, "StringEquals", "StringLike")),
    "an operator of another case": _on_condition(lambda c: _renamed(c, "Bool", "bool")),
    "an operator with IfExists": _on_condition(lambda c: _renamed(c, "Bool", "BoolIfExists")),
    "another set operator": _on_condition(
        lambda c: _renamed(c, "ForAnyValue:StringLike", "ForAllValues:StringLike")
    ),
    "an operator without keys": _on_condition(lambda c: c.update(Bool={})),
    "a condition key less": _on_condition(lambda c: c["Bool"].pop("aws:securetransport")),
    "a condition key more": _on_condition(
        lambda c: c["Bool"].update({"aws:viaawsservice": ["true"]})
    ),
    "another condition key": _on_condition(
        lambda c: _renamed(c["Bool"], "aws:securetransport", "aws:viaawsservice")
    ),
    "a value less": _on_condition(lambda c: c["NumericLessThan"].popitem()[1].pop()),
    "a value more": _on_condition(lambda c: c["Bool"]["aws:securetransport"].append("false")),
    "another boolean": _on_condition(
        lambda c: c["Bool"].update({"aws:securetransport": ["false"]})
    ),
    "a value of another case": _on_condition(
        lambda c: c["StringEquals"].update({"kms:encryptioncontext:app": ["cards", "Loans"]})
    ),
    "a boolean of another case": _on_condition(
        lambda c: c["Bool"].update({"aws:securetransport": ["True"]})
    ),
    "another number": _on_condition(
        lambda c: c["NumericLessThan"].update({"kms:rotationperiodindays": ["180", "366", "0.5"]})
    ),
    "a number with a point": _on_condition(
        lambda c: c["NumericLessThan"].update({"kms:rotationperiodindays": [180.0, "365", "0.5"]})
    ),
    "an account's ID for an ARN in a condition": _on_condition(
        lambda c: c["StringEquals"].update({"aws:principalarn": [ACCOUNT, USER]})
    ),
    "a wildcard that covers a value": _on_condition(
        lambda c: c["ForAnyValue:StringLike"].update({"kms:encryptioncontextkeys": ["A*", "Team"]})
    ),
    "no values": _on_condition(lambda c: c["Bool"].update({"aws:securetransport": []})),
}


def changed(policy: Policy, change: str) -> Policy:
    """Return a policy with one of `CHANGES`."""
    new = deepcopy(policy)
    CHANGES[change](new)
    return new
