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
    except SystemExit as ended:
        # Once a command has begun, the command line's library turns Ctrl-C into this, silently.
        if ended.code == EXIT_INTERRUPTED:
            sys.stderr.write("interrupted\n")
        raise


if __name__ == "__main__":
    main()
