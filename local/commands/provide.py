"""`make provide`: wraps key material for a request that waits for it, and answers."""

from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

from rich.console import Console

from local.errors import LocalStackError
from local.stack.stack import Stack
from mrk.key_material import MaterialRefused, wrap_key_material


def provide(stack: Stack, request_id: str, material: Path, console: Console) -> None:
    """Answer what a request asks for right now.

    Raises
    ------
    LocalStackError
        The file cannot be read, its material does not fit, or the request takes no answer.
    """
    try:
        key_material = material.read_bytes()
    except OSError as error:
        raise LocalStackError(f"MATERIAL={material} cannot be read: {error.strerror}.") from error
    path = f"/keys/{quote(request_id, safe='')}"
    status = stack.api("GET", path)
    if status.status_code != HTTPStatus.OK:
        raise LocalStackError(f"REQUEST={request_id}: {status.text}")
    try:
        answer = wrap_key_material(status.json(), key_material, now=datetime.now(UTC))
    except MaterialRefused as refusal:
        raise LocalStackError("\n".join(refusal.problems)) from refusal
    taken = stack.api("POST", f"{path}/material", json=answer)
    if taken.status_code != HTTPStatus.ACCEPTED:
        raise LocalStackError(f"REQUEST={request_id}: {taken.text}")
    regions = ", ".join(material["region"] for material in answer["materials"])
    console.print(f"Key material for {regions} is on its way.", markup=False)
