"""Has a process forked for a function, and ends as it ends; see `function_processes.py`.

It runs once for each environment, so it imports little. Where nobody forks, it starts Python anew.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import NoReturn


def main() -> NoReturn:
    """Be the function's process, as far as whoever started it can see."""
    path = os.environ.get("FUNCTION_PROCESSES", "")
    folder = os.getcwd()  # noqa: PTH109 - pathlib imports more than the rest
    start = {"environment": dict(os.environ), "folder": folder}
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            os.chdir(os.path.dirname(path))  # noqa: PTH120
            connection.connect(os.path.basename(path))  # noqa: PTH119
        except OSError:
            os.chdir(folder)
            anew = ["python", "-m", "awslambdaric", os.environ["_HANDLER"]]
            os.execv(sys.executable, anew)  # noqa: S606 - it needs no shell
        socket.send_fds(connection, [json.dumps(start).encode()], [1, 2])
        code = int(connection.recv(16) or 1)
    if code < 0:
        with suppress(OSError):  # SIGKILL has no handler to take away
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
