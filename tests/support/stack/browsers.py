"""A real browser without a screen: Chromium, as a person uses it with a keyboard."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium.common.exceptions import (
    ElementNotInteractableException,
    StaleElementReferenceException,
)
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

AXE = Path(".local/axe/package/axe.min.js")
WRONG_HOST = "rebound.example"
"""A name that another page owns, and that points to this machine."""
_CHROMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MOST_TABS = 120
_LONGEST_WAIT = 60
_SERIOUS = ("serious", "critical")
_SHOWN_ANEW = (StaleElementReferenceException, ElementNotInteractableException)


@dataclass(frozen=True)
class Browser:
    """A window of a browser."""

    driver: Chrome

    def open(self, address: str) -> None:
        """Type an address."""
        self.driver.get(address)

    @property
    def focused(self) -> WebElement:
        """Return what has the keyboard."""
        return self.driver.switch_to.active_element

    def tab_to(self, **wanted: str) -> WebElement:
        """Press Tab until what has these attributes has the keyboard; `text` is its text."""
        for _ in range(_MOST_TABS):
            # What comes into being is shown anew from time to time, with the keyboard where it was.
            with suppress(*_SHOWN_ANEW):
                here = self.focused
                if all(_is(here, name, value) for name, value in wanted.items()):
                    return here
                here.send_keys(Keys.TAB)
        raise AssertionError(f"No Tab leads to {wanted} at {self.driver.current_url}")

    def type_into(self, name: str, text: str) -> None:
        """Go to a field by keyboard and fill it in."""
        field = self.tab_to(name=name)
        if field.tag_name != "select":
            field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def press(self, **wanted: str) -> None:
        """Go to a button or a link by keyboard and press Enter; wait for the page that follows."""
        page = self.driver.find_element(By.TAG_NAME, "html")
        self.tab_to(**wanted).send_keys(Keys.ENTER)
        self.wait(lambda: self.driver.find_element(By.TAG_NAME, "html") != page, "another page")

    def text(self) -> str:
        """Return what the page shows."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def wait_for_text(self, text: str) -> None:
        """Wait until the page shows a text."""
        self.wait(lambda: text in self.text(), f"the text {text}")

    def wait(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        waiting = WebDriverWait(self.driver, _LONGEST_WAIT, poll_frequency=0.1)
        waiting.until(lambda _: is_so(), f"waited for {what}, in vain: {self.text()}")

    def faults(self) -> list[str]:
        """List what axe finds seriously wrong for people who cannot see or point."""
        self.driver.execute_script(AXE.read_text())
        found: dict[str, Any] = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run(document).then(done)"
        )
        return [
            f"{one['id']}: {node['html']}"
            for one in found["violations"]
            if one["impact"] in _SERIOUS
            for node in one["nodes"]
        ]

    def hosts_asked(self) -> set[str]:
        """Name the hosts that the browser's pages have asked for something."""
        entries = [json.loads(one["message"])["message"] for one in self._log("performance")]
        urls = [
            one["params"]["request"]["url"]
            for one in entries
            if one["method"] == "Network.requestWillBeSent"
        ]
        return {urlsplit(url).netloc for url in urls if url.startswith("http")}

    def complaints(self) -> list[str]:
        """List what the browser itself reports: errors of scripts, what a policy has blocked."""
        return [one["message"] for one in self._log("browser")]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return found


def _is(element: WebElement, name: str, value: str) -> bool:
    if name == "text":
        return element.text == value
    return element.get_attribute(name) == value


@contextmanager
def chromium(width: int = 1200, height: int = 800) -> Iterator[Browser]:
    """Start the browser that this machine has; Debian's are `chromium` and `chromium-driver`."""
    options = ChromeOptions()
    found = [path for name in _CHROMES if (path := shutil.which(name))]
    if found:
        options.binary_location = found[0]
    for argument in (
        "--headless=new",
        # CI's user is root, and a container's shared memory is small.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
        f"--window-size={width},{height}",
        f"--host-resolver-rules=MAP {WRONG_HOST} 127.0.0.1",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    # Without a driver on the PATH, selenium looks for one.
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
