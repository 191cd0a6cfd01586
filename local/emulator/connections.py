"""The connections of clients to this process, as the system knows them.

A client's port alone names none: the system lets connections to two servers share it, and this
process serves Lambda's Runtime API on ports of its own.
"""

import socket
from typing import Any

import psutil


def close(client_port: int, server_port: int) -> None:
    """Close the connection from a port of this machine to one of this process, unanswered."""
    for connection in psutil.Process().net_connections(kind="tcp"):
        if _ports(connection) == (server_port, client_port) and connection.fd >= 0:
            with socket.fromfd(connection.fd, connection.family, socket.SOCK_STREAM) as copy:
                copy.shutdown(socket.SHUT_RDWR)
            return


def descendant_at(client_port: int, server_port: int) -> psutil.Process | None:
    """Find the process that a connection comes from, among those that this one started."""
    for process in psutil.Process().children(recursive=True):
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.NoSuchProcess:
            continue
        if any(_ports(connection) == (client_port, server_port) for connection in connections):
            return process
    return None


def _ports(connection: Any) -> tuple[int, int] | None:
    """Return the own port and the other's; None of what only listens."""
    return (connection.laddr.port, connection.raddr.port) if connection.raddr else None
