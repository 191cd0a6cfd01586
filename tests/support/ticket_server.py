"""A ticket system that records what it is sent: Jira, ServiceNow and GitHub in one."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

SYS_ID = "0123456789abcdef0123456789abcdef"


@dataclass
class Answered:
    """An answer out of turn: its status and headers; None for a connection that is closed."""

    status: int | None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class TicketServer:
    """What was sent, and what the tickets have by now.

    `script` holds, by `METHOD path` (a pattern), the answers that come before the usual ones.
    """

    url: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    comments: dict[str, list[str]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    offered: dict[str, str] = field(default_factory=lambda: {"11": "Done", "21": "Needs work"})
    script: list[tuple[str, Answered]] = field(default_factory=list)
    after_writing: Answered | None = None
    """How one write is answered after it has taken effect, in the place of 2xx."""

    def writes(self) -> list[str]:
        """List what changed something."""
        return [f"{method} {path}" for method, path in self.calls if method != "GET"]

    def answer(self, method: str, path: str, body: Any) -> tuple[Answered, Any]:
        self.calls.append((method, path))
        for index, (pattern, answered) in enumerate(self.script):
            if re.search(pattern, f"{method} {path}"):
                del self.script[index]
                return answered, {}
        found = self._effect(method, path.split("?", maxsplit=1)[0], body)
        if found is None:
            return Answered(404), {}
        if method != "GET" and self.after_writing:
            answered, self.after_writing = self.after_writing, None
            return answered, {}
        return Answered(200), found

    def _effect(self, method: str, path: str, body: Any) -> Any:
        for system in (self._jira, self._servicenow, self._github):
            if (found := system(method, path, body)) is not None:
                return found
        return None

    def _jira(self, method: str, path: str, body: Any) -> Any:
        found = re.fullmatch(r"/rest/api/3/issue/([A-Z]+-\d+)/(comment|transitions)", path)
        if not found:
            return None
        key, what = found.groups()
        if what == "transitions":
            if method == "POST":
                self.states[key] = self.offered[body["transition"]["id"]]
            return {"transitions": [{"id": i, "name": name} for i, name in self.offered.items()]}
        texts = self.comments.setdefault(key, [])
        if method == "POST":
            texts.append(json.dumps(body["body"]))
        return {"comments": [{"body": json.loads(text)} for text in texts]}

    def _servicenow(self, method: str, path: str, body: Any) -> Any:
        if path == "/api/now/table/sys_journal_field":
            query = unquote(self.calls[-1][1])
            notes = self.comments.get(query.split("element_id=")[1].split("^")[0], [])
            marker = query.split("valueLIKE")[1].split("&")[0]
            return {"result": [{"sys_id": "1"} for note in notes if marker in note]}
        if path == "/api/now/table/change_request":
            number = self.calls[-1][1].split("number=")[1].split("&")[0]
            return {"result": [{"sys_id": SYS_ID}] if number == "CHG0031337" else []}
        found = re.fullmatch(r"/api/now/table/change_request/([0-9a-f]{32})", path)
        if found and method == "PATCH":
            self.comments.setdefault(found[1], []).append(body["work_notes"])
            if "state" in body:
                self.states[found[1]] = body["state"]
            return {"result": {}}
        return None

    def _github(self, method: str, path: str, body: Any) -> Any:
        found = re.fullmatch(r"/repos/acme/keys/issues/(\d+)(/comments)?", path)
        if not found:
            return None
        number, comments = found.groups()
        if comments:
            if method == "POST":
                self.comments.setdefault(number, []).append(body["body"])
            return [{"body": text} for text in self.comments.get(number, [])]
        if method == "PATCH":
            self.states[number] = body["state"]
        return {"state": self.states.get(number, "open")}


@contextmanager
def ticket_server() -> Iterator[TicketServer]:
    """Serve on loopback until the block ends."""
    system = TicketServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length)
            system.headers.append(dict(self.headers))
            answered, found = system.answer(
                self.command, self.path, json.loads(text) if text else None
            )
            if answered.status is None:
                self.close_connection = True
                return
            content = json.dumps(found).encode()
            self.send_response(answered.status)
            for name, value in answered.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _handle  # noqa: N815

        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    system.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield system
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
