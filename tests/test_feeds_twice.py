"""Two connections that carry the same streams: the second copy of a message, some frames behind
the first, changes nothing and is no error. On recorded data of every venue that we have; copies
that come while the book is still being built: tests/test_sync.py."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from support_core import API_KEY, SECRET, UTC_OFFSET_NS, core_config
from support_data import capture_messages, tape_messages

from fastcore.core import Core
from fastcore.types import Command, Conn, EventKind, OrderState, SyncState, Verb

STEP_NS = 5_000_000
FEEDS = {
    "binance_usdm": ("0.10", "0.001", "binance_usdm/btcusdt_20240808.gz", 3_000),
    "binance_spot": ("0.01", "0.00001", "binance_spot/ethusdt_20240808.gz", 3_000),
    "bybit_linear": ("0.10", "0.001", "BYBIT.ws.2", 2_600),
    "bybit_spot": ("0.01", "0.000001", "BYBIT.ws.3", 700),
}
ERRORS = ("malformed", "unknown", "gaps", "crossed", "nonsense")


def messages(venue: str) -> Iterator[bytes]:
    _, _, name, count = FEEDS[venue]
    if venue.startswith("bybit"):
        return islice(capture_messages("BYBIT.jsonl.zst", name), count)
    return islice(tape_messages(name), count)


class Quoting:
    """A core whose orders rest at once, fed with market frames."""

    def __init__(self, venue: str, symbol: str) -> None:
        tick, lot, _, _ = FEEDS[venue]
        config = core_config(
            venue=venue, symbol=symbol, tick=tick, lot=lot, strategy="ofi_skew",
            params={"half_spread_ticks": 3.0, "qty_lots": 10.0, "ofi_skew_ticks": 3.0,
                    "tfi_skew_ticks": 9.0, "position_lots_max": 60.0},
            limits__notional_min=0, limits__price_collar_ticks=100_000, limits__qty_lots_min=0,
            limits__orders_per_10s_max=100_000, limits__orders_per_min_max=100_000,
            limits__messages_per_s_max=100_000, limits__messages_per_min_max=100_000,
            limits__account_orders_per_10s_max=100_000, limits__account_messages_per_s_max=100_000,
            limits__account_orders_per_min_max=100_000,
            limits__account_messages_per_min_max=100_000,
            limits__book_age_ms_max=86_400_000, limits__reference_age_ms_max=0,
        )  # fmt: skip
        self.venue = venue
        self.now_ns = 1_000_000_000
        self.core = Core(config, API_KEY, SECRET)
        self.core.clock(UTC_OFFSET_NS, self.now_ns)
        for conn in Conn:
            self.core.conn(conn, True, self.now_ns)
        self.core.account(0, 0, self.now_ns)
        self.core.command(Command.START, self.now_ns)

    def feed(self, message: bytes) -> list[tuple[Any, ...]]:
        """What it caused; every request is done at once."""
        if message.startswith(b'{"lastUpdateId"'):
            self.core.snapshot(message, self.now_ns)
        else:
            self.core.frame(Conn.MARKET, message, self.now_ns, self.now_ns)
        caused = []
        waiting = self.take()
        while waiting:
            out = waiting.pop(0)
            caused.append(out)
            self.answer(out[1], out[3])
            waiting += self.take()
        return caused

    def take(self) -> list[tuple[Any, ...]]:
        outs = self.core.outgoing()
        for out_seq, *_ in outs:
            self.core.send(out_seq, 0, self.now_ns, self.now_ns, self.now_ns)
        return outs

    def answer(self, intent_id: int, verb: int) -> None:
        """Over REST: one wording for all venues."""
        state = OrderState.CANCELED if verb == Verb.CANCEL else OrderState.NEW
        own = {each["intent_id"]: each for each in self.core.numbers()["own"]}[intent_id]
        self.core.query(
            intent_id=intent_id, is_absent=False, order_status=state, venue_order_id=intent_id,
            px_ticks=own["px_ticks"], qty_lots=own["qty_lots"], cum_qty_lots=0,
            now_ns=self.now_ns,
        )  # fmt: skip

    def picture(self) -> tuple[Any, ...]:
        numbers = self.core.numbers()
        return (
            numbers["halt_bits"], numbers["sync_state"], numbers["levels_bid"],
            numbers["levels_ask"], numbers["own"], numbers["book_ns"],
            *(numbers[name] for name in ERRORS),
        )  # fmt: skip


@pytest.mark.parametrize("behind", [0, 1, 7])
@pytest.mark.parametrize("venue", FEEDS)
def test_the_second_copy_of_a_feed_changes_nothing(venue: str, behind: int) -> None:
    found = list(messages(venue))
    symbol = _symbol(found)
    once, twice = Quoting(venue, symbol), Quoting(venue, symbol)
    sent = 0
    waiting: list[bytes] = []
    for message in found:
        if once.core.numbers()["sync_state"] == SyncState.SYNCED:
            waiting.append(message)  # before, a copy may be the first that finds a book
        outs = once.feed(message)
        assert twice.feed(message) == outs
        if len(waiting) > behind:
            assert twice.feed(waiting.pop(0)) == []
        assert twice.picture() == once.picture()
        sent += len(outs)
        once.now_ns = twice.now_ns = once.now_ns + STEP_NS
    events = once.core.numbers()["events"]
    assert events[EventKind.DEPTH] > 20
    assert events[EventKind.TRADE] + events[EventKind.AGG_TRADE] > 10
    assert sent > 20, "too little was sent to tell anything"


def _symbol(found: list[bytes]) -> str:
    """The first that a book is told of."""
    for message in found:
        if b"depth" in message or b"orderbook.50" in message or b"orderbook.200" in message:
            match = re.search(rb'"s":"(\w+)"', message)
            if match:
                return match.group(1).decode()
    raise AssertionError("no book in the recording")
