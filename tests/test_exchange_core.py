"""engine.exchange.core: orders, money and keys, without a venue's words or a socket."""

import random
from fractions import Fraction

import pytest
from support_exchange import accepted, place, quiet_core, refusal, updates

from engine.exchange.accounts import USDT_ONLY, Position
from engine.exchange.book import Side
from engine.exchange.commands import Cancel, CancelAll, Modify
from engine.exchange.core import Core
from engine.exchange.events import AccountUpdate, DepthChange, OrderUpdate
from engine.exchange.instruments import CATALOGUE
from engine.exchange.keys import derive_keys
from engine.exchange.rules import rules_of
from engine.exchange.terms import Exec, OrderType, Reason, Status, Tif, Why
from engine.exchange.truth import FillRecord, OrderRecord

BTC = CATALOGUE["BTCUSDT"].instrument
WALLET_START_E8 = USDT_ONLY["USDT"]
ORDERS_MAX = rules_of("binance_usdm").orders_max
BID, ASK = 599_999, 600_001  # the quiet market's opening touch


def touch_lots(core: Core, side: Side) -> int:
    return core.markets["BTCUSDT"].touch()[2 * side + 1]


# -- ORDERS ---


def test_resting_order_is_filled_in_parts_by_another_user() -> None:
    core = quiet_core()
    maker = accepted(core.step(place(0, Side.BUY, 10, 600_000), 1))
    outputs = core.step(place(1, Side.SELL, 4, 600_000, tif=Tif.IOC), 2)
    assert [(u.order.account, u.exec_type, u.status) for u in updates(outputs)] == [
        (1, Exec.NEW, Status.NEW),
        (1, Exec.TRADE, Status.FILLED),
        (0, Exec.TRADE, Status.PARTIALLY_FILLED),
    ]
    core.step(place(1, Side.SELL, 9, 600_000, tif=Tif.IOC), 3)
    assert (maker.status, maker.cum_lots) == (Status.FILLED, 10)
    assert not core.open_orders(0, "BTCUSDT")


def test_ioc_remainder_expires() -> None:
    core = quiet_core()
    core.step(place(0, Side.SELL, 3, 600_000), 1)
    outputs = core.step(place(1, Side.BUY, 5, 600_000, tif=Tif.IOC), 2)
    last = updates(outputs)[-1]
    assert (last.exec_type, last.status, last.cum_lots) == (Exec.EXPIRED, Status.EXPIRED, 3)
    assert last.why is Why.IOC


def test_post_only_that_would_take_is_refused_and_leaves_no_trace() -> None:
    core = quiet_core()
    outputs = core.step(place(0, Side.BUY, 5, ASK, tif=Tif.GTX, client_order_id="a"), 1)
    assert refusal(outputs) is Reason.WOULD_TAKE
    assert core.find_order(0, "BTCUSDT", 0, "a") is None
    assert not core.truth.of(OrderRecord)
    accepted(core.step(place(0, Side.BUY, 5, ASK - 1, tif=Tif.GTX), 1))


def test_fill_or_kill_needs_all_of_it() -> None:
    core = quiet_core()
    lots = touch_lots(core, Side.SELL)
    fok = {"tif": Tif.FOK}
    assert refusal(core.step(place(0, Side.BUY, lots + 1, ASK, **fok), 1)) is Reason.UNFILLABLE
    assert accepted(core.step(place(0, Side.BUY, lots, ASK, **fok), 1)).status is Status.FILLED


def test_market_order_walks_the_book() -> None:
    core = quiet_core()
    lots = touch_lots(core, Side.SELL) + 1
    order = accepted(core.step(place(0, Side.BUY, lots, 0, order_type=OrderType.MARKET), 1))
    assert order.status is Status.FILLED
    assert order.cum_cost > lots * ASK


def test_cancel_frees_the_client_id_and_the_book() -> None:
    core = quiet_core()
    order = accepted(core.step(place(0, Side.BUY, 5, 600_000, client_order_id="a"), 1))
    again = place(0, Side.BUY, 5, 599_990, client_order_id="a")
    assert refusal(core.step(again, 1)) is Reason.DUPLICATE_CLIENT_ID
    outputs = core.step(Cancel(0, "BTCUSDT", client_order_id="a"), 2)
    assert updates(outputs)[0].status is Status.CANCELED
    assert core.markets["BTCUSDT"].touch()[0] == BID
    missing = Cancel(0, "BTCUSDT", order_id=order.order_id)
    assert refusal(core.step(missing, 3)) is Reason.UNKNOWN_ORDER
    accepted(core.step(again, 4))


def test_orders_of_others_are_out_of_reach() -> None:
    core = quiet_core()
    order = accepted(core.step(place(0, Side.BUY, 5, 600_000), 1))
    theft = Cancel(1, "BTCUSDT", order_id=order.order_id)
    assert refusal(core.step(theft, 2)) is Reason.UNKNOWN_ORDER
    assert order.is_open


def test_cancel_all_takes_every_order_of_the_account_only() -> None:
    core = quiet_core()
    for n in range(5):
        core.step(place(0, Side.BUY, 5, 599_900 - n), 1)
        core.step(place(1, Side.BUY, 5, 599_900 - n), 1)
    outputs = core.step(CancelAll(0, ("BTCUSDT",)), 2)
    assert len(updates(outputs)) == 5
    assert (len(core.open_orders(0, "BTCUSDT")), len(core.open_orders(1, "BTCUSDT"))) == (0, 5)


def test_modify_loses_priority_and_may_trade() -> None:
    core = quiet_core()
    first = accepted(core.step(place(0, Side.BUY, 5, 600_000), 1))
    second = accepted(core.step(place(0, Side.BUY, 5, 600_000), 1))
    change = Modify(0, "BTCUSDT", 6, 600_000, order_id=first.order_id, side=Side.BUY)
    assert updates(core.step(change, 2))[0].exec_type is Exec.AMENDMENT
    assert refusal(core.step(change, 2)) is Reason.NO_CHANGE
    core.step(place(1, Side.SELL, 5, 600_000), 3)
    assert (first.cum_lots, second.cum_lots) == (0, 5)


def test_open_orders_are_limited() -> None:
    core = quiet_core()
    for _ in range(ORDERS_MAX):
        accepted(core.step(place(0, Side.BUY, 1, 590_000), 1))
    assert refusal(core.step(place(0, Side.BUY, 1, 590_000), 1)) is Reason.ORDERS_MAX


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (place(0, Side.BUY, 0, BID), Reason.QTY_ZERO),
        (place(0, Side.BUY, BTC.qty_lots_max + 1, BID), Reason.QTY_MAX),
        (place(0, Side.BUY, 1, 0), Reason.PX_MIN),
        (place(0, Side.BUY, 1, BTC.px_ticks_max + 1), Reason.PX_MAX),
        (place(0, Side.BUY, 1, ASK * 106 // 100), Reason.PX_FAR_HIGH),
        (place(0, Side.SELL, 1, BID * 94 // 100), Reason.PX_FAR_LOW),
        (place(0, Side.BUY, 1, 1), Reason.NOTIONAL_MIN),
        (place(0, Side.BUY, 40_000, BID), Reason.MARGIN),
        (place(0, Side.BUY, 1, BID, reduce_only=True), Reason.REDUCE_ONLY),
        (place(0, Side.BUY, 1, BID, symbol="NONE"), Reason.UNKNOWN_SYMBOL),
    ],
)
def test_bad_order_is_refused_with_its_reason(order: object, reason: Reason) -> None:
    assert refusal(quiet_core().step(order, 1)) is reason  # type: ignore[arg-type]


def test_reduce_only_orders_never_flip_the_position() -> None:
    core = quiet_core()
    core.step(place(0, Side.BUY, 5, ASK, tif=Tif.IOC), 1)
    shut = place(0, Side.SELL, 5, 600_100, reduce_only=True)
    resting = accepted(core.step(shut, 2))
    assert refusal(core.step(shut, 2)) is Reason.REDUCE_ONLY
    outputs = core.step(place(0, Side.SELL, 3, BID, tif=Tif.IOC), 3)
    last = updates(outputs)[-1]
    assert last.order is resting
    assert (last.exec_type, last.why) == (Exec.EXPIRED, Why.REDUCE_ONLY)


# -- MONEY ---


def test_fees_and_realized_pnl_are_exact() -> None:
    core = quiet_core()
    core.step(place(0, Side.BUY, 10, 600_000), 1)
    core.step(place(1, Side.SELL, 10, 600_000, tif=Tif.IOC), 1)
    maker, taker = core.accounts
    notional_e8 = 10 * 600_000 * 10_000  # 600.00 USDT
    assert maker.fees_e8["USDT"] == notional_e8 * 2 // 10_000
    assert taker.fees_e8["USDT"] == notional_e8 * 4 // 10_000
    core.step(place(0, Side.SELL, 10, 600_000), 2)
    outputs = core.step(place(1, Side.BUY, 10, 600_000, tif=Tif.IOC), 2)
    assert [u.realized_e8 for u in updates(outputs) if u.exec_type is Exec.TRADE] == [0, 0]
    assert maker.balance_e8("USDT") == WALLET_START_E8 - maker.fees_e8["USDT"]


def test_fill_emits_account_before_order_update() -> None:
    core = quiet_core()
    outputs = core.step(place(0, Side.BUY, 10, ASK, tif=Tif.IOC), 1)
    kinds = [type(o) for o in outputs if isinstance(o, AccountUpdate | OrderUpdate)]
    assert kinds[:3] == [OrderUpdate, AccountUpdate, OrderUpdate]


@pytest.mark.parametrize("seed", range(4))
def test_random_trading_between_two_users_conserves_everything(seed: int) -> None:
    """In a book of their own: every lot and every tick x lot bought was sold; fees leave."""
    rng = random.Random(seed)
    core = quiet_core(seed)
    core.markets["BTCUSDT"].withdraw(0)  # type: ignore[attr-defined]
    for n in range(400):
        px_ticks, tif = 600_000 + rng.randint(-20, 20), rng.choice((Tif.GTC, Tif.IOC, Tif.GTX))
        side, lots = Side(rng.randrange(2)), rng.randint(1, 50)
        core.step(place(rng.randrange(2), side, lots, px_ticks, tif=tif), n)
        if rng.random() < 0.05:
            core.step(CancelAll(rng.randrange(2), ("BTCUSDT",)), n)
    fills = core.truth.of(FillRecord)
    assert len(fills) > 100
    assert len({f.px_ticks for f in fills}) > 10
    assert sum(f.side.sign * f.qty_lots for f in fills) == 0
    assert sum(f.side.sign * f.qty_lots * f.px_ticks for f in fills) == 0
    positions = [account.position("BTCUSDT") for account in core.accounts]
    assert sum(position.lots for position in positions) == 0
    for account, position in zip(core.accounts, positions, strict=True):
        own = core.fills_of(account.index, "BTCUSDT")
        cash = -sum(f.side.sign * f.qty_lots * f.px_ticks for f in own)
        fees_e8 = sum(f.fee_e8 for f in own)
        assert account.fees_e8["USDT"] == fees_e8
        gain_e8 = (cash + position.cost) * BTC.notional_e8
        assert account.balance_e8("USDT") == WALLET_START_E8 + gain_e8 - fees_e8
        for order_id in {f.order_id for f in own}:
            order = core.find_order(account.index, "BTCUSDT", order_id, "")
            assert order is not None
            filled = sum(f.qty_lots for f in own if f.order_id == order_id)
            assert filled == order.cum_lots <= order.qty_lots


@pytest.mark.parametrize("seed", range(10))
def test_position_realizes_all_pnl_when_flat(seed: int) -> None:
    rng = random.Random(seed)
    position, cash, realized = Position(), 0, 0
    for _ in range(50):
        lots, px_ticks = rng.choice((-7, -3, -1, 1, 2, 5)), rng.randint(90, 110)
        cash -= lots * px_ticks
        realized += position.apply_fill(lots, px_ticks)
        assert Fraction(realized - position.cost) == cash
    px_ticks = 100
    cash += position.lots * px_ticks
    realized += position.apply_fill(-position.lots, px_ticks)
    assert (position.lots, position.cost, realized) == (0, 0, cash)


# -- ORDER OF IDS, KEYS ---


def test_depth_ids_leave_in_order_without_holes() -> None:
    core = quiet_core()
    rng = random.Random(1)
    last_id = core.markets["BTCUSDT"].snapshot(0).update_id
    for n in range(200):
        side = Side(rng.randrange(2))
        px_ticks = 600_000 + rng.randint(-3, 3)
        order = place(rng.randrange(2), side, rng.randint(1, 30), px_ticks, tif=Tif.GTC)
        for output in core.step(order, n) + core.step(CancelAll(n % 2, ("BTCUSDT",)), n):
            if isinstance(output, DepthChange):
                assert output.first_update_id == last_id + 1
                assert len(output.changes) == output.final_update_id - last_id
                last_id = output.final_update_id
    assert last_id == core.markets["BTCUSDT"].snapshot(0).update_id


def test_keys_are_constants_of_the_seed() -> None:
    assert derive_keys(1) == derive_keys(1)
    accounts = [account for seed in (1, 2) for account in derive_keys(seed)]
    pairs = [pair for account in accounts for pair in (*account.keys, account.ed25519)]
    assert len({pair.api_key for pair in pairs} | {pair.secret for pair in pairs}) == 24
    assert pairs[0].secret not in repr(derive_keys(1))
