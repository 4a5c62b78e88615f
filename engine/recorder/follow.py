"""Keep a ledger in step with a journal until told to stop; pure but for the wait passed in."""

from collections.abc import Callable
from pathlib import Path

from engine import clock
from engine.recorder.ledger import Ledger
from engine.recorder.segments import is_writer_alive
from engine.recorder.tail import JournalTail

POLL_MIN_S = 0.001
POLL_MAX_S = 0.020
QUIET_NS = 5_000_000_000


def follow(run_dir: Path, wait: Callable[[float], bool], is_stopping: Callable[[], bool]) -> int:
    """Project until told to stop; returns the number of records projected by this call.

    `wait(seconds)` sleeps, and says whether standard input is still open.
    """
    ledger = Ledger(run_dir / "ledger.sqlite")
    tail = JournalTail(run_dir / "journal", ledger.position)
    total, pause_s = 0, POLL_MIN_S
    last_ns, is_open = clock.monotonic_ns(), True
    try:
        while True:
            # Asked before the poll: what was written before the answer is in that poll.
            is_last = is_stopping() or (
                not is_open
                and (
                    not is_writer_alive(tail.directory)
                    or clock.monotonic_ns() - last_ns > QUIET_NS
                )
            )
            count = ledger.apply(tail)
            total += count
            if count:
                last_ns, pause_s = clock.monotonic_ns(), POLL_MIN_S
            elif is_last:
                if not is_writer_alive(tail.directory):
                    tail.check_end()
                return total
            else:
                is_open = wait(pause_s) and is_open
                pause_s = min(pause_s * 2, POLL_MAX_S)
    finally:
        tail.close()
        ledger.close()


def catch_up(run_dir: Path) -> int:
    """Project everything that the journal holds now; for reports made without a recorder."""
    return follow(run_dir, lambda _: False, lambda: True)
