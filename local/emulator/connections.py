"""The connections of clients to this process, as the system knows them."""

import socket

import psutil


def close(client_port: int) -> None:
    """Close the connection from a port of this machine, without an answer."""
    for connection in psutil.Process().net_connections(kind="tcp"):
        if connection.raddr and connection.raddr.port == client_port and connection.fd >= 0:
            with socket.fromfd(connection.fd, connection.family, socket.SOCK_STREAM) as copy:
                copy.shutdown(socket.SHUT_RDWR)
            return


def descendant_at(client_port: int) -> psutil.Process | None:
    """Find the process that a connection comes from, among those that this one started."""
    for process in psutil.Process().children(recursive=True):
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.NoSuchProcess:
            continue
        if any(connection.laddr.port == client_port for connection in connections):
            return process
    return None
