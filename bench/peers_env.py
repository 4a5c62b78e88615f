"""The peers' own virtual environment, made on demand under build/peers and kept there."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from engine.errors import TickmakerError

REQUIREMENTS = Path(__file__).resolve().parent / "requirements-peers.txt"
CACHE_DIR = REQUIREMENTS.parent.parent / "build" / "peers"
INSTALL_TIMEOUT_S = 900
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
INSTALL = ("install", "--quiet", "--only-binary", ":all:", "-r")


def python(requirements: Path = REQUIREMENTS, cache_dir: Path = CACHE_DIR) -> Path:
    """The interpreter of an environment with exactly these requirements for this Python.

    Raises TickmakerError when it can't be made, which mostly means that no package index can be
    reached. Half an environment is never left to be found.
    """
    digest = hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()[:16]
    folder = cache_dir / digest
    interpreter = folder / "bin" / "python"
    if (folder / "ready").exists():
        return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
        ours = [sys.executable, *PIP, "--python", str(interpreter)]  # a pip of its own takes 10 s
        _run(*ours, *INSTALL, str(requirements))
        (folder / "ready").touch()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(str(error)) from None
    return interpreter


def _run(*command: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
    )
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise _failed(said[-1] if said else done.stderr.strip()[-300:])


def _failed(why: str) -> TickmakerError:
    return TickmakerError(
        f"the peers of bench book could not be installed: {why}",
        "make a package index reachable (pip's own settings), or leave them out: --no-peers",
    )
