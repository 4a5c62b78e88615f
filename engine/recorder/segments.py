"""Journal segments: files that are there, allocated and in memory before they are needed.

The core writes records into a memory map, so a record costs a copy and survives SIGKILL. What
could still stall it is the kernel finding disk blocks, or a page at its first touch;
`posix_fallocate` and populating the map for *writing* take both out of the way. A segment of
16 MiB takes some milliseconds to make, so `prepare` does it in small steps from idle turns of the
loop, and `next` only has to finish what is left.

Segments are never truncated: a recorder may have the file mapped, and touching a page beyond a
new end of file is a SIGBUS. `close` gives the unused tail back to the disk as a hole instead;
`give_back` does so for a writer that was killed.
The directory is flock'ed for as long as a writer lives; the kernel drops the lock with the
process, which is how a recorder knows that nothing more will come.
"""

import contextlib
import fcntl
import mmap
import os
import struct
from pathlib import Path

from engine.errors import TickmakerError
from fastcore.journal import END_OF_SEGMENT, HEADER_SIZE

SEGMENT_SIZE = 16 * 1024 * 1024
RECORD_HEADER_SIZE = 40
END_MARK_SIZE = 8  # of a segment that is full; no whole record header needs to fit behind it

_PREFIX = struct.Struct("<IH")  # payload_size, kind
_BLOCK = 1 << 20
_MADV_REMOVE = 9  # punch a hole, keep the file's size
_MADV_POPULATE_WRITE = 23  # Linux 5.14: fault pages in for writing
_LOCK_TRIES = 1000  # a recorder asking `is_writer_alive` holds the lock for microseconds


def journal_dir(run_dir: Path, key: str) -> Path:
    """The journal of one core: `key` is its InstrumentConfig.key, account.venue.symbol."""
    return run_dir / "journal" / key


def journal_dirs(run_dir: Path) -> dict[str, Path]:
    """Every journal of a run that is there by now, by key, in order of keys."""
    try:
        found = sorted(path for path in (run_dir / "journal").iterdir() if path.is_dir())
    except OSError:
        return {}
    return {path.name: path for path in found}


def is_run_alive(run_dir: Path) -> bool:
    """True while some process holds one of the run's journals open for writing."""
    return any(is_writer_alive(path) for path in journal_dirs(run_dir).values())


def segment_path(directory: Path, index: int) -> Path:
    """journal/KEY/000000.jnl, journal/KEY/000001.jnl, ..."""
    return directory / f"{index:06d}.jnl"


def record_size(payload_size: int) -> int:
    """Bytes of a record, from its first word to the next one's."""
    return RECORD_HEADER_SIZE + -(-payload_size // 8) * 8


def is_writer_alive(directory: Path) -> bool:
    """True while some process holds the journal open for writing."""
    return is_locked(directory)


def is_locked(path: Path) -> bool:
    """Whether some process holds the flock of a file or folder; the lock is not taken."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: nobody can be seen
        return False
    finally:
        os.close(fd)
    return False


class Segments:
    """Makes the segment files of one journal, in order. One writer a directory."""

    def __init__(self, directory: Path, size_bytes: int = SEGMENT_SIZE) -> None:
        if size_bytes % mmap.PAGESIZE or size_bytes <= 0:
            raise ValueError(f"size_bytes is {size_bytes}, not a multiple of {mmap.PAGESIZE}")
        self.directory = directory
        self.size_bytes = size_bytes
        self.index = -1  # of the segment handed out last
        self._maps: list[tuple[Path, mmap.mmap]] = []  # handed out, maybe still in use
        self._ready: mmap.mmap | None = None
        self._ready_bytes = 0
        self._fd = self._lock()

    def prepare(self, budget_bytes: int = 256 * 1024) -> bool:
        """One small step towards the next segment; True when it is ready to be handed out.

        The first step creates and allocates the file, each further one faults `budget_bytes` in.
        """
        if self._ready is None:
            self._ready = self._create(segment_path(self.directory, self.index + 1))
            self._ready_bytes = 0
            return False
        if self._ready_bytes < self.size_bytes:
            count = max(budget_bytes // mmap.PAGESIZE, 1) * mmap.PAGESIZE
            count = min(count, self.size_bytes - self._ready_bytes)
            _populate(self._ready, self._ready_bytes, count)
            self._ready_bytes += count
        return self._ready_bytes == self.size_bytes

    def next(self) -> memoryview:
        """The next segment, zeroed, writable, in memory. The caller writes its 64-byte header."""
        while not self.prepare(self.size_bytes):
            pass
        ready = self._ready
        assert ready is not None
        self._ready = None
        self.index += 1
        self._maps.append((segment_path(self.directory, self.index), ready))
        self._unmap(keep=2)  # the writer fills one and holds the next
        return memoryview(ready)

    def close(self) -> None:
        """Give unused space back and drop the lock. Safe with readers, and to call twice."""
        if self._fd < 0:
            return
        if self._ready is not None:
            self._maps.append((segment_path(self.directory, self.index + 1), self._ready))
            self._ready = None
        for path, page_map in self._maps:
            if page_map[:1] == b"\0":  # never begun: no magic, so no record
                path.unlink(missing_ok=True)
            else:
                _punch_tail(page_map)
        self._unmap(keep=0)
        os.close(self._fd)
        self._fd = -1

    def _unmap(self, keep: int) -> None:
        """Unmap what the writer has let go of; a map still in use stays until it is collected."""
        count = max(len(self._maps) - keep, 0)
        held = []
        for path, page_map in self._maps[:count]:
            try:
                page_map.close()
            except BufferError:
                held.append((path, page_map))
        self._maps[:count] = held

    def _lock(self) -> int:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _no_folder(self.directory, error) from error
        self._take(fd)
        if any(self.directory.glob("*.jnl")):
            os.close(fd)
            raise TickmakerError(
                f"{self.directory} already holds a journal",
                "every run needs a fresh folder; name another, or move this one away",
            )
        return fd

    def _take(self, fd: int) -> None:
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                os.sched_yield()
            except OSError:  # a file system without locks: go on without
                return
        os.close(fd)
        raise TickmakerError(
            f"{self.directory} is being written by another engine",
            "stop that one, or give this run a folder of its own",
        )

    def _create(self, path: Path) -> mmap.mmap:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _no_folder(path, error) from error
        try:
            os.posix_fallocate(fd, 0, self.size_bytes)
            return mmap.mmap(fd, self.size_bytes, flags=mmap.MAP_SHARED)
        except OSError as error:
            path.unlink(missing_ok=True)
            mib = self.size_bytes / 2**20
            raise TickmakerError(
                f"no room for the journal segment {path} ({mib:g} MiB): {error.strerror}",
                "free disk space, or put the run folder on another disk",
            ) from error
        finally:
            os.close(fd)


def _no_folder(path: Path, error: OSError) -> TickmakerError:
    return TickmakerError(
        f"cannot create {path}: {error.strerror}",
        "check that the run folder is on a writable disk and belongs to this user",
    )


def _populate(page_map: mmap.mmap, start: int, count: int) -> None:
    """Fault pages in for writing, so that the first store to each is not the one that waits."""
    try:
        page_map.madvise(_MADV_POPULATE_WRITE, start, count)
    except OSError:  # older kernel: store a zero over the zero of each page
        for offset in range(start, start + count, mmap.PAGESIZE):
            page_map[offset] = 0


def give_back(directory: Path) -> None:
    """What a dead writer's segments have allocated and not used. A record that was being written
    stays: it says how that ended. Where the files can't be written nothing is lost but space."""
    if is_writer_alive(directory):
        return
    for path in sorted(directory.glob("*.jnl")):
        with contextlib.suppress(OSError, ValueError), path.open("r+b") as file:
            told = os.fstat(file.fileno())
            if told.st_blocks * 512 < told.st_size:  # it has its hole, or the disk's files do
                continue
            with mmap.mmap(file.fileno(), 0) as page_map:
                if page_map[:1] == b"\0":
                    path.unlink()
                else:
                    _punch(page_map, _written_size(page_map))


def _written_size(page_map: mmap.mmap) -> int:
    """Up to the last byte that is not zero."""
    end = len(page_map)
    while end > 0:
        block = page_map[max(end - _BLOCK, 0) : end]
        if left := len(block.rstrip(b"\0")):
            return end - len(block) + left
        end -= len(block)
    return 0


def _punch_tail(page_map: mmap.mmap) -> None:
    """Free the blocks behind the last record. Reads there keep giving zeros: end so far."""
    _punch(page_map, used_size(page_map))


def _punch(page_map: mmap.mmap, used: int) -> None:
    size = len(page_map)
    start = -(-used // mmap.PAGESIZE) * mmap.PAGESIZE
    if start >= size:
        return
    try:
        page_map.madvise(_MADV_REMOVE, start, size - start)
    except OSError:  # a file system without holes: the space stays taken, nothing is lost
        return


def used_size(segment: mmap.mmap | memoryview | bytes) -> int:
    """Bytes of `segment` up to the end of its last whole record, end mark included."""
    size = len(segment)
    offset = HEADER_SIZE
    while offset + END_MARK_SIZE <= size:
        payload_size, kind = _PREFIX.unpack_from(segment, offset)
        if kind == 0:
            break
        if kind == END_OF_SEGMENT:
            return offset + END_MARK_SIZE
        offset += record_size(payload_size)
    return min(offset, size)
