"""Where an account's key comes from. It is read once, at start-up, and shown nowhere.

Three places: a file that only its owner can read, two variables of the environment, or the ready
line of the local exchange, whose keys are worth nothing and open nothing else.
"""

import json
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from engine.errors import EXIT_UNSAFE, EXIT_USAGE, TickmakerError

_BYTES_MAX = 65_536
_FORM = 'It holds two entries: api_key = "..." and secret = "...".'
_ENTRIES = ("api_key", "secret")


@dataclass(frozen=True, slots=True)
class Credential:
    """Never shown: neither part is in its repr."""

    api_key: str = field(repr=False)
    secret: str = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential is not pickled")


def from_file(path: Path) -> Credential:
    """A TOML file of two entries, api_key and secret; refused where others may read it."""
    text = _read(path, "the key file", is_private=True)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # its message quotes what it stumbled on
        raise TickmakerError(
            f"{path} is no TOML", _FORM, EXIT_USAGE
        ) from None
    return _credential(document, str(path))


def from_environment(key: str, secret: str, environment: Mapping[str, str]) -> Credential:
    for name in (key, secret):
        if not environment.get(name):
            raise TickmakerError(
                f"The environment has no {name}", "Set it, or use key_file.", EXIT_USAGE
            )
    return Credential(environment[key], environment[secret])


def ready_line(path: Path) -> dict[str, Any]:
    """What the local exchange said when it was ready: `tickmaker exchange --json > path`."""
    text = _read(path, "the exchange's ready line", is_private=False)
    for line in text.splitlines():
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict) and _is_ready(document):
            return document
    raise TickmakerError(
        f"{path} holds no ready line of the local exchange",
        "It may still be starting: try again. It is started so: tickmaker exchange --json > "
        f"{path}",
        EXIT_USAGE,
    )


def _is_ready(document: dict[str, Any]) -> bool:
    """Addresses, where it has any, are texts: who reads them takes nothing else."""
    urls, rest_url = document.get("ws_url", {}), document.get("rest_url", "")
    ca_file = document.get("ca_file")
    return (
        "accounts" in document
        and isinstance(urls, dict) and all(isinstance(url, str) for url in urls.values())
        and isinstance(rest_url, str) and (ca_file is None or isinstance(ca_file, str))
    )  # fmt: skip


def from_ready_line(document: Mapping[str, Any], account: int, where: str) -> Credential:
    accounts = document["accounts"]
    if not isinstance(accounts, list) or not 0 <= account < len(accounts):
        raise TickmakerError(
            f"{where} has no account {account}", "Accounts are counted from 0.", EXIT_USAGE
        )
    return _credential(accounts[account], where)


def _credential(document: Any, where: str) -> Credential:
    values = [document.get(name) for name in _ENTRIES] if isinstance(document, dict) else [None]
    if not all(isinstance(value, str) and value.strip() for value in values):
        raise TickmakerError(
            f"{where}: expected {' and '.join(_ENTRIES)}, each a text",
            _FORM,
            EXIT_USAGE,
        )
    api_key, secret = (str(value).strip() for value in values)
    return Credential(api_key, secret)


def _read(path: Path, what: str, *, is_private: bool) -> str:
    """The file's text. Owner and mode are those of the file that is read, not of a name."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if is_private:
                _refuse_others(path, status)
            return file.read(_BYTES_MAX).decode()
    except (OSError, UnicodeDecodeError) as e:
        why = e.strerror if isinstance(e, OSError) else "it is no text"
        raise TickmakerError(
            f"Can't read {what} {path}: {why}", "Check the path.", EXIT_USAGE
        ) from None


def _refuse_others(path: Path, status: os.stat_result) -> None:
    if stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise TickmakerError(
            f"{path} holds a key, and others may read or change it", f"chmod 600 {path}",
            EXIT_UNSAFE,
        )  # fmt: skip
    if status.st_uid not in (os.geteuid(), 0):
        raise TickmakerError(
            f"{path} holds a key, and belongs to another user", f"chown it to {os.geteuid()}",
            EXIT_UNSAFE,
        )  # fmt: skip
