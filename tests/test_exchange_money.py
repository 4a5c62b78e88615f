"""engine.exchange.core: spot balances and locks, funding, settings, keys."""

import base64
import random
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from support_exchange import LINEAR, SPOT, accepted, place, quiet_core, refusal, updates

from engine.exchange.accounts import SPOT_PURSE
from engine.exchange.book import Side
from engine.exchange.commands import (
    Advance,
    AmendTrigger,
    Cancel,
    CancelAll,
    CancelTrigger,
    Countdown,
    DeleteKey,
    Modify,
    PlaceTrigger,
    SetLeverage,
    SetPositionMode,
    SetRefusals,
    SetState,
    UpdateKey,
)
from engine.exchange.core import Core
from engine.exchange.events import Accepted, AccountUpdate, KeyDeleted, MarkUpdate
from engine.exchange.terms import (
    Exec,
    MarketState,
    MoneyWhy,
    OrderType,
    Reason,
    Status,
    Tif,
    TriggerStatus,
    Why,
)
from engine.exchange.truth import (
    CountdownRecord,
    FundingRecord,
    InstrumentRecord,
    KeyRecord,
    MoneyRecord,
    SettingRecord,
    record_fields,
)

HOUR_NS = 3_600_000_000_000


def spot_core(seed: int = 1) -> Core:
    return quiet_core(seed, venue="binance_spot")


def bybit_core(seed: int = 1) -> Core:
    return quiet_core(seed, venue="bybit", keys=(LINEAR, SPOT))


# -- SPOT ---


def test_spot_order_locks_what_it_may_cost_and_frees_it() -> None:
    core = spot_core()
    account = core.accounts[0]
    instrument = core.markets["BTCUSDT"].instrument
    bid, _, ask, _ = core.markets["BTCUSDT"].touch()
    buy = accepted(core.step(place(0, Side.BUY, 1_000, bid - 100), 1))
    assert account.locked["USDT"] == 1_000 * (bid - 100) * instrument.notional_e8
    sell = accepted(core.step(place(0, Side.SELL, 2_000, ask + 100), 1))
    assert account.locked["BTC"] == 2_000 * instrument.lot_e8
    outputs = core.step(Cancel(0, "BTCUSDT", order_id=buy.order_id), 2)
    locks = [o for o in outputs if isinstance(o, AccountUpdate)]
    assert [(o.why, o.balances[0].asset, o.balances[0].locked_e8) for o in locks] == [
        (MoneyWhy.LOCK, "USDT", 0)
    ]
    core.step(Cancel(0, "BTCUSDT", order_id=sell.order_id), 2)
    assert account.locked == {"USDT": 0, "BTC": 0}
    assert account.balances == SPOT_PURSE


def test_spot_fee_is_taken_from_what_is_received() -> None:
    core = spot_core()
    instrument = core.markets["BTCUSDT"].instrument
    bid, _, ask, _ = core.markets["BTCUSDT"].touch()
    outputs = core.step(place(0, Side.BUY, 10, ask, tif=Tif.IOC), 1)
    fill = next(u for u in updates(outputs) if u.exec_type is Exec.TRADE)
    assert (fill.fee_asset, fill.fee_e8) == ("BTC", 10 * instrument.lot_e8 // 1_000)
    outputs = core.step(place(0, Side.SELL, 10, bid, tif=Tif.IOC), 2)
    fill = next(u for u in updates(outputs) if u.exec_type is Exec.TRADE)
    assert fill.fee_asset == "USDT"
    assert fill.fee_e8 == -(-10 * bid * instrument.notional_e8 // 1_000)


def test_buyer_at_a_better_price_gets_the_difference_back() -> None:
    core = spot_core()
    instrument = core.markets["BTCUSDT"].instrument
    _, _, ask, lots = core.markets["BTCUSDT"].touch()
    accepted(core.step(place(0, Side.BUY, lots + 10, ask + 500), 1))
    account = core.accounts[0]
    spent_e8 = SPOT_PURSE["USDT"] - account.balance_e8("USDT")
    own = core.fills_of(0, "BTCUSDT")
    assert spent_e8 == sum(f.px_ticks * f.qty_lots for f in own) * instrument.notional_e8
    open_lots = sum(o.qty_lots - o.cum_lots for o in core.open_orders(0, "BTCUSDT"))
    assert account.locked["USDT"] == open_lots * (ask + 500) * instrument.notional_e8


@pytest.mark.parametrize(
    "order",
    [
        place(0, Side.SELL, 1_000_001, 7_000_000),
        place(0, Side.BUY, 200_000, 5_990_000),
        place(0, Side.BUY, 400_000, 0, order_type=OrderType.MARKET, tif=Tif.IOC),
    ],
)
def test_spot_order_beyond_the_balance_is_refused(order: object) -> None:
    core = spot_core()
    assert refusal(core.step(order, 1)) is Reason.BALANCE  # type: ignore[arg-type]
    assert not any(core.accounts[0].locked.values())


def test_waiting_order_locks_its_money_until_it_ends_or_triggers() -> None:
    core = spot_core()
    account = core.accounts[0]
    instrument = core.markets["BTCUSDT"].instrument
    _, _, ask, _ = core.markets["BTCUSDT"].touch()
    waiting = place(0, Side.BUY, 1_000, ask + 500)
    outputs = core.step(PlaceTrigger(waiting, ask + 100, True), 1)
    cost_e8 = 1_000 * (ask + 500) * instrument.notional_e8
    assert account.locked["USDT"] == cost_e8
    assert [type(o).__name__ for o in outputs[1:]] == ["AccountUpdate", "TriggerUpdate"]
    answer = outputs[0]
    assert isinstance(answer, Accepted)
    assert answer.trigger is not None
    trigger_id = answer.trigger.trigger_id
    core.step(AmendTrigger(0, "BTCUSDT", trigger_id, qty_lots=500), 2)
    assert account.locked["USDT"] == cost_e8 // 2
    amended = AmendTrigger(0, "BTCUSDT", trigger_id, qty_lots=900_000)
    assert refusal(core.step(amended, 2)) is Reason.BALANCE
    assert answer.trigger.place.qty_lots == 500
    core.step(CancelTrigger(0, "BTCUSDT", trigger_id), 3)
    assert account.locked["USDT"] == 0
    # The whole purse waits: it must be free again for the order that it becomes.
    lots = account.free_e8("USDT") // ((ask + 500) * instrument.notional_e8)
    whole = place(0, Side.BUY, lots, ask + 500)
    core.step(PlaceTrigger(whole, ask + 100, True), 4)
    assert refusal(core.step(place(0, Side.BUY, 1_000, ask), 5)) is Reason.BALANCE
    core.markets["BTCUSDT"].withdraw(6)  # type: ignore[attr-defined]
    for side in (Side.SELL, Side.BUY):
        core.step(place(1, side, 1_000, ask + 100), 6)
    trigger = core.triggers_of(0, "BTCUSDT")[-1]
    assert trigger.status is TriggerStatus.TRIGGERED
    order = core.find_order(0, "BTCUSDT", trigger.order_id, "")
    assert order is not None
    assert account.locked["USDT"] == order.locked_e8


def test_market_order_for_quote_money_spends_no_more() -> None:
    core = spot_core()
    fields = {"order_type": OrderType.MARKET, "tif": Tif.IOC, "quote_e8": 1_000 * 100_000_000}
    order = accepted(core.step(place(0, Side.BUY, 0, 0, **fields), 1))
    instrument = core.markets["BTCUSDT"].instrument
    spent_e8 = order.cum_cost * instrument.notional_e8
    assert order.status is Status.FILLED
    lot_cost_e8 = 6_100_000 * instrument.notional_e8
    assert fields["quote_e8"] - lot_cost_e8 < spent_e8 <= fields["quote_e8"]


@pytest.mark.parametrize("venue", ["binance_spot", "bybit"])
@pytest.mark.parametrize("seed", range(3))
def test_random_spot_trading_between_two_users_conserves_assets(seed: int, venue: str) -> None:
    rng = random.Random(seed)
    symbol = "BTCUSDT" if venue == "binance_spot" else SPOT
    core = quiet_core(seed, venue=venue, keys=(symbol,))
    market = core.markets[symbol]
    mid = sum(market.touch()[::2]) // 2
    market.withdraw(0)  # type: ignore[attr-defined]
    lot = max(1, 100_000 // market.instrument.lot_e8)
    for n in range(400):
        side, account = Side(rng.randrange(2)), rng.randrange(2)
        tif = rng.choice((Tif.GTC, Tif.IOC, Tif.GTX, Tif.FOK))
        px_ticks, lots = mid + rng.randint(-20, 20), lot * rng.randint(1, 50)
        core.step(place(account, side, lots, px_ticks, tif=tif, symbol=symbol), n)
        if rng.random() < 0.1 and (opened := core.open_orders(account, symbol)):
            order = rng.choice(opened)
            core.step(Modify(account, symbol, lots, px_ticks, order.order_id), n)
        if rng.random() < 0.03:
            core.step(CancelAll(account, (symbol,)), n)
    assert len(core.fills_of(0, symbol)) > 50
    for asset in ("USDT", "BTC"):
        fees_e8 = sum(account.fees_e8.get(asset, 0) for account in core.accounts)
        held_e8 = sum(account.balance_e8(asset) for account in core.accounts)
        assert held_e8 + fees_e8 == 2 * SPOT_PURSE[asset]
    for account in core.accounts:
        core.step(CancelAll(account.index, (symbol,)), 500)
        assert not any(account.locked.values())
        last = {r.asset: r for r in core.truth.of(MoneyRecord) if r.account == account.index}
        assert {asset: r.total_e8 for asset, r in last.items()} == account.balances


def test_unified_account_pays_both_kinds_from_one_purse() -> None:
    core = bybit_core()
    bid, _, _, _ = core.markets[SPOT].touch()
    whole = core.accounts[0].free_e8("USDT")
    lots = whole // (bid * core.markets[SPOT].instrument.notional_e8)
    accepted(core.step(place(0, Side.BUY, lots, bid, symbol=SPOT), 1))
    order = place(0, Side.BUY, 100, 590_000, symbol=LINEAR)
    assert refusal(core.step(order, 2)) is Reason.MARGIN


# -- DERIVATIVES ---


def test_funding_moves_money_from_longs_to_shorts() -> None:
    core = quiet_core()
    core.step(Advance(), 1)
    core.step(place(0, Side.BUY, 10, 600_000), 1)
    core.step(place(1, Side.SELL, 10, 600_000, tif=Tif.IOC), 1)
    before = [account.balance_e8("USDT") for account in core.accounts]
    assert not core.truth.of(FundingRecord)
    outputs = core.step(Advance(), 8 * HOUR_NS)
    mark = next(o for o in outputs if isinstance(o, MarkUpdate))
    paid = 10 * mark.mark_px_ticks * 10_000 * mark.funding_rate_e8 // 100_000_000
    after = [account.balance_e8("USDT") for account in core.accounts]
    assert [b - a for b, a in zip(before, after, strict=True)] == [paid, -paid]
    assert {o.why for o in outputs if isinstance(o, AccountUpdate)} == {MoneyWhy.FUNDING}
    core.step(Advance(), 8 * HOUR_NS + 1_500_000_000)
    assert len(core.truth.of(FundingRecord)) == 2


def test_leverage_and_position_mode_have_the_venues_refusals() -> None:
    core = quiet_core()
    assert refusal(core.step(SetLeverage(0, "BTCUSDT", 20), 1)) is Reason.NO_CHANGE
    assert refusal(core.step(SetLeverage(0, "BTCUSDT", 126), 1)) is Reason.LEVERAGE
    core.step(SetLeverage(0, "BTCUSDT", 1), 1)
    assert refusal(core.step(place(0, Side.BUY, 2_000, 599_000), 2)) is Reason.MARGIN
    core.step(SetLeverage(0, "BTCUSDT", 50), 3)
    accepted(core.step(place(0, Side.BUY, 2_000, 599_000), 4))
    assert refusal(core.step(SetPositionMode(0, False), 5)) is Reason.NO_CHANGE
    assert refusal(core.step(SetPositionMode(0, True), 5)) is Reason.HAS_ORDERS


# -- KEYS ---


def test_settings_switches_and_keys_are_told_by_the_truth() -> None:
    core = quiet_core()
    core.step(SetLeverage(0, "BTCUSDT", 50), 1)
    core.step(SetLeverage(0, "BTCUSDT", 500), 2)  # refused: not told
    assert core.truth.of(SettingRecord) == [SettingRecord(1, 0, "BTCUSDT", "leverage", 50)]
    for window_ns, t_ns in ((100, 10), (200, 20), (0, 30), (0, 31), (100, 40)):
        core.step(Countdown(1, "BTCUSDT", window_ns), t_ns)
    core.step(Advance(), 139)
    core.step(Advance(), 141)
    told = [(r.t_ns, r.account, r.phase, r.due_ns) for r in core.truth.of(CountdownRecord)]
    assert told == [
        (10, 1, "armed", 110), (20, 1, "armed", 220), (30, 1, "stopped", 220),
        (40, 1, "armed", 140), (141, 1, "fired", 140),
    ]  # fmt: skip
    key = core.keys[0].keys[0]
    key = replace(key, permissions=frozenset({"trade", "read"}), ips=("10.0.0.1",))
    core.step(UpdateKey(key), 200)
    assert core.keyring.find(key.api_key) == key
    (record,) = core.truth.of(KeyRecord)
    assert record[3:] == (False, ("read", "trade"), ("10.0.0.1",))
    assert key.api_key not in str(record_fields(0, record))
    core.step(SetState("BTCUSDT", MarketState.HALTED), 300)
    core.step(SetState("BTCUSDT", MarketState.TRADING), 301)
    assert [r.state.name for r in core.truth.of(InstrumentRecord)] == ["HALTED", "TRADING"]


def test_deleted_key_is_gone_and_the_management_key_stays() -> None:
    core = quiet_core()
    key = core.keys[0].keys[1]
    core.step(SetRefusals(is_revocation_refused=True), 1)
    assert refusal(core.step(DeleteKey(key.api_key), 1)) is Reason.REVOCATION_REFUSED
    core.step(SetRefusals(), 1)
    assert KeyDeleted(2, 0, key.api_key) in core.step(DeleteKey(key.api_key), 2)
    assert core.keyring.find(key.api_key) is None
    assert refusal(core.step(DeleteKey(key.api_key), 3)) is Reason.NO_KEY
    management = core.keyring.management.api_key
    assert refusal(core.step(DeleteKey(management), 3)) is Reason.NO_KEY
    record = core.truth.of(KeyRecord)[0]
    assert key.api_key not in str(record_fields(0, record))


def test_signatures_of_both_kinds_are_judged() -> None:
    account = quiet_core().keys[0]
    assert not account.keys[0].verifies("text", "00" * 32)
    assert not account.keys[0].verifies("text", "é")
    private = load_pem_private_key(account.ed25519.private_key_pem.encode(), None)
    assert isinstance(private, Ed25519PrivateKey)
    signature = base64.b64encode(private.sign(b"text")).decode()
    assert account.ed25519.verifies("text", signature)
    assert not account.ed25519.verifies("other", signature)
    assert not account.ed25519.verifies("text", "not base64")


def test_post_only_and_fok_end_at_once_where_the_venue_accepts_them_first() -> None:
    core = bybit_core()
    _, _, ask, lots = core.markets[LINEAR].touch()
    outputs = core.step(place(0, Side.BUY, 5, ask, tif=Tif.GTX, symbol=LINEAR), 1)
    last = updates(outputs)[-1]
    assert accepted(outputs).status is Status.EXPIRED
    assert (last.exec_type, last.why, last.cum_lots) == (Exec.EXPIRED, Why.POST_ONLY, 0)
    outputs = core.step(place(0, Side.BUY, lots + 1, ask, tif=Tif.FOK, symbol=LINEAR), 2)
    assert updates(outputs)[-1].why is Why.FOK
    assert not core.accounts[0].positions
