"""The console's addresses, and what is answered there."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import jinja2
from botocore.exceptions import BotoCoreError, ClientError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mrk.api import Api
from mrk.console import calls, choices, form, pages
from mrk.console.calls import Refused
from mrk.console.form import Declaration, Problem, Values
from mrk.console.pages import Form
from mrk.console.security import Guard, Session
from mrk.errors import MrkError

_FOLDER = Path(__file__).parent
_MOST_BYTES = 1024 * 1024
_BAD_REQUEST, _FORBIDDEN, _NOT_FOUND, _TOO_LARGE = 400, 403, 404, 413
_BAD_GATEWAY = 502


@dataclass(frozen=True)
class Console:
    """What every page needs: the stack, the session, the templates."""

    stack: Api
    session: Session
    templates: jinja2.Environment

    def page(self, name: str, code: int = 200, **context: object) -> HTMLResponse:
        """Render a page."""
        return HTMLResponse(self.render(name, **context), code)

    def render(self, name: str, **context: object) -> str:
        """Render a page or a part of one."""
        return self.templates.get_template(name).render(
            stack=self.stack, csrf=self.session.csrf, **context
        )


@dataclass(frozen=True)
class Asked:
    """What a request of the browser asks for."""

    console: Console
    query: dict[str, str]
    form: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    """Every value of each field of the form, such as of the boxes `confirm`."""
    request_id: str = ""

    @property
    def api(self) -> Api:
        """Return the API of the stack."""
        return self.console.stack


type View = Callable[[Asked], Response]


def new_app(stack: Api, session: Session) -> Starlette:
    """Make the console of a stack."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["json"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    templates.globals |= {"words": pages.WORDS, "id_of": form.id_of}
    console = Console(stack, session, templates)
    one = "/key-sets/{request_id}"
    routes = [
        _route(console, "/", show_list),
        _route(console, "/new", show_new),
        _route(console, "/new", fill_in, "POST"),
        _route(console, "/check", check, "POST"),
        _route(console, "/send", send, "POST"),
        _route(console, one, show_one),
        _route(console, f"{one}/live", show_live),
        _route(console, f"{one}/change", show_change),
        _route(console, f"{one}/approval", decide, "POST"),
        _route(console, f"{one}/operations", operate, "POST"),
        _route(console, f"{one}/cancel", cancel, "POST"),
        Mount("/static", StaticFiles(directory=_FOLDER / "static")),
    ]

    def no_page(_: Request, __: Exception) -> Response:
        message = "There is no such page in this console."
        return console.page("error.html", _NOT_FOUND, title="Not found", message=message)

    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, session=session)],
        exception_handlers={_NOT_FOUND: no_page},
    )


def _route(console: Console, path: str, view: View, method: str = "GET") -> Route:
    async def endpoint(request: Request) -> Response:
        pairs = await _pairs(request) if method == "POST" else []
        asked = Asked(
            console,
            dict(request.query_params),
            dict(pairs),
            {name: [v for n, v in pairs if n == name] for name, _ in pairs},
            request.path_params.get("request_id", ""),
        )
        if method == "POST" and not console.session.takes_csrf(asked.form, request.headers):
            message = "This form is not from this console as it runs now. Open its page again."
            return console.page("error.html", _FORBIDDEN, title="Not taken", message=message)
        return await run_in_threadpool(_answer, view, asked)

    return Route(path, endpoint, methods=[method])


async def _pairs(request: Request) -> list[tuple[str, str]]:
    """Read the fields of a form as it is sent without files."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            raise HTTPException(_TOO_LARGE)
    return parse_qsl(body.decode(errors="replace"), keep_blank_values=True)


def _answer(view: View, asked: Asked) -> Response:
    """Answer with the view, or with a sentence where the stack does not answer."""
    try:
        return view(asked)
    except Refused as refused:
        title = "Not found" if refused.status == _NOT_FOUND else "Refused"
        return _error(asked, refused.status, title, refused.problems)
    except (MrkError, BotoCoreError, ClientError) as error:
        return _error(asked, _BAD_GATEWAY, "No answer", [{"message": str(error)}])


def _error(asked: Asked, status: int, title: str, problems: list[Problem]) -> Response:
    message = " ".join(problem["message"] for problem in problems)
    return asked.console.page("error.html", status, title=title, message=message)


def show_list(asked: Asked) -> Response:
    """Show a page of the list."""
    status = asked.query.get("status") or None
    found = calls.listed(asked.api, status, asked.query.get("next"))
    return asked.console.page(
        "list.html", listed=found, chosen=status or "", statuses=pages.STATUSES
    )


def show_new(asked: Asked) -> Response:
    """Show the form of a new key set."""
    values = {
        "requestId": f"console-{secrets.token_hex(4)}",
        "primaryRegion": asked.api.region,
        "keySpec": "SYMMETRIC_DEFAULT",
        "origin": "AWS_KMS",
        "alias": "alias/",
        "onFailure": "RETAIN",
    }
    return _form_page(asked, Form(values, {}))


def show_change(asked: Asked) -> Response:
    """Show the form with the declaration of a key set, as its next revision."""
    status = calls.status_of(asked.api, asked.request_id)
    base = status.get("request")
    if base is None:
        title, message = "Cannot be changed", "The API shows no declaration of this request."
        return asked.console.page("error.html", _NOT_FOUND, title=title, message=message)
    base = {name: value for name, value in base.items() if name != "confirm"}
    if status["key"] and status["status"] not in pages.CORRECTABLE:
        base["revision"] = status["revision"] + 1
    if region := asked.query.get("promote"):
        base = form.promoted(base, region)
    return _form_page(asked, Form(form.values_of(base), base))


def fill_in(asked: Asked) -> Response:
    """Add or take away a part of the form, or show the plan of what it declares."""
    values, base = dict(asked.form), _base(asked)
    action, _, argument = values.pop("action", "review").partition(":")
    match action:
        case "add-replica":
            focus = f"replicas[{form.replica_count(values)}].region"
            return _form_page(asked, Form(form.with_replica(values), base, focus=focus))
        case "remove-replica" if argument.isdecimal():
            values = form.without_replica(values, int(argument))
            return _form_page(asked, Form(values, base, focus="add-replica"))
        case "more-tags":
            return _form_page(asked, Form(values, base))
    document, problems = form.document_of(values, base)
    try:
        planned = _plan(asked, document, problems)
    except Refused as refused:
        filled = Form(values, base, refused.problems)
        return _form_page(asked, filled, _BAD_REQUEST)
    return _review(asked, document, planned)


def check(asked: Asked) -> Response:
    """Return the problems of the form as it is, and the policies that it would make, as JSON."""
    values, base = dict(asked.form), _base(asked)
    document, problems = form.document_of(values, base)
    try:
        planned, problems = _plan(asked, document, problems), []
    except Refused as refused:
        planned, problems = None, refused.problems
    filled = Form(values, base, problems)
    return JSONResponse(
        {
            "problems": filled.by_id,
            "others": filled.others,
            "plan": asked.console.render("_keys.html", planned=planned),
        }
    )


def send(asked: Asked) -> Response:
    """Send what was reviewed; or go back to the form."""
    document: Declaration = _declaration(asked.form.get("document"))
    if asked.form.get("action") == "back":
        return _form_page(asked, Form(form.values_of(document), document))
    if words := asked.lists.get("confirm"):
        document = {**document, "confirm": words}
    try:
        sent = calls.send(asked.api, document, asked.form.get("planId"))
    except Refused as refused:
        plain = {name: value for name, value in document.items() if name != "confirm"}
        try:
            planned = calls.plan(asked.api, plain)
        except Refused as also:
            filled = Form(form.values_of(plain), plain, also.problems)
            return _form_page(asked, filled, _BAD_REQUEST)
        return _review(asked, plain, planned, refused.problems, words or [])
    return _to(sent["requestId"])


def show_one(asked: Asked) -> Response:
    """Show one key set."""
    return asked.console.page("one.html", **_live(asked))


def show_live(asked: Asked) -> Response:
    """Return what of a key set's page may have changed, as JSON."""
    found = _live(asked)
    return JSONResponse(
        {
            "html": asked.console.render("_live.html", **found),
            "said": found["said"],
            "goesOn": found["goes_on"],
        }
    )


def decide(asked: Asked) -> Response:
    """Approve or refuse what waits for approval."""
    decision = {name: asked.form.get(name) for name in ("decision", "contentHash")}
    comment = asked.form.get("comment", "").strip() or None
    return _done(
        asked,
        lambda: calls.decide(asked.api, asked.request_id, {**decision, "comment": comment}),
    )


def operate(asked: Asked) -> Response:
    """Ask for an operation on a key set."""
    operation: dict[str, Any] = {
        name: asked.form.get(name) for name in ("operation", "operationId")
    }
    if words := asked.form.get("confirm", "").split():
        operation["confirm"] = words
    return _done(asked, lambda: calls.operate(asked.api, asked.request_id, operation))


def cancel(asked: Asked) -> Response:
    """Cancel a request that is under way."""
    return _done(asked, lambda: calls.cancel(asked.api, asked.request_id))


def _done(asked: Asked, ask: Callable[[], None]) -> Response:
    """Do something to a key set and go to its page; say there what it was refused for."""
    try:
        ask()
    except Refused as refused:
        if refused.status == _NOT_FOUND:
            raise
        found = {**_live(asked), "errors": refused.problems}
        return asked.console.page("one.html", refused.status, **found)
    return _to(asked.request_id)


def _to(request_id: str) -> Response:
    return RedirectResponse(f"/key-sets/{quote(request_id, safe='')}", 303)


def _live(asked: Asked) -> dict[str, Any]:
    status = calls.status_of(asked.api, asked.request_id)
    goes_on = pages.goes_on(status)
    return {
        "status": status,
        "rows": pages.rows_of(status),
        "operations": pages.operations_for(status),
        "operation_id": f"console-{secrets.token_hex(6)}",
        "history": [] if goes_on else calls.history_of(asked.api, asked.request_id),
        "goes_on": goes_on,
        "said": pages.said_of(status),
        "errors": [],
    }


def _form_page(asked: Asked, filled: Form, status: int = 200) -> Response:
    session = asked.api.session
    return asked.console.page(
        "form.html",
        status,
        form=filled,
        regions=choices.regions_of(session),
        key_types=choices.key_types(choices.partition_of(session)),
        usages=choices.USAGES,
        planned=None,
    )


def _plan(asked: Asked, document: Declaration, problems: list[Problem]) -> dict[str, Any]:
    """Plan a document; what could not be read of the form is a problem like the API's own."""
    try:
        planned = calls.plan(asked.api, document)
    except Refused as refused:
        read = {problem["path"] for problem in problems}
        others = [one for one in refused.problems if one.get("path") not in read]
        raise Refused(refused.status, problems + others) from refused
    if problems:
        raise Refused(_BAD_REQUEST, problems)
    return planned


def _review(
    asked: Asked,
    document: Declaration,
    planned: dict[str, Any],
    problems: list[Problem] | None = None,
    chosen: list[str] | None = None,
) -> Response:
    needed = dict.fromkeys(one["confirm"] for one in planned.get("changes", []) if one["confirm"])
    return asked.console.page(
        "review.html",
        _BAD_REQUEST if problems else 200,
        document=document,
        planned=planned,
        problems=problems or [],
        needed=[*needed],
        chosen=chosen or [],
        warnings=[one for one in planned["warnings"] if one["code"] != "CONFIRMATION_REQUIRED"],
        consequences=[one for one in planned["warnings"] if one["code"] == "CONFIRMATION_REQUIRED"],
    )


def _base(asked: Asked) -> Declaration:
    return _declaration(asked.form.get("base"))


def _declaration(text: str | None) -> Declaration:
    """Read a declaration that the page has kept; it is ours, and the API checks it anyway."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


__all__ = ["Values", "new_app"]
