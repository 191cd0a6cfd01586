"""Starts and stops the emulator's process."""

import itertools
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx
import psutil

from local.errors import LocalStackError
from local.polling import wait_for
from local.settings import ACCOUNT_ID, HOST, ROOT, STATE, aws_environment

_START_TIMEOUT = 60
_STOP_TIMEOUT = 10


@dataclass(frozen=True)
class Server:
    """A running emulator."""

    process: psutil.Process
    port: int
    region: str
    folder: Path
    """Where it keeps its process ID, log and temporary files."""
    child: subprocess.Popen[bytes] | None = None
    """The same process, if it is one that we started ourselves."""

    @property
    def endpoint_url(self) -> str:
        """The URL at which it answers this machine."""
        return f"http://{HOST}:{self.port}"


def start(
    port: int,
    region: str,
    folder: Path,
    environment: dict[str, str] | None = None,
    hosts: Sequence[str] = (HOST,),
) -> Server:
    """Start an emulator and wait until it answers.

    Parameters
    ----------
    port, region
        Where it listens, and the Region it is at home in.
    folder
        Where it keeps its process ID, log and temporary files.
    environment
        Settings of the emulator beyond ours, such as `SFN_WAIT_SCALE`.
    hosts
        Addresses it listens at; loopback is one of them.

    Raises
    ------
    LocalStackError
        The port is taken, or the emulator ended before it answered.
    """
    if _is_taken(port):
        raise LocalStackError(
            f"Port {port} is used by another program. Choose another one: make … PORT={port + 1}"
        )
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    endpoint_url = f"http://{HOST}:{port}"
    settings = aws_environment(endpoint_url, region) | {
        "AUTH": "true",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
        "MINISTACK_REGION": region,
        "TMPDIR": str(temporary),
        **(environment or {}),
    }
    log = folder / "emulator.log"
    command = [sys.executable, "-m", "local.emulator", "--port", str(port), "--region", region]
    command += ["--hosts", *hosts]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=settings,
            # It outlives the terminal that it was started from.
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # An interrupt from the keyboard is for the caller, who stops the emulator in order.
            start_new_session=True,
        )
    server = Server(psutil.Process(process.pid), port, region, folder, process)
    _pid_file(folder).write_text(f"{process.pid}\n")

    def ready() -> bool | None:
        if process.poll() is not None:
            raise LocalStackError(f"The emulator ended while it started. Its log says why: {log}")
        return _answers(endpoint_url) or None

    try:
        wait_for(ready, "the emulator to answer", timeout=_START_TIMEOUT)
    except BaseException:
        stop(server)
        raise
    return server


@contextmanager
def temporary(name: str, environment: dict[str, str]) -> Iterator[Server]:
    """Run an emulator for as long as the block runs; after a failure its folder stays.

    Parameters
    ----------
    name
        What its folder's name begins with.
    environment
        As `start` takes it.
    """
    port = free_port()
    folder = STATE / f"{name}-{port}"
    folder.mkdir(parents=True)
    started = start(port, "us-east-1", folder, environment)
    try:
        yield started
    finally:
        stop(started)
    shutil.rmtree(folder)


def running(folder: Path) -> Server | None:
    """Find the emulator that was started with this folder, if it still runs."""
    try:
        process = psutil.Process(int(_pid_file(folder).read_text()))
        command = process.cmdline()
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
    # The system may have given the ID to another process since.
    if "local.emulator" not in command:
        return None
    options = dict(itertools.pairwise(command))
    return Server(process, int(options["--port"]), options["--region"], folder)


def listens(server: Server) -> bool:
    """Whether an emulator takes connections."""
    return _is_taken(server.port)


def stop(server: Server) -> None:
    """Stop an emulator and all that it started."""
    # The functions' workers are the emulator's children: found while it lives.
    _end([server.process, *_children(server.process)])
    if server.child:
        server.child.wait()
    _pid_file(server.folder).unlink(missing_ok=True)


def free_port() -> int:
    """Return a port that nothing listens at."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def docker_bridge() -> list[str]:
    """Return the address at which containers reach this machine, where Docker runs on Linux."""
    addresses = psutil.net_if_addrs().get("docker0", [])
    return [address.address for address in addresses if address.family == socket.AF_INET]


def _pid_file(folder: Path) -> Path:
    return folder / "emulator.pid"


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        _signal(process, force=False)
    _, alive = psutil.wait_procs(processes, timeout=_STOP_TIMEOUT)
    for process in alive:
        _signal(process, force=True)
    psutil.wait_procs(alive, timeout=_STOP_TIMEOUT)


def _signal(process: psutil.Process, *, force: bool) -> None:
    try:
        if force:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        return


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _answers(endpoint_url: str) -> bool:
    try:
        answer = httpx.get(f"{endpoint_url}/_ministack/ready", timeout=5)
    except httpx.TransportError:
        return False
    return answer.status_code == HTTPStatus.OK
