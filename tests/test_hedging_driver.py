"""engine.live.hedging without sockets: when it looks, what it leaves alone, what it tells."""

from decimal import Decimal
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

from test_hedger import LIMITS, A, B, C, config, leg

from engine.config import HedgeConfig
from engine.execution.hedger import Decision, Leg, decide
from engine.live import hedging
from engine.live.hedging import ASIDE_NS_MAX, REASON, WARN_NS, Hedge, _Place
from fastcore.gate import CODES
from fastcore.types import Halt, Side

MS = 1_000_000
RATE = next(code for code, (name, _) in CODES.items() if name == "RATE")


class Desk:
    """Three cores, whose gates let pass what `denying` does not name."""

    def __init__(self, **changes: Any) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[tuple[int, int, int, int]] = []
        self.denying: set[int] = set()
        self.numbers = {key: self._numbers(key) for key in (A, B, C)}
        hot = SimpleNamespace(take=self._take)
        self.stage = SimpleNamespace(
            hot=hot, emit=lambda event, **fields: self.told.append((event, fields))
        )
        self.config = config(**changes)
        reconciler = SimpleNamespace(diverged=lambda _: [])
        account = SimpleNamespace(reconciler=reconciler, is_user_doubted=lambda _: False)
        self.places = [
            _Place(cast(Any, self._instrument(number, key)), cast(Any, account))
            for number, key in enumerate((A, B, C))
        ]
        self.decisions = 0
        self.hedge = Hedge(
            cast(Any, self.stage), self.config, REASON, self.places, self._decide
        )

    def _decide(self, config: HedgeConfig, legs: Any, now_ns: int) -> Decision:
        self.decisions += 1
        return decide(config, cast(list[Leg], legs), now_ns)

    def _numbers(self, key: str) -> dict[str, Any]:
        return {
            "own": [], "fills": 0, "halt_bits": 0, "position_lots": 0, "fees_base_e8": 0,
            "levels_bid": [[10_000, 900]], "levels_ask": [[10_001, 900]], "book_ns": 1 << 62,
            "denies": [0] * (max(CODES) + 1),
        }  # fmt: skip

    def _instrument(self, number: int, key: str) -> Any:
        desk, fees = self, SimpleNamespace(taker_bp=5.0)

        class Core:
            @property
            def fill_count(self) -> int:
                return int(desk.numbers[key]["fills"])

            def numbers(self) -> dict[str, Any]:
                now = desk.numbers[key]
                return now | {"denies": list(now["denies"])}

        return SimpleNamespace(
            key=key, number=number, traded=leg(key).instrument, core=Core(), stage=self.stage,
            config=SimpleNamespace(core=SimpleNamespace(limits=LIMITS, fees=fees)),
        )  # fmt: skip

    def _take(self, number: int, side: int, px_ticks: int, lots: int, reason: int) -> int:
        assert reason == REASON
        if number in self.denying:
            self.numbers[(A, B, C)[number]]["denies"][RATE] += 1
            return 0
        self.sent.append((number, side, px_ticks, lots))
        return 1

    def fill(self, key: str, lots: int) -> None:
        self.numbers[key]["fills"] += 1
        self.numbers[key]["position_lots"] += lots

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.told if name == event]


def test_look_is_a_counter_until_something_happens() -> None:
    desk = Desk()
    for now_ms in range(0, 200, 2):
        desk.hedge.look(now_ms * MS)
    assert desk.decisions == 1
    desk.fill(A, 50)
    desk.hedge.look(202 * MS)
    assert desk.decisions == 2
    (sent,) = desk.sent
    assert sent == (1, Side.SELL, 10_000, 50)
    assert [event for event, _ in desk.told] == ["router"]


def test_pause_lies_between_two_actions_and_not_before_the_first() -> None:
    desk = Desk()
    desk.hedge.look(0)
    desk.fill(A, 50)
    desk.hedge.look(2 * MS)
    desk.fill(B, -50)
    desk.fill(A, 50)
    for now_ms in range(4, 102, 2):
        desk.hedge.look(now_ms * MS)
    assert len(desk.sent) == 1
    desk.hedge.look(102 * MS)
    assert len(desk.sent) == 2


def test_place_that_is_denied_or_fills_nothing_is_left_alone_for_longer_each_time() -> None:
    desk = Desk(on=(B,))
    desk.denying = {1}
    desk.fill(A, 50)
    asides, now_ms = [], 0
    while now_ms < 60_000:
        desk.hedge.look(now_ms * MS)
        asides.append(desk.places[1]._aside_until_ns)
        now_ms += 5
    waits = [until for before, until in pairwise(asides) if until > before]
    gaps = [b - a for a, b in pairwise(waits)]
    assert gaps == sorted(gaps)
    assert max(gaps) <= ASIDE_NS_MAX + 200 * MS
    assert desk.places[1].aside.startswith("its gate denied an order: RATE")
    assert desk.hedge.told()["state"] == "OPEN"
    assert "its gate denied an order: RATE" in desk.of("warning")[0]["what"]
    desk.denying.clear()
    desk.hedge.look(80_000 * MS)
    assert desk.sent[-1] == (1, Side.SELL, 10_000, 50)
    desk.fill(B, -50)
    desk.hedge.look(80_200 * MS)
    assert desk.places[1].misses == 0
    assert desk.of("hedged") == [{"hedge": "btc", "net": "0"}]


def test_venue_that_refuses_all_is_a_warning_though_orders_leave() -> None:
    """Each order is sent and ends without a fill: that is no hedge."""
    desk = Desk(on=(B,))
    desk.fill(A, 50)
    for now_ms in range(0, WARN_NS // MS + 1_000, 5):
        desk.hedge.look(now_ms * MS)
    assert len(desk.sent) > 2
    (warning,) = desk.of("warning")
    assert "its position is 0.5, the target 0, the band 0.05, for 5 s" in warning["what"]


def test_position_that_is_not_known_is_a_warning_and_nothing_is_sent() -> None:
    desk = Desk()
    desk.numbers[A]["halt_bits"] = int(Halt.RECONCILING)
    desk.fill(A, 50)
    for now_ms in range(0, 70_000, 50):
        desk.hedge.look(now_ms * MS)
    assert not desk.sent
    assert desk.hedge.told()["state"] == "NOT KNOWN"
    first, second = desk.of("warning")
    assert f"{A}: position not known: RECONCILING" in first["what"]
    desk.numbers[A]["halt_bits"] = 0
    desk.hedge.look(80_000 * MS)
    assert len(desk.sent) == 1
    assert second["hedge"] == "btc"


def test_slices_of_one_venue_leave_one_after_the_other() -> None:
    desk = Desk(slice_max=Decimal("0.2"))
    desk.fill(A, 50)
    desk.hedge.look(0)
    (plan,) = [fields["plan"] for fields in desk.of("router")]
    assert len(plan["slices"]) == 3
    assert [lots for *_, lots in desk.sent] == [16]
    desk.numbers[B]["own"] = [{"side": 1, "leaves_lots": 16, "px_ticks": 10_000, "is_take": True,
                               "state": 1}]  # fmt: skip
    desk.hedge.look(110 * MS)
    assert [number for number, *_ in desk.sent] == [1]  # on its way; nothing to sell on spot
    desk.numbers[B]["own"] = []
    desk.fill(B, -16)
    desk.hedge.look(220 * MS)
    assert [lots for *_, lots in desk.sent] == [16, 17]


def test_order_that_was_settled_counts_until_both_sides_agree() -> None:
    """The venue may say that it knows no such order, and a moment later that it was filled."""
    desk = Desk()
    desk.numbers[C]["position_lots"] = 100
    desk.numbers[A]["position_lots"] = -100
    desk.fill(A, 50)
    desk.hedge.look(0)
    assert desk.sent == [(1, Side.SELL, 10_000, 50)]
    desk.numbers[B]["halt_bits"] = int(Halt.RECONCILING)
    for now_ms in range(200, 2_000, 5):
        desk.hedge.look(now_ms * MS)
    assert len(desk.sent) == 1
    assert desk.hedge.told()["low"] == "0"
    desk.numbers[B]["halt_bits"] = 0
    desk.hedge.look(3_000 * MS)
    assert len(desk.sent) == 2


def test_end_tells_what_is_open() -> None:
    desk = Desk()
    desk.hedge.tell_last()
    assert not desk.told
    desk.fill(A, 50)
    desk.hedge.tell_last()
    (warning,) = desk.of("warning")
    assert "hedge btc ends with 0.5" in warning["what"]
    assert not desk.sent
    assert hedging.REASON == -2_000
