"""The recorder process: `python -m engine.recorder RUN_DIR` follows the journals into the ledger.

It ends, with everything committed, on SIGTERM or SIGINT (after what is in the journal by then),
and when its standard input closes: then the engine was told to stop too, so the recorder goes on
until no writer holds the journal, or until it has been quiet for five seconds. Standard input
closed from the start, as in `python -m engine.recorder RUN </dev/null`, brings a ledger up to
date. Exit code 1: the journal is damaged or the ledger can't be written; what was projected stays.
"""

import os
import select
import signal
import sys
from pathlib import Path
from types import FrameType

from engine.errors import EXIT_OK, EXIT_USAGE, TickmakerError
from engine.recorder.follow import follow


def wait_on_stdin(seconds: float) -> bool:
    """Sleep up to `seconds`; False once standard input is at its end."""
    try:
        readable, _, _ = select.select([0], [], [], seconds)
        return not readable or bool(os.read(0, 4096))
    except (OSError, ValueError):  # no standard input at all
        return False


def warn(error: TickmakerError) -> None:
    """One journal can't be read any further; the others are."""
    print(f"recorder: {error.what}", file=sys.stderr, flush=True)


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
        count = follow(run_dir, wait_on_stdin, lambda: bool(stops), warn)
    except TickmakerError as error:
        print(f"recorder: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    print(f"recorder: {count} records projected, done", file=sys.stderr, flush=True)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
