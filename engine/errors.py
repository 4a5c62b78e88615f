"""Errors meant for people: what went wrong, where, and what to do about it."""

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNSAFE = 3
EXIT_KILLED = 4
EXIT_INTERRUPTED = 130  # as a shell tells of SIGINT


class TickmakerError(Exception):
    """An error whose text a user can act on; the command line prints it without a traceback.

    `what` names the thing and what is wrong with it, `remedy` says what to do. Neither ever
    holds a key, a secret, a signature or a signed URL.
    """

    def __init__(self, what: str, remedy: str = "", exit_code: int = EXIT_FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.exit_code = exit_code

    def name_account(self, account: str) -> None:
        """Of several accounts at one venue, whose it is; once."""
        if account not in self.what:
            self.what = f"account {account}: {self.what}"

    def __str__(self) -> str:
        return f"{self.what}\n  {self.remedy}" if self.remedy else self.what
