"""Serves the console on loopback until it is interrupted."""

import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from mrk.api import Api
from mrk.console.app import new_app
from mrk.console.security import HOST_NAMES, Session
from mrk.errors import MrkError


def serve(stack: Api, port: int, show: Callable[[str], None]) -> None:
    """Serve the console of a stack until it is interrupted.

    Parameters
    ----------
    port
        0 for any that is free.
    show
        Called with the console's address once it answers there.

    Raises
    ------
    MrkError
        The port is taken.
    """
    with _listening(port) as listener:
        session = Session(listener.getsockname()[1])
        # Without a log of requests: the first one has the token in its address.
        config = uvicorn.Config(
            new_app(stack, session), log_level="warning", access_log=False, server_header=False
        )
        show(session.address)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST_NAMES[0], port))
    except OSError as error:
        listener.close()
        raise MrkError(
            f"Port {port} of {HOST_NAMES[0]} cannot be used: {error.strerror}. Choose another one "
            "with --port."
        ) from error
    listener.listen()
    return listener
