"""Makes ``.venv`` with this project in it, and renews it when what it needs has changed.

    python3 example_project/environment.py dev

Standard library only: it runs before anything is installed.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)


class CannotPrepare(Exception):
    """A sentence for whoever sits at the terminal."""


def prepare(extra: str) -> Path:
    """The Python of an environment with ``.[extra]``; raises ``CannotPrepare``.

    ``WCB_PYTHON`` names an interpreter that has everything; nothing is installed then.
    """
    if os.environ.get("WCB_PYTHON"):
        return Path(os.environ["WCB_PYTHON"])
    check_interpreter()
    folder = Path(os.environ.get("WCB_VENV") or ROOT / ".venv")
    python = folder / "bin" / "python"
    # Anew for another Python or another list of requirements.
    wanted = hashlib.sha256(
        sys.version.encode() + (ROOT / "pyproject.toml").read_bytes()
    ).hexdigest()
    stamp = folder / f".installed-{extra}"
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"Installing into {folder.name} (half a minute, once) ...", flush=True)
    run([sys.executable, "-m", "venv", str(folder)], "Making the environment failed.")
    install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*install, "-e", f"{ROOT}[{extra}]"], "Installing the packages failed.")
    stamp.write_text(wanted)
    return python


def check_interpreter() -> None:
    if sys.version_info < OLDEST:
        wanted, found = (".".join(map(str, v)) for v in (OLDEST, sys.version_info[:2]))
        raise CannotPrepare(
            f"Python {wanted} or newer is needed, this one is {found}. "
            "Name another: make demo PYTHON=python3.12"
        )
    if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        version = ".".join(map(str, sys.version_info[:2]))
        raise CannotPrepare(
            "Python's venv module is missing. "
            f"On Debian and Ubuntu: apt install python3-venv (or python{version}-venv)"
        )


def run(command: list, failure: str) -> None:
    if subprocess.run(command, cwd=ROOT).returncode:
        raise CannotPrepare(failure)


if __name__ == "__main__":
    try:
        prepare(sys.argv[1])
    except CannotPrepare as problem:
        sys.exit(str(problem))
