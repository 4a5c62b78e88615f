"""Two desks, BTC that quotes and ETH that hedges, and a market that moves both."""

from typing import Any

from reference.pair import Pair as SlowPair
from support_core import MS, Desk, core_config

from fastcore.account import Account
from fastcore.journal import JournalOrder
from fastcore.pair import Pair
from fastcore.types import Halt, Verb

QUOTE_OUTS, HEDGE_OUTS = 1, 2
TICK = 0.1
BTC, ETH = 60_000.0, 3_000.0  # the first bids
PARAMS = {
    "half_spread_ticks": 2.0, "qty_lots": 10.0, "inventory_skew_ticks": 0.0,
    "position_lots_max": 60.0, "unhedged_lots_max": 20.0, "unhedged_ms_max": 300.0,
    "z_max": 0.0, "hedge_slippage_ticks": 2.0, "unwind_slippage_ticks": 2.0, "retry_ms": 50.0,
}  # fmt: skip
# Limits that no test of a pair means to meet.
WIDE = {f"limits__{key}": 100_000 for key in (
    "messages_per_s_max", "messages_per_min_max", "orders_per_10s_max", "orders_per_min_max",
    "account_messages_per_s_max", "account_messages_per_min_max", "account_orders_per_10s_max",
    "account_orders_per_min_max",
)} | {"limits__duplicate_ms": 0}  # fmt: skip
REFERENCE = {"lots_per_lot": 1.0, "age_ms_max": 400.0}
SIGNALS = {"pair_grid_ms": 10.0, "pair_tau_ms": 100.0, "spread_tau_ms": 100.0}


def px(value: float) -> str:
    return f"{value:.2f}"


class Legs:
    """A pair at two desks; the edge's loop is settle()."""

    def __init__(
        self, make: Any = Pair, is_shared: bool = False, size: int = 4 << 20, **overrides: Any
    ) -> None:
        changes: dict[str, Any] = {
            "strategy": "stat_arb", "params": dict(PARAMS), "reference": dict(REFERENCE),
            "signals": dict(SIGNALS), **WIDE,
        }  # fmt: skip
        hedge: dict[str, Any] = {
            "strategy": "hold", "params": {}, "symbol": "ETHUSDT", "number": 1,
            "assets": {"base": "ETH", "quote": "USDT"}, **WIDE,
        }  # fmt: skip
        for key, value in overrides.items():
            (hedge if key.startswith("eth__") else changes)[key.removeprefix("eth__")] = value
        account = Account(core_config(**changes)["limits"]) if is_shared else None
        self.is_shared = is_shared
        order = JournalOrder()
        self.btc = Desk(account=account, segment_size=size, order=order, **changes)
        self.eth = Desk(account=account, segment_size=size, order=order, **hedge)
        self.pair: Pair | SlowPair = make(self.btc.core, self.eth.core)
        self.quotes: dict[str, dict[str, Any]] = {}  # resting, by client id
        self.takes: list[dict[str, Any]] = []  # of BTC, unanswered
        self.hedges: list[dict[str, Any]] = []  # of ETH, unanswered

    # -- THE EDGE ---

    def settle(self) -> list[int]:
        """Every core that had messages, in order; they are sent."""
        turns = []
        while (who := self.pair.settle(self.now_ns)) != 0:
            desk = self.btc if who == QUOTE_OUTS else self.eth
            desk.collect(0)
            turns.append(who)
            assert len(turns) < 10, "the legs go round"
        return turns

    @property
    def now_ns(self) -> int:
        return self.btc.now_ns

    @now_ns.setter
    def now_ns(self, value: int) -> None:
        self.btc.now_ns = self.eth.now_ns = value

    def wait(self, ms: int) -> None:
        """Time passes for both: their timers, and what follows."""
        self.now_ns += ms * MS
        for desk in (self.btc, self.eth):
            desk.timer(after_ms=0)
            self.settle()

    def tick(self, mid: float, ms: int = 10) -> None:
        """Both books at `mid` ticks from where they began: the same share of each price."""
        self.now_ns += ms * MS
        self.touch(self.btc, BTC + round(mid) * TICK)
        self.touch(self.eth, ETH + round(mid * ETH / BTC) * TICK)

    def touch(self, desk: Desk, bid: float) -> None:
        qty = f"{1 + desk.update_id % 3}.000"  # each is news
        desk.best(px(bid), qty, px(bid + TICK), "1.000")
        self.settle()

    def start(self) -> None:
        """Started, the spread's signal warm, two quotes resting."""
        self.btc.start(px(BTC), px(BTC + TICK))
        self.eth.start(px(ETH), px(ETH + TICK))
        self.settle()
        for step in range(80):
            self.tick(20.0 * (step % 4), ms=10)
            self.answer()
        self.tick(0.0)
        self.answer()
        self.settle()
        assert sorted(quote["side"] for quote in self.quotes.values()) == ["BUY", "SELL"]

    # -- THE VENUE ---

    def answer(self) -> None:
        """Quotes rest and cancels cancel at once; takes and hedges wait for a test's word."""
        while sent := self.btc.take_sent():
            for params in sent:
                if params["verb"] == Verb.CANCEL:
                    order = self.quotes.pop(params["origClientOrderId"])
                    self.btc.update(order, "CANCELED", "CANCELED")
                elif params["timeInForce"] == "IOC":
                    self.takes.append(params)
                else:
                    self.quotes[params["newClientOrderId"]] = params
                    self.btc.ack(params)
                self.settle()
        self.hedges += self.eth.take_sent()

    def fill_quote(self, side: str, lots: int = 10) -> None:
        """The resting quote of a side trades; time passes first."""
        self.now_ns += MS
        key = next(key for key, quote in self.quotes.items() if quote["side"] == side)
        quote = self.quotes.pop(key) if lots == 10 else self.quotes[key]
        self.btc.fill(quote, lots_of(lots), lots_of(lots))
        self.settle()
        self.answer()

    def end_take(self, desk: Desk, take: dict[str, Any], lots: int) -> None:
        """So much of an immediate order trades, the rest expires."""
        self.now_ns += MS
        if lots:
            desk.fill(take, lots_of(lots), lots_of(lots))
        if lots_of(lots) != take["quantity"]:
            desk.update(take, "EXPIRED", "EXPIRED", z=lots_of(lots))
        self.settle()
        self.answer()

    def end_hedge(self, lots: int | None = None) -> None:
        hedge = self.hedges.pop(0)
        self.end_take(self.eth, hedge, round(float(hedge["quantity"]) * 1000)
                      if lots is None else lots)  # fmt: skip

    @property
    def naked(self) -> int:
        return int(self.btc.numbers["position_lots"] + self.eth.numbers["position_lots"])

    @property
    def halts(self) -> Halt:
        return Halt(self.btc.core.halt_bits)


def lots_of(lots: int) -> str:
    return f"{lots / 1000:.3f}"
