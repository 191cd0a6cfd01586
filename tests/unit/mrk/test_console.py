"""The console's pages, with a stand-in for the stack's API."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from mrk.console.app import new_app
from mrk.console.security import Session
from mrk.stack import Reply
from tests.support.asgi import InProcess
from tests.support.browsing import TWELVE_STEPS, Page, page_of, post, submit
from tests.support.console_api import ConsoleApi, status_of
from tests.support.samples import ADMIN, USER

PORT = 4567
HOST = f"127.0.0.1:{PORT}"
ORIGIN = f"http://{HOST}"


@pytest.fixture
def api() -> ConsoleApi:
    return ConsoleApi()


@pytest.fixture
def session() -> Session:
    return Session(PORT)


@pytest.fixture
def stranger(api: ConsoleApi, session: Session) -> Iterator[httpx.Client]:
    """Return a browser that has not opened the console's address."""
    app: Any = new_app(api, session)  # type: ignore[arg-type]
    with httpx.Client(transport=InProcess(app), base_url=ORIGIN) as client:
        yield client


@pytest.fixture
def browser(stranger: httpx.Client, session: Session) -> httpx.Client:
    """Return a browser that has opened the console's address."""
    assert stranger.get(session.address).status_code == 303
    return stranger


def test_the_twelve_steps_end_in_a_request(browser: httpx.Client, api: ConsoleApi) -> None:
    page = page_of(browser.get("/new"))
    page = page_of(submit(browser, "/new", page, "add-replica", **TWELVE_STEPS))
    page = page_of(submit(browser, "/new", page, "review", **{"replicas[0].region": "eu-west-1"}))
    assert "What will be made" in page.html
    assert api.posted("/keys") == []
    sent = submit(browser, "/send", page, "send")

    assert (sent.status_code, sent.headers["location"]) == (303, "/key-sets/CHG0031337")
    (document,) = api.posted("/keys")
    assert document["tags"] == {"team": "payments"}
    assert document["policy"] == {"administrators": [ADMIN], "users": [USER]}
    assert document["replicas"] == [{"region": "eu-west-1"}]


def test_every_problem_is_at_its_field_and_in_the_summary(browser: httpx.Client) -> None:
    page = page_of(browser.get("/new"))
    page = page_of(submit(browser, "/new", page, "add-replica", alias="cards"))
    page = page_of(
        submit(browser, "/new", page, "review", **{"replicas[0].region": "us-east-1"}), 400
    )

    for name in ("alias", "replicas-0-region"):
        assert f'<a href="#{name}">' in page.html
        assert re.search(rf'id="{name}-problems"><p>[^<]', page.html)
        assert any(one.get("id") == name and "aria-invalid" in one for one in page.inputs)
    assert "<title>Problems: " in page.html


def test_the_policies_are_beside_the_form_while_it_is_filled_in(browser: httpx.Client) -> None:
    page = page_of(browser.get("/new"))
    page = page_of(submit(browser, "/new", page, "add-replica", **TWELVE_STEPS))
    wrong = submit(browser, "/check", page, "review").json()
    right = submit(browser, "/check", page, "review", **{"replicas[0].region": "eu-west-1"}).json()

    assert [*wrong["problems"]] == ["replicas-0-region"]
    assert right["problems"] == {}
    for text in ("us-east-1", "eu-west-1", "Allow access for Key Administrators", USER):
        assert text in right["plan"]


def test_what_was_typed_is_shown_as_text_and_never_run(browser: httpx.Client) -> None:
    evil = '"><script>alert(1)</script>'
    page = page_of(browser.get("/new"))
    answer = submit(browser, "/new", page, "review", alias=evil, description=evil, ticket=evil)
    checked = submit(browser, "/check", page, "review", alias="alias/a", description=evil).json()

    assert "<script>alert" not in answer.text + checked["plan"]
    assert ("description", evil) in page_of(answer, 400).fields


CHANGES = [
    {
        "region": "eu-west-1",
        "property": "primaryRegion",
        "from": "us-east-1",
        "to": "eu-west-1",
        "call": "UpdatePrimaryRegion",
        "confirm": "PROMOTE:eu-west-1",
        "reversible": "promote the old one again",
    }
]
MISSING = {
    "path": "primaryRegion",
    "code": "CONFIRMATION_REQUIRED",
    "message": "The primary key would move. Add PROMOTE:eu-west-1 to confirm.",
}


def test_a_promotion_is_shown_as_a_difference_and_takes_its_word(
    browser: httpx.Client, api: ConsoleApi
) -> None:
    api.statuses["CHG1"], api.changes = status_of("CHG1"), CHANGES
    page = page_of(browser.get("/key-sets/CHG1/change?promote=eu-west-1"))
    page = page_of(submit(browser, "/new", page, "review"))
    assert "UpdatePrimaryRegion" in page.html
    api.refusals["POST /keys"] = Reply(400, {"errors": [MISSING]})
    page = page_of(submit(browser, "/send", page, "send"), 400)
    assert "Nothing was done" in page.html
    api.refusals.clear()
    sent = submit(browser, "/send", page, "send", confirm=["PROMOTE:eu-west-1"])

    assert sent.status_code == 303
    document = api.posted("/keys?planId=plan-1")[-1]
    assert (document["revision"], document["primaryRegion"]) == (2, "eu-west-1")
    assert document["confirm"] == ["PROMOTE:eu-west-1"]
    assert document["alias"] == "alias/cards-eu"
    (old,) = document["replicas"]
    assert (old["region"], old["alias"]) == ("us-east-1", "alias/cards")


def test_a_review_goes_back_to_the_form_as_it_was(browser: httpx.Client) -> None:
    page = page_of(browser.get("/new"))
    review = page_of(submit(browser, "/new", page, "review", **TWELVE_STEPS))
    again = page_of(submit(browser, "/send", review, "back"))

    assert {name: value for name, value in again.fields if name in TWELVE_STEPS} == {
        **TWELVE_STEPS,
        "policy.users": USER,
    }


def test_a_key_set_is_watched_while_it_comes_into_being(
    browser: httpx.Client, api: ConsoleApi
) -> None:
    api.statuses["CHG1"] = status_of("CHG1", status="IN_PROGRESS", key=None)
    page = page_of(browser.get("/key-sets/CHG1"))
    first = browser.get("/key-sets/CHG1/live").json()
    api.statuses["CHG1"] = status_of("CHG1")
    last = browser.get("/key-sets/CHG1/live").json()

    assert "Not there yet" in page.html
    assert (first["goesOn"], first["said"]) == (True, "In progress. 0 of 2 keys are enabled.")
    assert (last["goesOn"], last["said"]) == (False, "Created. 2 of 2 keys are enabled.")
    assert "arn:aws:kms:eu-west-1" in last["html"]


def test_a_request_that_waits_is_approved_or_refused(
    browser: httpx.Client, api: ConsoleApi
) -> None:
    approval = {"contentHash": "abc", "until": "2026-12-04T06:00:00Z", "plan": CHANGES}
    waiting = {"status": "WAITING_FOR_APPROVAL", "approval": {**approval, "requester": "alice"}}
    api.statuses["CHG1"] = status_of("CHG1", **waiting)
    page = page_of(browser.get("/key-sets/CHG1"))
    fields = {"comment": "Seen", "decision": "APPROVE"}
    approved = submit(browser, "/key-sets/CHG1/approval", page, "", **fields)
    own = {"path": "", "code": "APPROVER_IS_REQUESTER", "message": "alice asked for it."}
    api.refusals["POST /keys/CHG1/approval"] = Reply(403, {"errors": [own]})
    refused = submit(browser, "/key-sets/CHG1/approval", page, "", **fields)

    assert approved.headers["location"] == "/key-sets/CHG1"
    decision = {"decision": "APPROVE", "contentHash": "abc", "comment": "Seen"}
    assert api.posted("/keys/CHG1/approval")[0] == decision
    assert "alice asked for it." in page_of(refused, 403).html


def test_operations_are_asked_for_once(browser: httpx.Client, api: ConsoleApi) -> None:
    api.statuses["CHG1"] = status_of("CHG1")
    html = browser.get("/key-sets/CHG1").text
    ids = re.findall(r'name="operationId" value="([^"]+)"', html)
    csrf = re.findall(r'name="csrf" value="([^"]+)"', html)[0]
    body = urlencode({"csrf": csrf, "operation": "ROTATE", "operationId": ids[1], "confirm": ""})
    for _ in range(2):
        assert post(browser, "/key-sets/CHG1/operations", body).status_code == 303

    sent = api.posted("/keys/CHG1/operations")
    assert sent == [{"operation": "ROTATE", "operationId": ids[1]}] * 2
    assert "ROTATE_MATERIAL" not in html


def test_a_request_under_way_is_cancelled(browser: httpx.Client, api: ConsoleApi) -> None:
    api.statuses["CHG1"] = status_of("CHG1", status="IN_PROGRESS")
    page = page_of(browser.get("/key-sets/CHG1"))

    assert submit(browser, "/key-sets/CHG1/cancel", page, "").status_code == 303
    assert api.sent[-1][:2] == ("DELETE", "/keys/CHG1")


def test_the_list_shows_every_key_set(browser: httpx.Client, api: ConsoleApi) -> None:
    api.statuses = {"CHG1": status_of("CHG1"), "CHG2": status_of("CHG2")}
    page = page_of(browser.get("/?status=CREATED"))

    assert 'href="/key-sets/CHG2"' in page.html
    assert api.sent[-1][1] == "/keys?status=CREATED&limit=50"


@pytest.mark.parametrize("address", ["/", "/key-sets/CHG1", "/key-sets/CHG1/live"])
def test_a_stack_that_does_not_answer_is_a_sentence(
    browser: httpx.Client, api: ConsoleApi, address: str
) -> None:
    api.down = True
    assert "Try again later." in page_of(browser.get(address), 502).html


def test_what_is_not_there_is_not_found(browser: httpx.Client) -> None:
    assert "There is no request CHG9." in page_of(browser.get("/key-sets/CHG9"), 404).html
    assert "no such page" in page_of(browser.get("/nothing"), 404).html
    # What is no path of the API stays a name there.
    assert browser.get("/key-sets/a%2Fhistory").status_code == 404


def pages(browser: httpx.Client, api: ConsoleApi) -> list[Page]:
    api.statuses["CHG1"] = status_of("CHG1")
    page = page_of(browser.get("/new"))
    page = page_of(submit(browser, "/new", page, "add-replica", **TWELVE_STEPS))
    wrong = page_of(submit(browser, "/new", page, "review", alias=""), 400)
    good = {"replicas[0].region": "eu-west-1"}
    review = page_of(submit(browser, "/new", page, "review", **good))
    reading = [page_of(browser.get(one)) for one in ("/", "/key-sets/CHG1", "/new")]
    return [page, wrong, review, *reading, page_of(browser.get("/key-sets/CHG1/change"))]


def test_every_field_has_a_label_and_every_id_is_there_once(
    browser: httpx.Client, api: ConsoleApi
) -> None:
    for page in pages(browser, api):
        assert len(page.ids) == len(set(page.ids))
        for field in page.inputs:
            is_hidden = field.get("type") in ("hidden", "radio", "checkbox")
            assert is_hidden or field.get("aria-label") or field.get("id") in page.labelled
            for one in str(field.get("aria-describedby") or "").split():
                assert one in page.ids
        for link in re.findall(r'href="#([^"]+)"', page.html):
            assert link in page.ids


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_inline(
    browser: httpx.Client, api: ConsoleApi
) -> None:
    for page in pages(browser, api):
        assert all(address.startswith("/static/") for address in page.loaded)
        assert not re.search(r"<script>|<style|\sstyle=|\son[a-z]+=", page.html)
        assert not re.search(r"AKIA|ASIA|SecretAccess|Authorization", page.html)
    for address in page.loaded:
        assert browser.get(address).status_code == 200


# --- Attacks --------------------------------------------------------------------------------------


def test_the_token_is_exchanged_for_a_cookie_that_scripts_and_other_pages_do_not_get(
    stranger: httpx.Client, session: Session
) -> None:
    answer = stranger.get(session.address)
    cookie = answer.headers["set-cookie"]

    assert answer.headers["location"] == "/"
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert session.token not in cookie
    assert session.token not in stranger.get("/").text


@pytest.mark.parametrize(
    "address", ["/", "/new", "/key-sets/CHG1", "/static/console.js", "/?token=guessed", "/?token="]
)
def test_nobody_without_the_token_sees_anything(
    stranger: httpx.Client, api: ConsoleApi, address: str
) -> None:
    answer = stranger.get(address)

    assert (answer.status_code, api.sent) == (403, [])
    assert "set-cookie" not in answer.headers
    assert "mrk console" in answer.text


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", f"evil.example:{PORT}", f"127.0.0.1.evil.example:{PORT}", "127.0.0.1"),
        *("127.0.0.1:80", f"[::1]:{PORT}", f"localhost.:{PORT}", ""),
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(
    browser: httpx.Client, session: Session, api: ConsoleApi, host: str
) -> None:
    for address in ("/", session.address):
        assert browser.get(address, headers={"Host": host}).status_code == 421
    assert api.sent == []


CROSS_SITE = [
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": ""},
    {"Origin": "null", "Sec-Fetch-Site": ""},
    {"Origin": f"http://127.0.0.1:{PORT + 1}", "Sec-Fetch-Site": "same-site"},
    {"Origin": f"http://127.0.0.1:{PORT + 1}", "Sec-Fetch-Site": ""},
    {"Origin": f"http://localhost:{PORT}", "Sec-Fetch-Site": ""},
    {"Origin": f"https://{HOST}", "Sec-Fetch-Site": ""},
    {"Origin": "", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "", "Sec-Fetch-Site": ""},
]


@pytest.mark.parametrize("headers", CROSS_SITE)
@pytest.mark.parametrize("address", ["/send", "/new", "/key-sets/CHG1/approval"])
def test_a_form_of_another_page_is_refused_even_with_cookie_and_csrf_token(
    browser: httpx.Client, session: Session, api: ConsoleApi, headers: dict[str, str], address: str
) -> None:
    body = urlencode({"csrf": session.csrf, "document": "{}"})

    assert post(browser, address, body, **headers).status_code == 403
    assert api.sent == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_page_cannot_even_read(browser: httpx.Client, api: ConsoleApi, site: str) -> None:
    assert browser.get("/", headers={"Sec-Fetch-Site": site}).status_code == 403
    assert api.sent == []


@pytest.mark.parametrize("csrf", ["", "guessed"])
@pytest.mark.parametrize("address", ["/send", "/new", "/check", "/key-sets/CHG1/cancel"])
def test_a_form_without_the_csrf_token_is_refused(
    browser: httpx.Client, api: ConsoleApi, csrf: str, address: str
) -> None:
    assert post(browser, address, urlencode({"csrf": csrf, "document": "{}"})).status_code == 403
    assert api.sent == []


def test_every_answer_forbids_framing_caching_and_what_comes_from_elsewhere(
    browser: httpx.Client, api: ConsoleApi
) -> None:
    api.statuses["CHG1"] = status_of("CHG1")
    addresses = ("/", "/new", "/key-sets/CHG1", "/key-sets/CHG1/live", "/static/console.js")
    answers = [browser.get(one) for one in (*addresses, "/nothing")]
    answers += [browser.get("/", headers={"Host": "evil.example"}), post(browser, "/send", "")]
    for answer in answers:
        headers = answer.headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_too_large_a_form_is_refused(browser: httpx.Client, api: ConsoleApi) -> None:
    assert post(browser, "/new", "a=" + "x" * (1024 * 1024)).status_code == 413
    assert api.sent == []


def test_a_session_does_not_show_its_secrets(session: Session) -> None:
    assert not {session.token, session.cookie, session.csrf} & set(
        re.split(r"[' =,)]", repr(session))
    )
    assert len({session.token, session.cookie, session.csrf, Session(PORT).token}) == 4
