"""The recorder process: `python -m engine.recorder RUN_DIR` follows the journal into the ledger.

It ends, with everything committed, on SIGTERM or SIGINT (after what is in the journal by then),
and when its standard input closes: then the engine was told to stop too, so the recorder goes on
until no writer holds the journal, or until it has been quiet for QUIET_NS. Standard input closed
from the start, as in `python -m engine.recorder RUN </dev/null`, brings a ledger up to date.
Exit code 1: the journal is damaged or the ledger can't be written; what was projected stays.
"""

import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from engine import clock
from engine.errors import EXIT_OK, EXIT_USAGE, TickmakerError
from engine.recorder.ledger import Ledger
from engine.recorder.segments import is_writer_alive
from engine.recorder.tail import JournalTail

POLL_MIN_S = 0.001
POLL_MAX_S = 0.020
QUIET_NS = 5_000_000_000


def record(run_dir: Path, wait: Callable[[float], bool], is_stopping: Callable[[], bool]) -> int:
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
    return record(run_dir, lambda _: False, lambda: True)


def wait_on_stdin(seconds: float) -> bool:
    """Sleep up to `seconds`; False once standard input is at its end."""
    try:
        readable, _, _ = select.select([0], [], [], seconds)
        return not readable or bool(os.read(0, 4096))
    except (OSError, ValueError):  # no standard input at all
        return False


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python -m engine.recorder RUN_DIR (an existing run folder)", file=sys.stderr)
        return EXIT_USAGE
    run_dir = Path(arguments[0])
    stops: list[int] = []

    def stop(signal_number: int, _frame: FrameType | None) -> None:
        stops.append(signal_number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"recorder: following {run_dir / 'journal'}", file=sys.stderr, flush=True)
    try:
        count = record(run_dir, wait_on_stdin, lambda: bool(stops))
    except TickmakerError as error:
        print(f"recorder: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    print(f"recorder: {count} records projected, done", file=sys.stderr, flush=True)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
