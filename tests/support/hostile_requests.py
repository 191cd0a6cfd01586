"""Generated requests: sound ones, nearly sound ones and hostile ones, the same in every run.

Each is the text of a request's body, since much of what is hostile is no value that JSON can write:
numbers without end, a name that comes twice, brackets without number. What is random comes from the
seed alone. The requests are for a stack in account 111122223333 that allows everything.
"""

import copy
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.support.key_kinds import CHINA_ONLY, KEY_KINDS

ACCOUNT = "111122223333"
ADMIN = f"arn:aws:iam::{ACCOUNT}:role/KeyAdmin"
USER = f"arn:aws:iam::{ACCOUNT}:role/CardService"
REGIONS = ["us-east-1", "eu-west-1", "us-west-2", "ap-south-1", "eu-central-1"]

type Kind = Literal["sound", "nearly sound", "hostile"]
type Document = dict[str, Any]


@dataclass(frozen=True)
class Generated:
    """A request, and how it was meant; what is hostile may still be a request that is taken."""

    kind: Kind
    name: str
    body: str


EXPRESSIONS = [
    "{% $request %}",
    "{% $states.input %}",
    "{% $eval('1+1') %}",
    "{% $error('stop') %}",
    "{%",
    "%}",
    "$states.context.Execution.Id",
    "$.request",
    "States.Format('{}', $.x)",
    "${aws:username}",
    "${aws:PrincipalTag/team}",
    "${AWS::AccountId}",
    "{{resolve:secretsmanager:x}}",
    "$(id)",
    "`id`",
    "${jndi:ldap://127.0.0.1/x}",
    "'; DROP TABLE requests; --",
    "<script>alert(1)</script>",
    '"},"status":"CREATED',
    "%s%n%x {0} {self.__class__}",
    "../../etc/passwd",
    "\\u0000\\ud800",
    "#{request}",
    "attribute_exists(requestId)",
    "=cmd|' /C calc'!A0",
]
"""What some language or other would run; here it is text."""

UNICODE = [
    "\N{CYRILLIC SMALL LETTER ER}\N{CYRILLIC SMALL LETTER A}yments",
    "\N{FULLWIDTH LATIN SMALL LETTER A}lias",
    "\N{KELVIN SIGN}ey",
    "\N{LATIN SMALL LETTER DOTLESS I}d",
    "\N{LATIN SMALL LIGATURE FI}le",
    "\N{RIGHT-TO-LEFT OVERRIDE}drac",
    "car\N{ZERO WIDTH SPACE}ds",
    "car\N{ZERO WIDTH JOINER}ds",
    "\N{ZERO WIDTH NO-BREAK SPACE}cards",
    "card\N{SOFT HYPHEN}s",
    "e\N{COMBINING ACUTE ACCENT}",
    "z" + "\N{COMBINING TILDE}" * 200,
    "\N{LINE SEPARATOR}",
    "a\N{NO-BREAK SPACE}b",
    "\N{MATHEMATICAL BOLD SMALL A}",
    "\N{ARABIC-INDIC DIGIT THREE}",
    "\N{SUPERSCRIPT TWO}",
    "\N{FAMILY}\N{ZERO WIDTH JOINER}\N{KEY}",
    "\N{TAG LATIN SMALL LETTER A}",
    "\ufffe",
    "\U0010ffff",
    "\x85",
    "\x7f",
    "\x1b[31m",
    "a\x00b",
    "\r\nX-Header: 1",
    "\t",
    "\u4f60\u597d",
]

HALF_SURROGATES = ["\ud800", "a\udfff", "\udc00\ud800"]

TEXTS = [
    *EXPRESSIONS,
    *UNICODE,
    "",
    " ",
    "null",
    "NaN",
    "-0",
    "1e400",
    "true",
    "[]",
    "*",
    "a" * 300,
]

ARNS = [
    f"arn:aws-cn:iam::{ACCOUNT}:role/KeyAdmin",
    f"arn:aws-us-gov:iam::{ACCOUNT}:root",
    f"arn:aws-iso:iam::{ACCOUNT}:user/me",
    f"ARN:aws:iam::{ACCOUNT}:root",
    f"arn:aws:iam::{ACCOUNT}:role/*",
    "arn:aws:iam::*:role/KeyAdmin",
    f"arn:aws:iam::{ACCOUNT}:role/${{aws:username}}",
    f"arn:aws:iam::{ACCOUNT}:role/{{% $request %}}",
    f"arn:aws:iam::{ACCOUNT}:role/KeyAdmin\n",
    f"arn:aws:iam::{ACCOUNT}:role/KeyAdmin\x00",
    f'arn:aws:iam::{ACCOUNT}:role/x","AWS":"*',
    f"arn:aws:iam::{ACCOUNT}:role/\N{KELVIN SIGN}eyAdmin",
    f"arn:aws:iam::{ACCOUNT}:role/{'a' * 600}",
    f"arn:aws:iam::{ACCOUNT}:role/",
    f"arn:aws:iam:us-east-1:{ACCOUNT}:role/KeyAdmin",
    "arn:aws:iam::1111222233334:role/KeyAdmin",
    "arn:aws:iam::\uff11\uff11\uff11\uff11\uff12\uff12\uff12\uff12\uff13\uff13\uff13\uff13:root",
    f"arn:aws:sts::{ACCOUNT}:assumed-role/KeyAdmin",
    f"arn:aws:kms:us-east-1:{ACCOUNT}:key/mrk-{'0' * 32}",
    f"arn:aws:iam::{ACCOUNT}:oidc-provider/example.com",
    "arn:aws:s3:::bucket",
    "arn:" * 1000,
    "arn:::::",
    "*",
    ACCOUNT,
    "AIDACKCEVSQ6C2EXAMPLE",
]

PATTERNS = ["*" * 60 + "x", "*0" * 60, "kms:" + "*P" * 60, "kms:[!a]*", "?" * 2000, "kms:*\n"]
"""Of actions and resources: what takes a careless matcher years, or means something else to it."""

# What JSON text can say and Python's `json.dumps` cannot.
RAW = {
    "1e400": "1e400",
    "-1e400": "-1e400",
    "not a number": "NaN",
    "infinite": "-Infinity",
    "minus zero": "-0",
    "minus zero as a fraction": "-0.0",
    "beyond every fraction": "1" + "0" * 400,
    "as many digits as Python reads": "9" * 4300,
    "more digits than Python reads": "9" * 4301,
    "many decimals": "0." + "1" * 3000,
    "deeper than Python's stack": "[" * 50_000 + "]" * 50_000,
    "deep objects": '{"a":' * 2000 + "1" + "}" * 2000,
    "just too deep": "[" * 64 + "]" * 64,
    "half a surrogate pair": '"\\ud800"',
    "a pair the wrong way round": '"\\udc00\\ud800"',
    "an escaped slash": '"\\/"',
}

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.5, 2**53 + 1, -(2**63), 1e308, 5e-324),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": {"c": []}}}),
    *([1, "a", None, {}], {"__proto__": {"admin": True}}, {"$ref": "#"}),
    *TEXTS,
]


class _Maker:
    """Makes requests from one source of randomness."""

    def __init__(self, seed: int, prefix: str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - to be the same in every run
        self._prefix = prefix

    def one_of[T](self, options: Sequence[T]) -> T:
        return self._random.choice(options)

    def often(self, probability: float) -> bool:
        return self._random.random() < probability

    def some[T](self, options: list[T], most: int) -> list[T]:
        return self._random.sample(options, self._random.randint(0, min(most, len(options))))

    def sound(self, number: int) -> Document:
        """Make a request that is to be taken, with hostile texts wherever any text may stand."""
        spec, usage, origin = self.one_of([k for k in KEY_KINDS if k[0] not in CHINA_ONLY])
        name = f"{self._prefix}-{number}"
        home, *others = self._random.sample(REGIONS, len(REGIONS))
        document: Document = {
            "requestId": name,
            "alias": f"alias/{name}",
            "primaryRegion": home,
            "keySpec": spec,
            "keyUsage": usage,
            "origin": origin,
            "replicas": [self._replica(name, region) for region in self.some(others, 3)],
            "onFailure": self.one_of(["RETAIN", "ROLL_BACK"]),
            **self._settings(),
        }
        if self.often(0.7):
            document["ticket"] = {self.one_of(TEXTS): self.one_of(VALUES) for _ in range(3)}
        if (spec, origin) == ("SYMMETRIC_DEFAULT", "AWS_KMS") and self.often(0.5):
            document["rotation"] = {"periodInDays": self._random.randint(90, 2560)}
        if origin == "EXTERNAL" and self.often(0.5):
            document["keyMaterial"] = {"expires": False, "deadlineInDays": 1}
        return document

    def _settings(self) -> Document:
        """Return some of the settings that every key has for itself."""
        settings: Document = {}
        if self.often(0.7):
            settings["description"] = self.one_of([*TEXTS, None, self.one_of(TEXTS) * 20])
        if self.often(0.5):
            settings["tags"] = {
                key: self.one_of(["", "a=b", "\u4f60"]) for key in self.some(TAGS, 4)
            }
        if self.often(0.5):
            settings["policy"] = self.one_of([None, self._built_policy(), self._document()])
        return settings

    def _replica(self, name: str, region: str) -> Document:
        own = self._settings() if self.often(0.5) else {}
        if self.often(0.3):
            own["alias"] = self.one_of([None, f"alias/{name}/{region}"])
        return {"region": region, **own}

    def _built_policy(self) -> Document:
        return self.one_of([{"administrators": [ADMIN]}, {"users": [USER, ADMIN, USER]}])

    def _document(self) -> Document:
        """Return a key policy with expressions, which IAM takes for variables or for nothing."""
        account = {"AWS": self.one_of([ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root"])}
        allow = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
        tag = {"StringLike": {"aws:PrincipalTag/team": self.one_of(EXPRESSIONS)}}
        user = {**allow, "Principal": {"AWS": USER}, "Sid": self.one_of(EXPRESSIONS)}
        statements = [{**allow, "Principal": account}, {**user, "Condition": tag}]
        return {"document": {"Version": "2012-10-17", "Statement": statements}}

    def nearly_sound(self, number: int) -> tuple[str, Document]:
        """Make a sound request and one mistake in it, as a person or a program makes it."""
        document = self.sound(number)
        path, value = self.one_of(MISTAKES)
        _put(document, path, copy.deepcopy(value))
        return path, document

    def hostile(self, number: int) -> tuple[str, str]:
        """Make a request with hostile values in it, or a body that is hostile as a whole."""
        document = self.sound(number)
        attack = self.one_of(ATTACKS)
        return attack.__name__, attack(self, document)

    def place(self, document: Document) -> tuple[Any, Any]:
        """Return any object or list inside a document, and a key or index of it."""
        holder: Any = document
        while True:
            key = self.one_of([*holder] if isinstance(holder, dict) else [*range(len(holder))])
            inside = holder[key]
            if not inside or not isinstance(inside, dict | list) or self.often(0.3):
                return holder, key
            holder = inside


TAGS = ["team", "cost center", "a/b:c", "\u00dc", "x" * 128, "\u4f60", "1", "@"]


def _at(path: str, *values: Any) -> list[tuple[str, Any]]:
    return [(path, value) for value in values]


MISTAKES: list[tuple[str, Any]] = [
    *_at("requestId", "CHG 1", "CHG1\n", "", "r" * 81, "CHG\uff11", 31337, None),
    *_at("alias", "alias/", "Alias/x", "alias/aws/x", "alias/a:b", "alias/x\n", *UNICODE[:16]),
    *_at("alias", *(f"alias/{text}" for text in [*UNICODE[:16], *EXPRESSIONS])),
    *_at("primaryRegion", "us-east-1 ", "US-EAST-1", "cn-north-1", "us-east-1a", "aws-global"),
    *_at("keySpec", "SM2", "symmetric_default", "RSA_1024", "HMAC_256 ", None),
    *_at("keyUsage", "SIGN", "sign_verify", "WRAP", 7),
    *_at("origin", "AWS_CLOUDHSM", "external", "", None),
    *_at("description", "d" * 8193, 7, ["d"]),
    *_at("tags", *({key: "v"} for key in ("aws:x", "MRK:x", "a|b", "x" * 129, "", *UNICODE[4:12]))),
    *_at("tags", *({"team": value} for value in (7, None, "v" * 257, "a;b", "\x00", ["v"]))),
    *_at("tags", {f"t{n}": "v" for n in range(48)}),
    *_at("policy", *({"users": [USER, arn]} for arn in ARNS)),
    *_at("policy", *({"administrators": value} for value in (ADMIN, [None], [[ADMIN]], 7))),
    *_at("policy", {"users": [f"arn:aws:iam::{ACCOUNT}:role/{n:0200}" for n in range(200)]}),
    *_at("policy.document.Statement", [], "Allow", None, {}, [[]], [{}], {"Effect": "allow"}),
    *_at("rotation.periodInDays", 89, 2561, "365", 365.5, True, 10**30),
    *_at("keyMaterial.validTo", "tomorrow", "9999-12-31T23:59:59-23:59", 1, "2027-01-01"),
    *_at("keyMaterial.deadlineInDays", 0, 31, None, "7"),
    *_at("replicas", {}, "eu-west-1", [None], [{}], [{"region": 1}], [{"region": "x"}] * 100),
    *_at("onFailure", "retain", "", None, "DELETE"),
    *_at("ticket", "CHG1", [], {"n": "n" * 4097}, {"n": "\u20ac" * 1400}),
    *((name, "x") for name in ("replica", "Alias", "requestID", "multiRegion", "policyDocument")),
    *((text, "x") for text in TEXTS if "." not in text),
]
"""A path in the request and what is put there."""


def _put(document: Document, path: str, value: Any) -> None:
    holder, (*steps, last) = document, path.split(".")
    for step in steps:
        if not isinstance(holder.get(step), dict):
            holder[step] = {}
        holder = holder[step]
    holder[last] = value


def _wrong_values(make: _Maker, document: Document) -> str:
    for _ in range(make.one_of([1, 1, 2, 5, 20])):
        holder, key = make.place(document)
        holder[key] = copy.deepcopy(make.one_of([*VALUES, *ARNS, *PATTERNS]))
    return json.dumps(document)


def _hostile_names(make: _Maker, document: Document) -> str:
    for _ in range(make.one_of([1, 2, 5])):
        holder, _ = make.place(document)
        if isinstance(holder, dict):
            holder[make.one_of([*TEXTS, *HALF_SURROGATES, *ARNS])] = make.one_of(VALUES)
    return json.dumps(document)


def _hostile_policy(make: _Maker, document: Document) -> str:
    """Put anything that is somewhat like a key policy into the request, or into a replica."""
    elements = ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource"]
    elements += ["NotResource", "Condition", "Actions"]
    fitting: list[Any] = ["Allow", "Deny", "*", "kms:*", {"AWS": ADMIN}, {"AWS": ARNS}]
    fitting += [{"AWS": arn} for arn in ARNS] + [{"Service": "*"}, PATTERNS, *PATTERNS, ARNS]
    fitting += [
        {operator: {"aws:userid": t}} for operator in ("StringLike", "Bool", "X") for t in TEXTS
    ]
    statements = [
        {name: make.one_of([*fitting, *VALUES]) for name in make.some(elements, 7)}
        for _ in range(make.one_of([1, 2, 40]))
    ]
    if make.often(0.5):
        account = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "*", "Resource": "*"}
        statements = [account, {**account, **statements[0]}]
    _put(document, "policy.document.Statement", statements)
    return json.dumps(document)


def _raw_values(make: _Maker, document: Document) -> str:
    holder, key = make.place(document)
    holder[key] = "@raw@"
    return json.dumps(document).replace('"@raw@"', make.one_of([*RAW.values()]))


def _raw_ticket(make: _Maker, document: Document) -> str:
    document["ticket"] = {"value": "@raw@"}
    return json.dumps(document).replace('"@raw@"', make.one_of([*RAW.values()]))


def _names_twice(make: _Maker, document: Document) -> str:
    name = make.one_of([*document])
    return f'{{"{name}": {json.dumps(make.one_of(VALUES))}, {json.dumps(document)[1:]}'


def _bombs(make: _Maker, document: Document) -> str:
    size = make.one_of([500, 5_000, 60_000])
    many: list[Document] = [
        {f"field-{n}": n for n in range(size // 20)},
        {"replicas": [{"region": "\N{KEY}" * 4}] * (size // 40)},
        {"replicas": [{}] * (size // 4)},
        {"tags": {f"\u20ac{n}": n for n in range(size // 20)}},
        {"policy": {"users": [[]] * (size // 4)}},
        {"policy": {"document": {"Statement": [[]] * (size // 4)}}},
        {"policy": {"document": {f"x{n}": [] for n in range(size // 20)}}},
        {"description": "\N{KEY}" * size},
        {"requestId": "r" * size},
        {"x" * size: {"y" * size: "z" * size}},
        {"ticket": {"a": [[[[{}] * 9] * 9] * 9] * 9}},
    ]
    return json.dumps(document | make.one_of(many))


def _other_bodies(make: _Maker, document: Document) -> str:
    text = json.dumps(document)
    options: list[Callable[[], str]] = [
        lambda: make.one_of([*RAW.values()]),
        lambda: json.dumps(make.one_of(VALUES)),
        lambda: json.dumps([document]),
        lambda: json.dumps(text),
        lambda: text[: make.one_of([0, 1, len(text) // 2, len(text) - 1])],
        lambda: text + make.one_of([text, "\x00", "}", " ", "\ufeff"]),
        lambda: make.one_of(["\ufeff", "\n", "//", ")]}',\n"]) + text,
        lambda: text.replace('"', "'"),
        lambda: text.replace(": ", ":\x00"),
        lambda: text.replace("}", ",}"),
        lambda: "a=1&b=2",
        lambda: '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "a">]><x>&a;</x>',
        lambda: " " * 100_000,
    ]
    return make.one_of(options)()


ATTACKS: list[Callable[[_Maker, Document], str]] = [
    *(_wrong_values, _hostile_names, _hostile_policy, _raw_values, _raw_ticket, _names_twice),
    *(_bombs, _other_bodies),
]


def generated(count: int, seed: int, prefix: str = "generated") -> Iterator[Generated]:
    """Generate requests, a third of each kind.

    Parameters
    ----------
    prefix
        What the requestIds begin with, so that no two runs share one.
    """
    make = _Maker(seed, prefix)
    for number in range(count):
        if number % 3 == 0:
            yield Generated("sound", "sound", json.dumps(make.sound(number)))
        elif number % 3 == 1:
            name, document = make.nearly_sound(number)
            yield Generated("nearly sound", name, json.dumps(document))
        else:
            yield Generated("hostile", *make.hostile(number))
