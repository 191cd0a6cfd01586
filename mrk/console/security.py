"""Who may use the console: only the person who started it, and only from its own page.

Any page that this person has open can send requests to loopback, and a name that some other page
owns can be made to point there. So every request is refused that does not name loopback as its
host, has no session, or comes from another page.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST_NAMES = ("127.0.0.1", "localhost")
TOKEN = "token"  # noqa: S105 - the name of a parameter
CSRF = "csrf"
CSRF_HEADER = "x-csrf-token"
_WRITES_NOTHING = ("GET", "HEAD")
_OWN_PAGE = ("same-origin", "none")
"""What `Sec-Fetch-Site` says of our own page, and of an address that the person typed."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With no-referrer, a browser names no origin for the forms of our own page either.
    # https://fetch.spec.whatwg.org/#append-a-request-origin-header
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), usb=()",
}


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Session:
    """The secrets of one console, which end with its process.

    `token` is in the address that is printed, `cookie` in the browser, `csrf` in every form.
    """

    port: int
    token: str = field(default_factory=_new_secret, repr=False)
    cookie: str = field(default_factory=_new_secret, repr=False)
    csrf: str = field(default_factory=_new_secret, repr=False)

    @property
    def address(self) -> str:
        """Return the address that opens the console."""
        return f"http://{HOST_NAMES[0]}:{self.port}/?{TOKEN}={self.token}"

    @property
    def cookie_name(self) -> str:
        """Return the cookie's name; those of consoles on other ports are others."""
        return f"mrk-console-{self.port}"

    @property
    def hosts(self) -> list[str]:
        """Return what a request may name as its host."""
        return [f"{name}:{self.port}" for name in HOST_NAMES]

    def takes_csrf(self, form: Mapping[str, str], headers: Mapping[str, str]) -> bool:
        """Whether a form, or a script of our own page, has shown that it is ours."""
        return _is_same(form.get(CSRF) or headers.get(CSRF_HEADER), self.csrf)


class Guard:
    """Lets through what the session's own page asks for, and adds the headers of every answer."""

    def __init__(self, app: ASGIApp, session: Session) -> None:
        self._app = app
        self._session = session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = self._answer(Request(scope)) or self._app
        await answer(scope, receive, send_with_headers)

    def _answer(self, request: Request) -> Response | None:
        """Return the answer to what does not reach the app; None for what does."""
        if request.headers.get("host") not in self._session.hosts:
            return _refused("This console answers on 127.0.0.1 and localhost only.", 421)
        if TOKEN in request.query_params:
            return self._exchange(request)
        if reason := self._refusal(request):
            return _refused(reason, 403)
        return None

    def _exchange(self, request: Request) -> Response:
        """Put the session into a cookie, so that the token leaves the address."""
        if not _is_same(request.query_params[TOKEN], self._session.token):
            return _refused(_ADDRESS, 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            self._session.cookie_name, self._session.cookie, httponly=True, samesite="strict"
        )
        return answer

    def _refusal(self, request: Request) -> str | None:
        if not _is_same(request.cookies.get(self._session.cookie_name), self._session.cookie):
            return _ADDRESS
        site, origin = (request.headers.get(name) for name in ("sec-fetch-site", "origin"))
        if site not in (None, *_OWN_PAGE):
            return "Another page has sent this. Use the console's own page."
        if request.method in _WRITES_NOTHING:
            return None
        if origin is None and site is None:
            return "Your browser does not say which page has sent this. Use a current one."
        if origin is not None and origin != f"http://{request.headers['host']}":
            return "Another page has sent this. Use the console's own page."
        return None


_ADDRESS = (
    "Open the console with the address that `mrk console` has printed: it has a token, and each "
    "start has another one."
)


def _refused(text: str, status: int) -> Response:
    return PlainTextResponse(f"{text}\n", status)


def _is_same(shown: str | None, secret: str) -> bool:
    return shown is not None and compare_digest(shown.encode(), secret.encode())
