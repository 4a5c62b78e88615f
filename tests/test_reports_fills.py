"""What went wrong with fills elsewhere, shown not to go wrong here (docs/reports.md)."""

from pathlib import Path
from typing import Any

import pytest
from support_core import Desk
from support_live import Exchange, desk, exchanges, written
from support_session import WIDE, Rig, rigged, run
from test_reports_orders import bids, halts, quoting

from engine.exchange.face import Tick
from engine.exchange.faults_schedule import fault
from engine.live import reconciler
from engine.venues.base import TradeRow
from fastcore.journal import KIND, read_segment
from fastcore.types import Conn, FillOwner, Halt, Side

USDM = "local_binance_usdm.toml"


def over_rest(desk: Desk, bid: dict[str, Any], **changes: Any) -> int:
    """4 lots of the bid as the REST list of trades has them."""
    return desk.core.fill_row(**{
        "trade_id": 71, "venue_order_id": 900, "intent_id": int(bid["newClientOrderId"][-12:], 16),
        "owner": FillOwner.RUN, "side": Side.BUY, "px_ticks": 599_998, "qty_lots": 4,
        "fee_e8": 0, "fee_asset": 0, "is_maker": True, "exch_ts_ns": 9_000_000,
        "now_ns": desk.now_ns,
    } | changes)  # fmt: skip


# -- DUPLICATES ---


def test_the_same_trade_told_twice_is_booked_once__ccxt_18028__ccxt_18078() -> None:
    desk, bid, _ = quoting()
    for _ in range(3):
        desk.fill(bid, "0.004", "0.004", trade_id=71, fee="0.5")
    assert (desk.numbers["position_lots"], desk.numbers["fills"]) == (4, 1)
    assert desk.numbers["fees_e8"] == 50_000_000


@pytest.mark.parametrize("is_stream_first", [True, False])
def test_a_trade_of_rest_and_stream_is_booked_once__nautilus_3493__nautilus_3317__nautilus_3770(
    is_stream_first: bool,
) -> None:
    desk, bid, _ = quoting()
    if is_stream_first:
        desk.fill(bid, "0.004", "0.004", trade_id=71)
        assert over_rest(desk, bid) == 0
    else:
        assert over_rest(desk, bid) == 1
        desk.fill(bid, "0.004", "0.004", trade_id=71)
    assert (desk.numbers["position_lots"], desk.numbers["fills"]) == (4, 1)
    (own,) = bids(desk)
    assert own["leaves_lots"] == 6


@pytest.mark.parametrize(("qty", "is_whole"), [("0.010", True), ("0.004", False)])
def test_one_fill_under_two_ids_is_doubted_not_owned_twice__nautilus_4991(
    qty: str, is_whole: bool
) -> None:
    """The order's cumulated quantity says that nothing more was executed."""
    desk, bid, _ = quoting()
    desk.fill(bid, qty, qty, trade_id=71)
    assert halts(desk) == Halt.NONE
    lives = [own for own in bids(desk) if own["client_id"] == bid["newClientOrderId"]]
    assert is_whole is not bool(lives)
    desk.fill(bid, qty, qty, trade_id=72)
    assert Halt.RECONCILING in halts(desk)


def test_what_was_booked_before_a_restart_is_not_booked_again__quantdinger_231(
    tmp_path: Path,
) -> None:
    """The second run is told of the first one's trades by REST, and knows them."""

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM, half_spread_ticks="1.0")
            async with desk(path, tmp_path / "one") as first:
                await first.quoting()
                await first.until(lambda: first.numbers()["fills"] >= 2)
                await first.crash()
            count = len(usdm.core.fills_of(0, "BTCUSDT"))
            assert count >= 2
            async with desk(path, tmp_path / "two", run_tag="0b1b2c3d") as second:
                await second.quoting()
                assert await second.stop() == 0
                told = await rows_of(second)
                assert len(told) >= count  # REST tells of all of them, again and again
                recovered = second.numbers()["fills"]
                every = usdm.core.fills_of(0, "BTCUSDT")
                assert recovered <= len(every) - 2
                assert second.numbers()["position_lots"] == usdm.position_lots("BTCUSDT")
                assert not second.heard.of("divergence")

    run(work)


async def rows_of(made: Any) -> list[TradeRow]:
    account = made.account
    await account.rest.open()
    rows: list[TradeRow] = await account.calls.trades_since(made.instruments[0].traded, 0)
    await account.rest.close()
    return rows


# -- MISSED ---


def begin(rig: Rig, kind: str, **fields: Any) -> None:
    server = rig.server
    now_ns = server.now_ns()
    server.face.start(fault(kind, **fields), now_ns)  # type: ignore[attr-defined]
    server.act(server.face.step(Tick(), now_ns))


async def sold_to_us(rig: Rig) -> None:
    """Somebody buys all that we offer, once."""
    ask_px = max(own["px_ticks"] for own in rig.numbers["own"] if own["side"] == 1)
    await rig.other.api(
        "order.place", symbol="BTCUSDT", type="LIMIT", timeInForce="IOC", side="BUY",
        price=f"{ask_px / 10:.2f}", quantity="30.000",
    )  # fmt: skip


def test_a_fill_that_the_stream_never_tells_is_found_over_rest__nautilus_3869__ccxt_22719__ccxt_14121(  # noqa: E501
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection lives and everything else comes over it."""
    monkeypatch.setattr(reconciler, "COMPARE_EVERY_S", 0.2)
    monkeypatch.setattr(reconciler, "COMPARE_SHARE", 1.0)

    async def work() -> None:
        async with rigged(tmp_path, core=WIDE) as rig:
            await rig.quoting()
            begin(rig, "drop", conn="user", stream='"x":"TRADE"', for_="1s")
            await sold_to_us(rig)
            fills = rig.server.face.core.fills_of(0, "BTCUSDT")
            assert fills
            await rig.until(lambda: rig.numbers["fills"] == len(
                rig.server.face.core.fills_of(0, "BTCUSDT")))
            assert rig.heard.of("fill_recovered")
            await rig.quoting_again()
            await rig.stop()
            rig.check_books()

    run(work)


def test_fills_of_a_dropped_connection_are_made_up_for__ccxt_26945(tmp_path: Path) -> None:
    """Close code 1006, and no venue repeats what it said meanwhile."""

    async def work() -> None:
        async with rigged(tmp_path, core=WIDE) as rig:
            await rig.quoting()
            # Bought before the engine can know that it hears nothing any more.
            begin(rig, "drop", conn="user", for_="500ms")
            await sold_to_us(rig)
            assert rig.server.face.core.fills_of(0, "BTCUSDT")
            assert rig.numbers["fills"] == 0
            rig.proxy.cut(Conn.USER)
            await rig.until(lambda: rig.bits)
            await rig.quoting_again()
            assert rig.heard.of("fill_recovered")
            await rig.stop()
            rig.check_books()

    run(work)


# -- LOST WITH THE ENGINE ---


@pytest.mark.parametrize("is_torn", [False, True])
def test_orders_of_a_crashed_run_are_found_and_pulled__hummingbot_4647__hummingbot_366(
    tmp_path: Path, is_torn: bool
) -> None:
    """Even those whose record did not reach the disk: the crash came between write and send."""

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM, half_spread_ticks="20.0", strangers='"leave"')
            async with desk(path, tmp_path / "one") as first:
                await first.quoting()
                await first.crash()
            left = {order.client_order_id for order in usdm.core.open_orders(0, "BTCUSDT")}
            assert left
            if is_torn:
                (journal,) = (tmp_path / "one" / "journal").glob("*BTCUSDT/000000.jnl")
                data = bytearray(journal.read_bytes())
                at = min(
                    offset for offset, kind, *_ in read_segment(bytes(data)) if kind == KIND["OUT"]
                )
                data[at:] = bytes(len(data) - at)
                journal.write_bytes(data)
            async with desk(path, tmp_path / "two", run_tag="0b1b2c3d") as second:
                await second.quoting()
                still = {order.client_order_id for order in usdm.core.open_orders(0, "BTCUSDT")}
                assert not left & still
                assert await second.stop() == 0
                assert not second.heard.of("divergence")
                assert second.numbers()["position_lots"] == usdm.position_lots("BTCUSDT")

    run(work)
