"""One order's history at the venue, told by three connections in any order, with repeats and gaps:
whatever comes when, the end is the same, and it is the venue's."""

from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from fastcore.orders import Orders
from fastcore.types import ExecType, FillOwner, FillVia, OrderState, Side, Verb
from tests.test_orders import answer, event

S = OrderState
MS = 1_000_000
ACK_NS, WINDOW_NS = 100 * MS, 300 * MS
QTY, PX = 10, 100
NO_SUCH_ORDER, UNKNOWN_ORDER = -2013, -2011


class History(NamedTuple):
    """What happened there: executions, and how it ended."""

    fills: tuple[int, ...]
    side: int

    @property
    def end(self) -> OrderState:
        return S.FILLED if sum(self.fills) == QTY else S.CANCELED


class Message(NamedTuple):
    kind: str
    at: int = 0  # how many executions it knows of


@st.composite
def histories(draw: st.DrawFn) -> History:
    fills: list[int] = []
    while sum(fills) < QTY and draw(st.booleans()):
        fills.append(draw(st.integers(1, QTY - sum(fills))))
    return History(tuple(fills), draw(st.sampled_from([Side.BUY, Side.SELL])))


@st.composite
def told(draw: st.DrawFn) -> tuple[History, list[Message]]:
    """Every execution by one way at least, the end likewise; the rest as may be, and twice."""
    history = draw(histories())
    count = len(history.fills)
    messages = []
    for at in range(1, count + 1):
        ways = draw(st.sampled_from([("fill",), ("row",), ("fill", "row"), ("row", "row"),
                                     ("fill", "fill", "row")]))  # fmt: skip
        messages += [Message(way, at) for way in ways]
    ends = ["query_end"]
    if history.end == S.CANCELED:
        ends += ["cancel_done", "canceled"]
    messages += [Message(way) for way in draw(st.sets(st.sampled_from(ends), min_size=1))]
    messages += [Message("ack")] * draw(st.integers(0, 1))
    messages += [Message("new")] * draw(st.integers(0, 2))
    messages += [Message("cancel_rejected")] * draw(st.integers(0, history.end == S.FILLED))
    messages += [Message("query_then", draw(st.integers(0, count - (history.end == S.FILLED))))
                 for _ in range(draw(st.integers(0, 2)))]  # fmt: skip
    messages += [Message("too_early")] * draw(st.integers(0, 1))
    return history, draw(st.permutations(messages))


class Account:
    """Orders that are told of a history."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.orders = Orders(ACK_NS, WINDOW_NS)
        self.now_ns = 1_000 * MS
        self.intent = self.orders.place(history.side, PX, QTY, self.now_ns)
        self.is_cancelled = False

    def tell(self, message: Message) -> None:
        self.now_ns += MS
        if message.kind.startswith("cancel") and not self.is_cancelled:
            order = self.orders.order(self.intent)
            if order and order["state"] in (S.NEW, S.PARTIALLY_FILLED):
                self.orders.cancel_order(self.intent, self.now_ns)
                self.is_cancelled = True
        getattr(self, f"on_{message.kind}")(message.at)

    def cum(self, at: int) -> int:
        return sum(self.history.fills[:at])

    def fee(self, at: int) -> int:
        return 7 * at

    # -- TRADE ---

    def reply(self, verb: int, status: int = 200, **fields: Any) -> None:
        self.orders.reply(answer(self.intent, verb, status, **fields), self.now_ns)

    def on_ack(self, _at: int) -> None:
        self.reply(Verb.PLACE)

    def on_cancel_done(self, _at: int) -> None:
        self.reply(Verb.CANCEL, order_status=S.CANCELED, cum_qty_lots=sum(self.history.fills))

    def on_cancel_rejected(self, _at: int) -> None:
        self.reply(Verb.CANCEL, 400, error_code=UNKNOWN_ORDER)

    def on_too_early(self, _at: int) -> None:
        """A query that the venue answered before the order reached its book."""
        self.reply(Verb.STATUS, 400, error_code=NO_SUCH_ORDER)

    # -- USER ---

    def push(self, **fields: Any) -> None:
        terms = {"side": self.history.side, "px_ticks": PX, "qty_lots": QTY}
        self.orders.order_event(event(self.intent, **terms, **fields), 99, 101, self.now_ns)

    def on_new(self, _at: int) -> None:
        self.push()

    def on_canceled(self, _at: int) -> None:
        self.push(exec_type=ExecType.CANCELED, status=S.CANCELED,
                  cum_qty_lots=sum(self.history.fills))  # fmt: skip

    def on_fill(self, at: int) -> None:
        cum = self.cum(at)
        self.push(
            exec_type=ExecType.TRADE, status=S.FILLED if cum == QTY else S.PARTIALLY_FILLED,
            cum_qty_lots=cum, trade_id=40 + at, last_px_ticks=PX,
            last_qty_lots=self.history.fills[at - 1], fee_e8=self.fee(at),
        )  # fmt: skip

    # -- REST ---

    def on_row(self, at: int) -> None:
        self.orders.fill_row({
            "trade_id": 40 + at, "venue_order_id": 7, "intent_id": self.intent,
            "owner": FillOwner.RUN, "side": self.history.side, "px_ticks": PX,
            "qty_lots": self.history.fills[at - 1], "fee_e8": self.fee(at), "fee_asset": 0,
            "is_maker": 1, "exch_ts_ns": at,
        }, PX, PX, self.now_ns)  # fmt: skip

    def query(self, status: int, cum: int) -> None:
        self.orders.query({
            "intent_id": self.intent, "is_absent": 0, "order_status": status,
            "venue_order_id": 7, "px_ticks": PX, "qty_lots": QTY, "cum_qty_lots": cum,
            "asked_ns": 0,
        }, self.now_ns)  # fmt: skip

    def on_query_end(self, _at: int) -> None:
        self.query(self.history.end, sum(self.history.fills))

    def on_query_then(self, at: int) -> None:
        """What was true once, and comes now."""
        self.query(S.PARTIALLY_FILLED if at else S.NEW, self.cum(at))


@settings(max_examples=1_500, deadline=None)
@given(told())
def test_every_order_of_the_news_comes_to_the_same_end(
    given_told: tuple[History, list[Message]],
) -> None:
    history, messages = given_told
    account = Account(history)
    for message in messages:
        account.tell(message)
    order = account.orders.order(account.intent)
    assert order
    assert (OrderState(order["state"]), order["cum_qty_lots"]) == (
        history.end, sum(history.fills),
    )  # fmt: skip
    assert account.orders.active_intents() == [], "nothing is owed or in doubt"
    money = account.orders.money()
    sign = 1 if history.side == Side.BUY else -1
    assert money["position_lots"] == sign * sum(history.fills)
    assert money["cash_ticks_lots"] == -sign * sum(history.fills) * PX
    assert money["fees_e8"] == sum(account.fee(at) for at in range(1, len(history.fills) + 1))
    assert money["fill_count"] == len(history.fills)
    assert account.orders.counts()["strangers"] == 0


def test_an_old_copy_of_a_fill_ends_no_doubt() -> None:
    account = Account(History((4,), Side.BUY))
    account.tell(Message("ack"))
    account.tell(Message("fill", 1))
    account.tell(Message("cancel_rejected"))
    for message in (Message("fill", 1), Message("row", 1)):
        account.tell(message)
        order = account.orders.order(account.intent)
        assert order
        assert (order["state"], order["cum_qty_lots"]) == (S.UNKNOWN, 4)


def test_an_execution_remembers_by_which_way_it_came_first() -> None:
    for kind, via in (("fill", FillVia.STREAM), ("row", FillVia.REST)):
        account = Account(History((4, 6), Side.SELL))
        account.tell(Message(kind, 1))
        fill = account.orders.last_fill_fields()
        assert (fill["via"], fill["owner"], fill["qty_lots"]) == (via, FillOwner.RUN, 4)
