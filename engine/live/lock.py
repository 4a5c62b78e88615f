"""One engine an account: a lock held for life, and which run was the last, beside it.

`<state_dir>/<account>.lock` is flock'ed; the kernel lets it go with the process, however that
ends. `<state_dir>/<account>.json` names the folder of the account's last run: its ledger holds
what the account should own now. It is written whole or not at all, and only when the new run's
journal holds its own opening: a start that fails before leaves the old one.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import EXIT_UNSAFE, TickmakerError
from engine.recorder.segments import is_locked
from engine.venues.hosts import is_local, place_of

# Of a file that is cut off, of another program, or no text at all.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


class Previous(NamedTuple):
    """The run before this one, and since when it was the account's last (venue's UTC)."""

    run_dir: Path
    utc_ns: int
    # By instrument, where that run did not agree with the venue: trades since then may be missing.
    unread: Mapping[str, int] = {}


def key_mark(venue: str, rest_url: str, api_key: str) -> str:
    """Names a key without telling it. Of one venue a key is one account's, under whatever address;
    exchanges of our own on this host are many, and their keys alike."""
    where = place_of(rest_url) if is_local(rest_url) else venue
    return hashlib.sha256(f"{where}\n{api_key}".encode()).hexdigest()[:32]


def same_keys(marks: Mapping[str, str]) -> list[str]:
    """What is wrong with the keys of one configuration; `marks` are key_mark()s by account."""
    return [
        f"accounts {name} and {other} have the same key, so they are one account: name the "
        "instruments of both under one of them, or give each a key of its own"
        for (name, mark), (other, other_mark) in combinations(marks.items(), 2)
        if mark == other_mark
    ]


class AccountLock:
    """Of one account; `take` first. `mark` (key_mark) is locked as well, in `locks_dir`: a second
    engine may know the account by another name, or have another state folder."""

    def __init__(
        self, state_dir: Path, account: str, mark: str = "", locks_dir: Path | None = None
    ) -> None:
        self.account = account
        self.mark = mark
        self.path = state_dir / f"{account}.lock"
        self.state_path = state_dir / f"{account}.json"
        self._locks_dir = locks_dir
        self._fds: list[int] = []

    def take(self) -> None:
        """Hold the lock; TickmakerError when another engine does, or the folder can't be used."""
        self._lock(self.path)
        if self._locks_dir is not None and self.mark:
            try:
                self._lock(self._locks_dir / f"{self.mark}.lock")
            except TickmakerError:
                self.release()
                raise

    def _lock(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise TickmakerError(
                f"account {self.account} is traded by another engine ({path} is locked)",
                "stop that one first: two engines would undo each other's orders",
                EXIT_UNSAFE,
            ) from None
        except OSError as error:  # without a lock nothing keeps a second engine away
            os.close(fd)
            raise _unusable(path, error) from None
        self._fds.append(fd)

    def release(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    def previous(self) -> Previous | None:
        """The account's run before this one; None: there was none. An unreadable file is an
        error: taken for a first start, it would make any position ours."""
        try:
            data = self.state_path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self.state_path, error) from None
        try:
            return _previous(json.loads(data))
        except UNREADABLE:
            raise TickmakerError(
                f"{self.state_path} can't be read: it says which run traded {self.account} last",
                "restore it; or delete it, and what the account holds becomes the opening",
                EXIT_UNSAFE,
            ) from None

    def note(self, run_dir: Path, utc_ns: int, unread: Mapping[str, int]) -> None:
        """From now on this run is the account's last; on disk before this returns."""
        told = {"run_dir": str(run_dir.resolve()), "utc_ns": utc_ns, "unread": dict(unread)}
        text = json.dumps(told)
        fresh = self.state_path.with_suffix(".json.new")
        try:
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(fd)
            fresh.replace(self.state_path)
            _sync_folder(self.state_path.parent)
        except OSError as error:
            raise _unusable(self.state_path, error) from None


def _previous(told: Any) -> Previous:
    unread = {str(key): int(ns) for key, ns in told.get("unread", {}).items()}
    run_dir = Path(told["run_dir"])
    if not run_dir.is_absolute() or "\0" in told["run_dir"]:
        raise ValueError("Expected the run folder's whole path")  # as `note` writes it
    return Previous(run_dir, int(told["utc_ns"]), unread)


def is_held(state_dir: Path, account: str) -> bool:
    """Whether some engine holds the account now; nothing is made."""
    return is_locked(state_dir / f"{account}.lock")


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # a file system that can't sync a folder
        os.fsync(fd)
    os.close(fd)


def _unusable(path: Path, error: OSError) -> TickmakerError:
    return TickmakerError(
        f"can't use {path}: {error.strerror}",
        "check that its folder is on a local disk and belongs to this user (XDG_STATE_HOME moves "
        "the locks of keys)",
    )
