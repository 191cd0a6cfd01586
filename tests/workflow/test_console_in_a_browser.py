"""`mrk console` in a real browser, used with the keyboard alone.

With RENEW_PAGE=1 the pictures of docs/console.md are taken anew.
"""

import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from local.stack.endpoint import ROOT_USER, Credentials
from local.stack.stack import Stack
from tests.support.stack.approvals import approving, people_of
from tests.support.stack.browsers import WRONG_HOST, Browser, chromium
from tests.support.stack.changes import created, keys_of
from tests.support.stack.consoles import serving
from tests.support.stack.reading import ADMIN, USER, new_request, read_key, sids

HOME, EUROPE = "us-east-1", "eu-west-1"
PICTURES = Path("docs/console")
# As narrow as all columns of a form are still side by side.
PICTURE_SIZE = (1130, 560)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(stack: Stack) -> Iterator[str]:
    """Return the address that the console prints."""
    with serving(stack) as printed:
        yield printed


def base_of(address: str) -> str:
    return address.partition("/?")[0]


def picture(browser: Browser, name: str) -> None:
    if os.environ.get("RENEW_PAGE"):
        PICTURES.mkdir(exist_ok=True)
        browser.driver.set_window_size(*PICTURE_SIZE)
        browser.driver.save_screenshot(str(PICTURES / f"{name}.png"))


def scroll_to(browser: Browser, element_id: str) -> None:
    browser.driver.execute_script(
        "document.getElementById(arguments[0]).scrollIntoView()", element_id
    )


def test_the_twelve_steps_lead_to_a_key_set_by_keyboard(
    stack: Stack, browser: Browser, address: str
) -> None:
    request = new_request("cards")
    browser.open(address)
    assert "token" not in browser.driver.current_url
    assert browser.faults() == []
    browser.press(text="Create key set")

    browser.type_into("requestId", request["requestId"])
    browser.type_into("primaryRegion", HOME)
    browser.press(text="Add a replica Region")
    assert browser.focused.get_attribute("name") == "replicas[0].region"
    browser.type_into("replicas[0].region", EUROPE)
    browser.type_into("alias", request["alias"])
    browser.type_into("description", "Card data")
    browser.type_into("tags[0].key", "team")
    browser.type_into("tags[0].value", "payments")
    browser.tab_to(name="policy:choice").send_keys(Keys.ARROW_DOWN)
    browser.type_into("policy.administrators", ADMIN)
    browser.type_into("policy.users", USER)
    browser.wait_for_text("Allow access for Key Administrators")
    assert browser.faults() == []
    scroll_to(browser, "step-administrators")
    picture(browser, "form")
    browser.press(text="Review", type="submit")
    browser.wait_for_text("What will be made")
    assert browser.faults() == []
    picture(browser, "review")
    browser.press(text="Create key set", type="submit")
    browser.wait_for_text("Created")
    browser.wait_for_text("History")
    assert browser.faults() == []
    picture(browser, "key-set")

    key = stack.api("GET", f"/keys/{request['requestId']}").json()["key"]
    for one in (key["primary"], *key["replicas"]):
        made = read_key(stack, one["region"], one["arn"])
        assert (made["aliases"], made["tags"]) == ([request["alias"]], {"team": "payments"})
        assert "Allow access for Key Administrators" in sids(made["policy"])
    assert [one["region"] for one in key["replicas"]] == [EUROPE]
    announced = browser.driver.find_element(By.ID, "announcer").get_attribute("textContent")
    assert announced == "Created. 2 of 2 keys are enabled."
    browser.open(f"{base_of(address)}/")
    picture(browser, "list")


def test_a_problem_is_at_its_field_at_once_and_the_summary_leads_there(
    browser: Browser, address: str
) -> None:
    browser.open(address)
    browser.open(f"{base_of(address)}/new")
    browser.type_into("alias", "cards")
    browser.tab_to(name="description")
    problems = browser.driver.find_element(By.ID, "alias-problems")
    browser.wait(lambda: problems.text != "", "the problem at the field")
    alias = browser.driver.find_element(By.ID, "alias")
    assert alias.get_attribute("aria-invalid") == "true"
    assert "alias-problems" in str(alias.get_attribute("aria-describedby"))
    picture(browser, "problem")
    browser.press(text="Review", type="submit")

    assert browser.focused.get_attribute("role") == "alert"
    assert browser.faults() == []
    browser.tab_to(href=f"{base_of(address)}/new#alias").send_keys(Keys.ENTER)
    assert browser.focused.get_attribute("name") == "alias"


def test_only_what_suits_the_key_spec_is_offered(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.open(f"{base_of(address)}/new")
    browser.type_into("keySpec", "ECC_NIST_P256")
    usage = browser.driver.find_element(By.ID, "keyUsage")
    offered = [
        str(one.get_attribute("value"))
        for one in usage.find_elements(By.TAG_NAME, "option")
        if one.is_enabled()
    ]

    assert offered == ["SIGN_VERIFY", "KEY_AGREEMENT"]
    assert usage.get_attribute("value") == "SIGN_VERIFY"


def test_a_promotion_takes_its_word(stack: Stack, browser: Browser, address: str) -> None:
    name = created(stack, "promoted", EUROPE)["requestId"]
    browser.open(address)
    browser.open(f"{base_of(address)}/key-sets/{name}")
    browser.press(text=f"Make {EUROPE} the primary Region")
    assert browser.faults() == []
    browser.press(text="Review", type="submit")
    browser.wait_for_text("UpdatePrimaryRegion")
    assert browser.faults() == []
    browser.press(text="Apply the change")
    browser.wait_for_text("Nothing was done")
    assert browser.faults() == []
    browser.tab_to(name="confirm").send_keys(Keys.SPACE)
    picture(browser, "promotion")
    browser.press(text="Apply the change")
    browser.wait_for_text("Updated")

    status = stack.api("GET", f"/keys/{name}").json()
    assert [*keys_of(status)] == [EUROPE, HOME]


@contextmanager
def console_of(stack: Stack, browser: Browser, who: Credentials = ROOT_USER) -> Iterator[str]:
    """Open somebody's console; return its address without the token."""
    with serving(stack, who) as printed:
        browser.open(printed)
        yield base_of(printed)


def test_somebody_else_approves(stack: Stack, browser: Browser) -> None:
    people, request = people_of(stack, "alice", "bob"), new_request("approved")
    with approving(stack, "all"):
        stack.api("POST", "/keys", json=request, credentials=people["alice"])
        with console_of(stack, browser, people["bob"]) as base:
            browser.open(f"{base}/key-sets/{request['requestId']}")
            browser.wait_for_text("alice")
            assert browser.faults() == []
            picture(browser, "approval")
            browser.type_into("comment", "Seen")
            browser.press(text="Approve")
            browser.wait_for_text("Created")
        outcome = stack.wait_for_outcome(request["requestId"])["detail"]

    assert [one["comment"] for one in outcome["approvals"]] == ["Seen"]


# --- Attacks --------------------------------------------------------------------------------------


class OtherPage(http.server.BaseHTTPRequestHandler):
    """A page of somebody else's on this machine, which the browser counts as the same site."""

    target = ""

    def do_GET(self) -> None:
        body = (
            f'<iframe id="frame" src="{self.target}/"></iframe>'
            f'<form method="post" action="{self.target}/send"><input name="document" value="{{}}">'
            "<button>Win a prize</button></form>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the test's output clean."""


@pytest.fixture
def other_page(address: str) -> Iterator[str]:
    OtherPage.target = base_of(address)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), OtherPage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_another_page_can_neither_frame_nor_post_nor_read(
    browser: Browser, address: str, other_page: str
) -> None:
    browser.open(address)
    browser.complaints()
    browser.open(other_page)
    read = browser.driver.execute_async_script(
        "const [url, done] = arguments;"
        "fetch(url, {credentials: 'include'}).then(() => done('read'), (e) => done(e.name))",
        f"{base_of(address)}/",
    )
    framed = browser.driver.find_element(By.ID, "frame")
    browser.driver.switch_to.frame(framed)
    in_frame = browser.text()
    browser.driver.switch_to.default_content()
    browser.press(text="Win a prize", type="submit")

    assert read == "TypeError"
    assert "Key sets" not in in_frame
    assert "Another page has sent this" in browser.text()
    browser.open(f"{base_of(address)}/")
    assert "Key sets" in browser.text()  # The person's own page goes on.


def test_a_name_that_points_here_is_refused(browser: Browser, address: str) -> None:
    browser.open(address.replace("127.0.0.1", WRONG_HOST))

    assert "127.0.0.1 and localhost only" in browser.text()


def test_nothing_is_asked_from_elsewhere_and_the_browser_has_no_complaint(
    stack: Stack, address: str
) -> None:
    name = created(stack, "quiet", EUROPE)["requestId"]
    with chromium() as browser:
        browser.open(address)
        for page in ("/new", f"/key-sets/{name}", f"/key-sets/{name}/change"):
            browser.open(f"{base_of(address)}{page}")
            browser.wait_for_text("Multi-Region keys")

        assert browser.hosts_asked() == {base_of(address).removeprefix("http://")}
        assert browser.complaints() == []
