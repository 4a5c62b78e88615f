"""`tickmaker exchange`, and `python -m engine.exchange`.

Light on purpose: a signal while the rest is loaded (most of a second) ends the process as quietly
as one later on.
"""

import os
import signal
import sys

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main(argv: list[str] | None = None) -> int:
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    try:
        for signum in SIGNALS:
            signal.signal(signum, lambda *_: os._exit(0))  # nothing is begun that needs an end
        from engine.exchange.process import main as run

        return run(argv)
    finally:
        for signum in SIGNALS:
            signal.signal(signum, before[signum])


if __name__ == "__main__":
    code = main()
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)  # it is over, and need not be told
    sys.exit(code)
