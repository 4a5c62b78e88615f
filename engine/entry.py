"""Where the `tickmaker` command begins: before anything that takes time to import, so that Ctrl-C
ends it in order from its first moment on."""

import sys

from engine.errors import EXIT_INTERRUPTED


def main() -> None:
    try:
        from engine.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
