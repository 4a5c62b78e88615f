"""Dead-man switches of the core: one an account and symbol."""

from engine.exchange.truth import CountdownRecord, Truth


class Countdowns:
    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._due: dict[tuple[int, str], int] = {}

    def __bool__(self) -> bool:
        return bool(self._due)

    def due(self) -> list[int]:
        return [*self._due.values()]

    def set(self, account: int, symbol: str, window_ns: int, t_ns: int) -> None:
        """0 stops it."""
        key = account, symbol
        was_due_ns = self._due.pop(key, 0)
        if window_ns:
            due_ns = self._due[key] = t_ns + window_ns
            self._truth.add(CountdownRecord(t_ns, *key, "armed", due_ns))
        elif was_due_ns:
            self._truth.add(CountdownRecord(t_ns, *key, "stopped", was_due_ns))

    def fired(self, t_ns: int) -> list[tuple[int, str]]:
        """Whose orders end now."""
        fired = [key for key, due_ns in self._due.items() if t_ns >= due_ns]
        for key in fired:
            self._truth.add(CountdownRecord(t_ns, *key, "fired", self._due.pop(key)))
        return fired
