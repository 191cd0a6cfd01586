"""`make cold-start`: how long each function takes to start, against boto3 with the same clients.

Every start is a process of its own that runs what the local stack deploys. It waits for nothing,
since what it reads lies in the disk's cache; so its CPU time is counted, without Python's own start
and whatever other programs take. Kinds of starts take turns, and medians are compared, so that a
machine which is busy for a while slows down all of them alike.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from local.settings import STATE
from local.stack.build import PACKAGE, built_template
from tests.support.environment import ENVIRONMENT

MOST = 1.25
"""How many times as long as boto3 with its clients a function that only calls AWS may take."""
PARSERS = {
    "keys_api",
    "read_batch",
    "receive_hook",
    "receive_key_material",
    "redrive",
    "sweep",
    "update_ticket",
    "validate_request",
}
"""The functions that read what callers wrote, by their folder: the only ones with pydantic."""

_START = Path(__file__).with_name("one_start.py")
_CACHES = STATE / "cold-start"
# With the bytecode of everything, and with the bytecode of boto3 alone.
_COMPILED, _BOTO3_COMPILED = _CACHES / "all", _CACHES / "boto3"
_STANDARD_LIBRARY, _OURS = "standard library", "functions/"


@dataclass
class Starts:
    """What was measured of one function, in seconds of CPU time."""

    name: str
    handler: str
    services: list[str]
    boto3: list[float] = field(default_factory=list)
    function: list[float] = field(default_factory=list)
    from_source: list[float] = field(default_factory=list)
    loaded: dict[str, tuple[int, float]] = field(default_factory=dict)
    """What it loads beyond boto3: the number of modules of each package, and their import time."""

    @property
    def ratio(self) -> float:
        """How many times as long as boto3 with its clients it takes."""
        return statistics.median(self.function) / statistics.median(self.boto3)

    @property
    def is_slow(self) -> bool:
        """Whether it only calls AWS and takes longer than it may."""
        return not self.may_parse and self.ratio > MOST

    @property
    def may_parse(self) -> bool:
        """Whether it reads what callers wrote."""
        return self.handler.removesuffix(".app") in PARSERS

    @property
    def parses(self) -> bool:
        """Whether it loads pydantic."""
        return "pydantic" in self.loaded


def main() -> int:
    """Measure, print the tables; return 1 where a function takes too long or loads too much."""
    parser = argparse.ArgumentParser(prog="python -m bench.cold_start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="starts of each kind (default: 9)")
    rounds = parser.parse_args().rounds
    template, _ = built_template()
    shutil.rmtree(_CACHES, ignore_errors=True)
    functions = [_warmed(name, handler) for name, handler in _handlers(template)]
    _start(functions, rounds)
    for function in functions:
        function.loaded = _loaded(function)
    # A busy machine can make a few starts look slow, not three times as many.
    for _ in range(2):
        _start([function for function in functions if function.is_slow], rounds)
    print(_times(functions, rounds), _imports(functions), _sizes(), sep="\n\n")
    if problems := list(_problems(functions)):
        print("", *problems, sep="\n")
    return 1 if problems else 0


def _handlers(template: Path) -> list[tuple[str, str]]:
    resources = yaml.safe_load(template.read_text())["Resources"]
    return [
        (name, resource["Properties"]["Handler"].removesuffix(".handler"))
        for name, resource in sorted(resources.items())
        if resource["Type"] == "AWS::Serverless::Function"
    ]


def _warmed(name: str, handler: str) -> Starts:
    """Find out whose clients a function makes, and compile what its starts will load."""
    services = json.loads(_run(_COMPILED, "clients", handler).stdout)["services"]
    for cache in (_COMPILED, _BOTO3_COMPILED):
        _run(cache, "boto3", *services)
    return Starts(name, handler, services)


def _start(functions: list[Starts], rounds: int) -> None:
    for _ in range(rounds):
        for function in functions:
            function.boto3.append(_seconds(_COMPILED, "boto3", *function.services))
            function.function.append(_seconds(_COMPILED, "handler", function.handler))
            function.from_source.append(_seconds(_BOTO3_COMPILED, "handler", function.handler))


def _seconds(cache: Path, purpose: str, *names: str) -> float:
    seconds: float = json.loads(_run(cache, purpose, *names, keep=False).stdout)["seconds"]
    return seconds


def _run(
    cache: Path, purpose: str, *names: str, keep: bool = True, options: Iterable[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Start once.

    Parameters
    ----------
    cache
        Where the bytecode is looked for; nowhere else.
    keep
        Whether what had to be compiled is written there.
    """
    environment = ENVIRONMENT | {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PACKAGE),
        "PYTHONPYCACHEPREFIX": str(cache),
        "PYTHONDONTWRITEBYTECODE": "" if keep else "1",
    }
    return subprocess.run(
        [sys.executable, "-P", *options, str(_START), purpose, *names],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )


def _loaded(function: Starts) -> dict[str, tuple[int, float]]:
    """Sum up what a function imports beyond boto3 and its clients, each package's best of three."""
    with_boto3 = set(json.loads(_run(_COMPILED, "boto3", *function.services).stdout)["modules"])
    runs = [_self_times(function) for _ in range(3)]
    modules: dict[str, list[float]] = defaultdict(list)
    for module in runs[0].keys() - with_boto3:
        modules[_package(module)].append(min(run[module] for run in runs))
    return {package: (len(times), sum(times)) for package, times in modules.items()}


def _self_times(function: Starts) -> dict[str, float]:
    """Return the import time of each loaded module without what it imports, in seconds."""
    done = _run(
        _COMPILED,
        "modules",
        function.handler,
        *function.services,
        keep=False,
        options=("-X", "importtime"),
    )
    # Modules that were looked for in vain have times as well.
    loaded = set(json.loads(done.stdout)["modules"])
    times = {}
    for line in done.stderr.splitlines():
        own, _, module = line.removeprefix("import time:").split("|")
        if module.strip() in loaded:
            times[module.strip()] = int(own) / 1e6
    return times


def _package(module: str) -> str:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top.startswith("_sysconfigdata"):
        return _STANDARD_LIBRARY
    return _OURS if (Path("functions") / top).is_dir() else top


def _times(functions: list[Starts], rounds: int) -> str:
    head = (
        f"CPU time of a start in milliseconds, medians of at least {rounds} starts.",
        "",
        "| function | clients | boto3 with them | function | ratio | without bytecode |",
        "|---|---|--:|--:|--:|--:|",
    )
    rows = (
        f"| {function.name.removesuffix('Function')} | {', '.join(function.services) or 'none'} "
        f"| {_median(function.boto3)} | {_median(function.function)} | {function.ratio:.2f} "
        f"| {_median(function.from_source)} |"
        for function in functions
    )
    return "\n".join([*head, *rows])


def _median(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f}"


def _imports(functions: list[Starts]) -> str:
    """Show what each function loads: milliseconds, and how many modules that is."""
    packages = sorted({package for function in functions for package in function.loaded})
    head = (
        "Loaded beyond boto3 and its clients: milliseconds (modules).",
        "",
        f"| function | {' | '.join(packages)} |",
        f"|---{'|--:' * len(packages)}|",
    )
    rows = (
        f"| {function.name.removesuffix('Function')} | "
        + " | ".join(_cell(function.loaded.get(package)) for package in packages)
        + " |"
        for function in functions
    )
    return "\n".join([*head, *rows])


def _cell(loaded: tuple[int, float] | None) -> str:
    return f"{loaded[1] * 1000:.1f} ({loaded[0]})" if loaded else ""


def _sizes() -> str:
    """Show what the package holds: KB as files and in the archive, of them the bytecode."""
    sizes: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for path in PACKAGE.rglob("*"):
        if path.is_dir() or path.name == "bootstrap":
            continue
        size, packed = path.stat().st_size, _packed(path)
        top = path.relative_to(PACKAGE).parts[0]
        if (Path("functions") / top).exists():
            top = _OURS
        elif top.endswith((".dist-info", ".data")):
            top = "metadata of packages"
        elif top == "__pycache__":
            top = f"{path.name.partition('.')[0]}.py"
        for index, amount in enumerate((size, packed, size if path.suffix == ".pyc" else 0)):
            sizes[top][index] += amount
    total = [sum(column) for column in zip(*sizes.values(), strict=True)]
    head = (
        "The package, the same for every function, in KB.",
        "",
        "| part | unpacked | packed | of it bytecode, unpacked |",
        "|---|--:|--:|--:|",
    )
    ordered = sorted(sizes.items(), key=lambda item: -item[1][0])
    rows = (
        f"| {part} | " + " | ".join(f"{amount / 1024:,.0f}" for amount in amounts) + " |"
        for part, amounts in [*ordered, ("**all**", total)]
    )
    return "\n".join([*head, *rows])


def _packed(path: Path) -> int:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, path.name)
        return archive.infolist()[0].compress_size


def _problems(functions: list[Starts]) -> Iterable[str]:
    for function in functions:
        if function.parses != function.may_parse:
            yield f"{function.name}: {'loads' if function.parses else 'does not load'} pydantic."
        if function.is_slow:
            yield f"{function.name}: takes {function.ratio:.2f} times as long as boto3."


if __name__ == "__main__":
    sys.exit(main())
