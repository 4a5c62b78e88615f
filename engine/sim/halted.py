"""No quote leaves while the state word says halted: read from a journal, record by record."""

from engine.sim.ledger_rows import is_reducing
from fastcore.journal import END_OF_SEGMENT, INPUT_LAST, KIND, OUT_HEADER, read_segment, unpack
from fastcore.types import Verb

_OUT, _STATE = KIND["OUT"], KIND["STATE"]
QUOTES = (Verb.PLACE, Verb.MODIFY, Verb.REPLACE)


class HaltedQuotes:
    """One core's journal."""

    def __init__(self, name: str) -> None:
        self.breaches: list[str] = []
        self.read_ns = 0  # time of the last record that was read
        self._name = name
        self._bits = 0
        self._quotes: list[int] = []  # of the input in hand: when

    def on_segment(self, data: bytes) -> None:
        """The bytes of one whole file of the journal; files in order."""
        quotes = self._quotes
        for _, kind, arg, _, now_ns, _, payload in read_segment(data):
            if kind == END_OF_SEGMENT:
                break
            self.read_ns = now_ns
            if kind <= INPUT_LAST:
                if quotes:
                    self.end_input()
            elif kind == _OUT:
                message = bytes(payload[OUT_HEADER.size :]).decode()
                if arg in QUOTES and not is_reducing(message):
                    quotes.append(now_ns)
            elif kind == _STATE:
                self._bits = unpack(kind, payload)["new_bits"]

    def end_input(self) -> None:
        """The state word as the input left it is the one that its quotes were sent under."""
        for now_ns in self._quotes:
            if self._bits and len(self.breaches) < 3:
                self.breaches.append(
                    f"a quote of {self._name} left at {now_ns} ns while halted ({self._bits:#x})"
                )
        self._quotes.clear()
