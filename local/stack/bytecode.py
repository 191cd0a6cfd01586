"""Puts bytecode into a built application: `python -m local.stack.bytecode .aws-sam/build`.

`sam build` leaves sources only, and Lambda cannot write beside them, so that every cold start would
compile every module again.
"""

import compileall
import py_compile
import shutil
import sys
from pathlib import Path

from local.errors import LocalStackError

# Where Lambda unpacks a package; tracebacks show it.
_DEPLOYED = "/var/task"


def compile_functions(build: Path) -> None:
    """Compile what `sam build` made of functions/, once for all functions, which share it.

    The bytecode is used as it is, whatever its source: SAM dates every file it packs to 1980, so a
    date cannot tell that both belong together. A Python that does not know it compiles as before.
    https://docs.python.org/3/reference/import.html#cached-bytecode-invalidation

    Parameters
    ----------
    build
        The folder with the built template, and a folder for each function.

    Raises
    ------
    LocalStackError
        There is no such application, or a file that does not compile.
    """
    packages = sorted(path.parent for path in build.glob("*/requirements.txt"))
    if not packages or not (build / "template.yaml").exists():
        raise LocalStackError(f"{build} is no built application. Build first: sam build")
    first, *others = packages
    compiled = compileall.compile_dir(
        first,
        force=True,
        quiet=1,
        stripdir=str(first),
        prependdir=_DEPLOYED,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        raise LocalStackError(f"A file of {first} does not compile.")
    for other in others:
        for folder in first.rglob("__pycache__"):
            shutil.copytree(folder, other / folder.relative_to(first), dirs_exist_ok=True)


if __name__ == "__main__":
    try:
        compile_functions(Path(sys.argv[1]))
    except LocalStackError as error:
        sys.exit(str(error))
