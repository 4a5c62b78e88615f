"""Processes that run seeds side by side, and how all of them end.

An end asked for (Ctrl-C, SIGTERM) reaches the parent alone: it ends its workers at once and
removes the folder that all their runs live in. A worker whose parent is gone ends, too.
"""

import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from engine.errors import EXIT_FAILED
from engine.sim import run
from engine.sim.outcome import Outcome

CHUNK_MAX = 8  # seeds that a worker is told at a time


def outcomes(
    work: Callable[[int], Outcome], seeds: range, jobs: int
) -> Generator[Outcome, None, None]:
    """In the order of the seeds, whoever is done first. Close it to end the workers."""
    if jobs == 1 or len(seeds) == 1:
        yield from map(work, seeds)
        return
    others = set(multiprocessing.active_children())
    with tempfile.TemporaryDirectory(
        prefix=run.FOLDER, dir=run.memory(), ignore_cleanup_errors=True
    ) as folder:
        pool = ProcessPoolExecutor(
            min(jobs, len(seeds)), multiprocessing.get_context("spawn"),
            initializer=_in_worker, initargs=(folder,),
        )  # fmt: skip
        try:
            size = max(1, min(CHUNK_MAX, len(seeds) // jobs))
            # Not pool.map: it cancels what waits when it is closed, and the pool's own thread
            # then fails on what was cancelled, once its workers are ended.
            chunks = [
                pool.submit(_of_chunk, work, seeds[at : at + size])
                for at in range(0, len(seeds), size)
            ]
            for chunk in chunks:
                yield from chunk.result()
        except BaseException:
            for process in multiprocessing.active_children():
                if process not in others:
                    process.terminate()
            raise
        finally:
            pool.shutdown()


def _of_chunk(work: Callable[[int], Outcome], seeds: range) -> list[Outcome]:
    return [work(seed) for seed in seeds]


def _in_worker(folder: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's business
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    run.MEMORY = Path(folder)
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()


def _end_with_parent(folder: str) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(EXIT_FAILED)


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """SIGTERM unwinds the command as Ctrl-C does: nothing is left behind. Exit code 143."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
