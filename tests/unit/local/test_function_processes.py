"""Processes that are forked for functions, as whoever starts a bootstrap sees them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.polling import wait_for
from local.settings import ROOT

BOOTSTRAP = ROOT / "local" / "emulator" / "function_bootstrap.py"
# It stands for AWS's runtime client, which every function's folder would have.
CLIENT = """
import os, sys, time
print(os.getpid(), os.getcwd(), sys.argv[1], os.environ.get("NAME"), "boto3" in sys.modules)
sys.stdout.flush()
print("an error", file=sys.stderr)
exec(os.environ["THEN"])
"""


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the process that is forked, in a folder whose path is too long for a socket's."""
    folder = tmp_path_factory.mktemp("f" * 100)
    path = folder / "functions"
    command = [sys.executable, "-m", "local.emulator.function_processes", str(path)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        wait_for(lambda: path.exists() or None, "the socket", timeout=20)
        yield str(path)
        process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a function."""
    client = tmp_path / "awslambdaric"
    client.mkdir()
    (client / "__init__.py").touch()
    (client / "__main__.py").write_text(CLIENT)
    return tmp_path


def start(folder: Path, processes: str, then: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(BOOTSTRAP)],
        cwd=folder,
        env={"FUNCTION_PROCESSES": processes, "_HANDLER": "a.b", "NAME": "one", "THEN": then},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_function_has_its_own_folder_environment_and_output(processes: str, folder: Path) -> None:
    output, _ = start(folder, processes, "sys.exit(3)").communicate(timeout=20)

    line, error = output.splitlines()
    assert line.split()[1:] == [str(folder), "a.b", "one", "True"]
    assert error == "an error"


@pytest.mark.parametrize(
    ("then", "code"),
    [
        ("pass", 0),
        ("sys.exit(3)", 3),
        ("sys.exit('a text')", 1),
        ("raise ValueError('no')", 1),
        ("os._exit(4)", 4),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("os.kill(os.getpid(), 11)", -signal.SIGSEGV),
    ],
)
def test_a_bootstrap_ends_as_its_function_ends(
    processes: str, folder: Path, then: str, code: int
) -> None:
    bootstrap = start(folder, processes, then)
    output, _ = bootstrap.communicate(timeout=20)

    assert bootstrap.returncode == code
    assert ("ValueError: no" in output) == ("ValueError" in then)


def test_a_function_ends_with_its_bootstrap(processes: str, folder: Path) -> None:
    bootstrap = start(folder, processes, "time.sleep(60)")
    assert bootstrap.stdout is not None
    process = psutil.Process(int(bootstrap.stdout.readline().split()[0]))
    assert process.pid != bootstrap.pid

    bootstrap.kill()
    bootstrap.communicate(timeout=20)

    wait_for(lambda: not process.is_running() or None, "the process to end", timeout=20)


def test_more_functions_wait_for_work_than_the_library_forks_by_default(
    processes: str, folder: Path
) -> None:
    bootstraps = [start(folder, processes, "time.sleep(60)") for _ in range(45)]
    for bootstrap in bootstraps:
        assert bootstrap.stdout is not None
        assert bootstrap.stdout.readline()
        bootstrap.kill()
        bootstrap.communicate(timeout=20)


def test_without_a_process_to_fork_python_starts_anew(folder: Path) -> None:
    bootstrap = start(folder, os.fspath(folder / "nothing"), "sys.exit(3)")
    output, _ = bootstrap.communicate(timeout=20)

    assert bootstrap.returncode == 3
    assert output.split()[:5] == [str(bootstrap.pid), str(folder), "a.b", "one", "False"]
