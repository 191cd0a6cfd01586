"""What a fault does to a call."""

import asyncio
import contextlib

import psutil

from local.emulator import connections
from local.emulator.asgi import Answer, App, Receive, Scope, Send, send_json
from local.emulator.faults import Fault
from local.errors import LocalStackError


async def meet(fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a call that meets a fault."""
    ports = (scope["client"][1], scope["server"][1])
    try:
        caller = _caller(*ports) if fault.fault.startswith("kill-") else None
    except LocalStackError as error:
        # The test is wrong, and is to see why.
        await send_json(send, 500, {"__type": "InternalFailure", "message": str(error)})
        return
    answer = Answer()
    if fault.has_effect:
        await app(scope, receive, answer.keep)
    if caller:
        _kill(caller)
        connections.close(*ports)
    elif fault.fault.startswith("lose-"):
        connections.close(*ports)
    elif fault.fault == "hang-after":
        await _wait_while_connected(fault.seconds, receive)
        for message in answer.messages:
            await send(message)
    else:
        status, code, text = fault.error()
        await send_json(send, status, {"__type": code, "message": text}, x_amzn_errortype=code)


async def _wait_while_connected(seconds: float, receive: Receive) -> None:
    """Wait, but no longer than the client does: what waits holds up the emulator's own end."""
    # The request is read, so all that can still come is the news that the client has gone.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(receive(), seconds)


def _caller(client_port: int, server_port: int) -> psutil.Process:
    caller = connections.descendant_at(client_port, server_port)
    if caller is None:
        raise LocalStackError("Only a process that the emulator started can be killed.")
    return caller


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
