"""How deliveries prove themselves, by published examples and by what must not count."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from provisioner.hooks.entries import read_entries
from provisioner.hooks.receiving import delivery_of
from provisioner.hooks.schemes import SCHEMES, WINDOW_SECONDS, Delivery
from provisioner.json_text import text
from tests.support.clock import Clock
from tests.support.deliveries import ENTRIES, NOW, SOURCES, Sent, sound

# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
GITHUB_SECRET = b"It's a Secret to Everybody"
GITHUB_BODY = b"Hello, World!"
GITHUB_SIGNATURE = b"757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
GITHUB_BASE64 = b"dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc="

# Of the tests of Standard Webhooks' libraries:
# https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/python/tests/test_webhooks.py
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - a published one
STANDARD = {
    "webhook-id": [b"msg_p5jXN8AQM9LWM0D4loKWxJek"],
    "webhook-timestamp": [b"1614265330"],
    "webhook-signature": [b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="],
}
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD_TIME = datetime.fromtimestamp(1614265330, UTC)

# https://www.rfc-editor.org/rfc/rfc7617#section-2
BASIC = b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
BASIC_SECRET = b"Aladdin:open sesame"


def is_proved(
    scheme: str,
    secrets: list[bytes],
    headers: dict[str, list[bytes]],
    body: bytes = b"",
    at: datetime = NOW,
) -> bool:
    return SCHEMES[scheme](Delivery(headers, body, at), "x-proof", secrets)


@pytest.mark.parametrize(
    "given",
    [GITHUB_SIGNATURE, b"sha256=" + GITHUB_SIGNATURE, GITHUB_BASE64],
)
def test_githubs_own_example_is_proved(given: bytes) -> None:
    assert is_proved("hmac-sha256-body", [GITHUB_SECRET], {"x-proof": [given]}, GITHUB_BODY)


def test_the_example_of_standard_webhooks_is_proved() -> None:
    entry = read_entries(
        text({"s": {"scheme": "standard-webhooks", "secrets": [STANDARD_SECRET], "request": ""}})
    ).usable["s"]

    assert is_proved(
        "standard-webhooks", [*entry.secrets], STANDARD, STANDARD_BODY, at=STANDARD_TIME
    )


def test_the_example_of_basic_authentication_is_proved() -> None:
    for given in (BASIC, BASIC.replace(b"Basic", b"basic")):
        assert is_proved("basic", [BASIC_SECRET], {"authorization": [given]})


@pytest.mark.parametrize(
    ("seconds", "counts"),
    [(0, True), (WINDOW_SECONDS, True), (WINDOW_SECONDS + 1, False)],
)
@pytest.mark.parametrize("direction", [1, -1])
def test_a_signed_time_counts_for_five_minutes_either_way(
    seconds: int, counts: bool, direction: int
) -> None:
    sent = sound("portal", at=NOW + direction * timedelta(seconds=seconds))
    headers = {name: [value.encode()] for name, value in sent.headers.items()}
    secrets = read_entries(text(ENTRIES)).usable["portal"].secrets

    assert is_proved("standard-webhooks", [*secrets], headers, sent.body) == counts


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-timestamp": [b"1614265330.0"]},
        {"webhook-timestamp": [b" 1614265330"]},
        {"webhook-timestamp": ["1614265330".translate({48: 0x660}).encode()]},
        {"webhook-timestamp": []},
        {"webhook-timestamp": [b"1614265330", b"1614265330"]},
        {"webhook-id": [b""]},
        {"webhook-id": [b"msg_other"]},
        {"webhook-signature": [b"v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="]},
        {"webhook-signature": [b"g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="]},
        {"webhook-signature": STANDARD["webhook-signature"] * 2},
    ],
)
def test_no_part_of_a_standard_webhook_may_differ(changed: dict[str, list[bytes]]) -> None:
    secrets = [b"1\xf2\x90\xf6\xbf\x06)\x8a\xabO\x08\xd4<?\x08,\xf6H\xa3b\xda-\xa4\xb0"]
    given = {**STANDARD, **changed}

    assert is_proved("standard-webhooks", secrets, STANDARD, STANDARD_BODY, at=STANDARD_TIME)
    assert not is_proved("standard-webhooks", secrets, given, STANDARD_BODY, at=STANDARD_TIME)


def test_one_of_several_signatures_is_enough_but_of_sixteen() -> None:
    secrets = [b"1\xf2\x90\xf6\xbf\x06)\x8a\xabO\x08\xd4<?\x08,\xf6H\xa3b\xda-\xa4\xb0"]
    (fitting,) = STANDARD["webhook-signature"]
    for before, counts in ((1, True), (15, True), (16, False)):
        given = {**STANDARD, "webhook-signature": [b" ".join([b"v1,xx"] * before + [fitting])]}
        proved = is_proved("standard-webhooks", secrets, given, STANDARD_BODY, at=STANDARD_TIME)
        assert proved == counts


@pytest.mark.parametrize("secrets", [[b"old", b"new"], [b"new", b"old"]])
@pytest.mark.parametrize(
    ("scheme", "header", "prove"),
    [
        ("token", "x-proof", lambda secret: secret),
        (
            "basic",
            "authorization",
            lambda secret: {b"old": b"Basic b2xk", b"new": b"Basic bmV3"}.get(
                secret, b"Basic eA=="
            ),
        ),
    ],
)
def test_either_secret_counts_while_one_is_rotated(
    scheme: str, header: str, prove: Callable[[bytes], bytes], secrets: list[bytes]
) -> None:
    for secret, counts in ((b"old", True), (b"new", True), (b"third", False)):
        assert is_proved(scheme, secrets, {header: [prove(secret)]}) == counts


def test_a_header_that_comes_twice_proves_nothing() -> None:
    assert is_proved("token", [b"secret"], {"x-proof": [b"secret"]})
    assert not is_proved("token", [b"secret"], {"x-proof": [b"secret", b"secret"]})
    assert not is_proved("token", [b"secret"], {"x-proof": [b"secret", b"other"]})


@pytest.mark.parametrize("source", SOURCES)
def test_every_sample_is_proved_whatever_the_case_of_its_headers(source: str, clock: Clock) -> None:
    del clock
    entry = read_entries(text(ENTRIES)).usable[source]
    sent = sound(source)
    changed: dict[str, Any] = {name.title(): value for name, value in sent.headers.items()}
    for one in (sent, Sent(source, sent.body, changed), Sent(source, sent.body, changed, True)):
        delivery = delivery_of(one.event())
        proved = Delivery(delivery.headers, delivery.body, NOW)
        assert SCHEMES[entry.scheme](proved, entry.header, entry.secrets)
