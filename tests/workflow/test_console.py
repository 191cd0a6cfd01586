"""`mrk console` on the deployed stack: its forms are filled in and submitted as by a browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from local.polling import wait_for
from local.stack.endpoint import ROOT_USER, Credentials
from local.stack.stack import Stack
from tests.support.browsing import TWELVE_STEPS, Page, page_of, post, submit
from tests.support.stack.approvals import approving, people_of
from tests.support.stack.consoles import serving
from tests.support.stack.reading import ADMIN, USER, calls_since, new_request, read_key, sids

HOME, EUROPE = "us-east-1", "eu-west-1"


@contextmanager
def browsing(stack: Stack, who: Credentials = ROOT_USER) -> Iterator[httpx.Client]:
    """Open the address that somebody's console prints."""
    with serving(stack, who) as address:
        base = address.partition("/?")[0]
        with httpx.Client(base_url=base, trust_env=False, timeout=60) as browser:
            assert browser.get(address).status_code == 303
            yield browser


@pytest.fixture(scope="module")
def browser(stack: Stack) -> Iterator[httpx.Client]:
    with browsing(stack) as opened:
        yield opened


def fill_in(browser: httpx.Client, fields: dict[str, str], **replica: str) -> Page:
    """Fill in the form of a new key set with one replica; return the review."""
    page = page_of(browser.get("/new"))
    page = page_of(submit(browser, "/new", page, "add-replica", **fields))
    named = {f"replicas[0].{name}": value for name, value in replica.items()}
    return page_of(submit(browser, "/new", page, "review", **named))


def steps_of(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a request of its own, and what a person fills in for it."""
    request = new_request(name)
    own = {"requestId": request["requestId"], "alias": request["alias"]}
    return request, {**TWELVE_STEPS, **own}


def finish(browser: httpx.Client, review: Page, **fields: Any) -> dict[str, Any]:
    """Submit a review, and watch the key set's page until nothing goes on any more."""
    sent = submit(browser, "/send", review, "send", **fields)
    assert sent.status_code == 303, sent.text

    def ended() -> dict[str, Any] | None:
        shown: dict[str, Any] = browser.get(f"{sent.headers['location']}/live").json()
        return None if shown["goesOn"] else shown

    return wait_for(ended, "the key set's page to come to rest", timeout=60)


def test_the_twelve_steps_end_in_a_key_set_in_kms(stack: Stack, browser: httpx.Client) -> None:
    request, steps = steps_of("console")
    own = {"alias:choice": "own", "alias": f"{request['alias']}-eu", "tags:choice": "none"}
    review = fill_in(browser, steps, region=EUROPE, **own)
    shown = finish(browser, review)

    assert shown["said"] == "Created. 2 of 2 keys are enabled."
    key = stack.api("GET", f"/keys/{request['requestId']}").json()["key"]
    home, europe = (
        read_key(stack, one["region"], one["arn"]) for one in (key["primary"], *key["replicas"])
    )
    assert (home["type"], europe["type"]) == ("PRIMARY", "REPLICA")
    assert (home["aliases"], europe["aliases"]) == ([request["alias"]], [own["alias"]])
    assert (home["tags"], europe["tags"]) == ({"team": "payments"}, {})
    for one in (home, europe):
        assert one["description"] == "Card data"
        assert "Allow access for Key Administrators" in sids(one["policy"])
        assert ADMIN in str(one["policy"])
        assert USER in str(one["policy"])


def test_a_refused_field_is_named_and_nothing_is_made(stack: Stack, browser: httpx.Client) -> None:
    request, steps = steps_of("refused")
    before = len(stack.kms_calls())
    page = page_of(browser.get("/new"))
    answer = submit(browser, "/new", page, "review", **{**steps, "alias": "alias/aws/mine"})

    assert '<a href="#alias">' in page_of(answer, 400).html
    assert stack.api("GET", f"/keys/{request['requestId']}").status_code == 404
    assert calls_since(stack, before) == []


def test_a_replica_is_promoted_with_its_word(stack: Stack, browser: httpx.Client) -> None:
    request, steps = steps_of("promoted")
    finish(browser, fill_in(browser, steps, region=EUROPE))
    address = f"/key-sets/{request['requestId']}/change?promote={EUROPE}"
    review = page_of(submit(browser, "/new", page_of(browser.get(address)), "review"))
    without = page_of(submit(browser, "/send", review, "send"), 400)
    shown = finish(browser, without, confirm=[f"PROMOTE:{EUROPE}"])

    assert "UpdatePrimaryRegion" in review.html
    assert "Nothing was done" in without.html
    assert shown["said"] == "Updated. 2 of 2 keys are enabled."
    status = stack.api("GET", f"/keys/{request['requestId']}").json()
    assert (status["revision"], status["key"]["primary"]["region"]) == (2, EUROPE)
    plan = stack.api("POST", "/keys?plan=true", json=status["request"]).json()
    assert plan["changes"] == []


def test_somebody_else_approves_what_the_console_sent(stack: Stack) -> None:
    people = people_of(stack, "alice", "bob")
    request, steps = steps_of("approved")
    address = f"/key-sets/{request['requestId']}"
    with (
        approving(stack, "all"),
        browsing(stack, people["alice"]) as alice,
        browsing(stack, people["bob"]) as bob,
    ):
        review = fill_in(alice, steps, region=EUROPE)
        assert submit(alice, "/send", review, "send").status_code == 303
        asked = wait_for(lambda: waiting(alice, address), "the question", timeout=60)
        own = submit(alice, f"{address}/approval", asked, "", decision="APPROVE")
        approved = submit(bob, f"{address}/approval", page_of(bob.get(address)), "", **APPROVE)
        outcome = stack.wait_for_outcome(request["requestId"])["detail"]

    assert "alice" in page_of(own, 403).html
    assert approved.status_code == 303
    assert (outcome["status"], outcome["approvals"][0]["comment"]) == ("CREATED", "Seen")


APPROVE = {"decision": "APPROVE", "comment": "Seen"}


def waiting(browser: httpx.Client, address: str) -> Page | None:
    answer = browser.get(address)
    is_asked = answer.status_code == 200 and 'name="contentHash"' in answer.text
    return page_of(answer) if is_asked else None


def test_the_served_console_refuses_other_pages(stack: Stack, browser: httpx.Client) -> None:
    before = len(stack.kms_calls())
    page = page_of(browser.get("/new"))
    csrf = f"csrf={dict(page.fields)['csrf']}&document=%7B%7D"

    # Without the cookie.
    assert httpx.get(browser.base_url, trust_env=False).status_code == 403
    assert browser.get("/", headers={"Host": "rebound.example"}).status_code == 421
    assert post(browser, "/send", csrf, Origin="https://evil.example").status_code == 403
    assert post(browser, "/send", "document=%7B%7D").status_code == 403
    assert calls_since(stack, before) == []
