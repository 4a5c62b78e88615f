"""Paper: the live venue's frames as they are, fills where the live market went, and nothing of
ours that ever reaches the live venue."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest
from exchange_client import Client
from support_paper import LiveVenue, Paper, papered
from support_session import run
from websockets.asyncio.client import connect

from engine.exchange.book import Side
from engine.exchange.terms import MarketState

USDM = "local_binance_usdm.toml"


def clients(http: aiohttp.ClientSession, live: LiveVenue, paper: Paper) -> tuple[Client, Client]:
    """Somebody at the live venue, and ourselves on paper."""
    stranger = Client(live.server, live.core.keys[1].keys[0], http)
    mine = Client(paper.server, paper.core.keys[0].keys[0], http)
    return stranger, mine


async def sell(stranger: Client, px: str, qty: str) -> None:
    _, answer = await stranger.signed(
        "POST", "/fapi/v1/order", symbol="BTCUSDT", side="SELL", type="LIMIT", timeInForce="IOC",
        price=px, quantity=qty,
    )  # fmt: skip
    assert answer["symbol"] == "BTCUSDT", answer


def test_a_paper_order_fills_where_the_live_market_reaches_its_place_in_the_queue(
    tmp_path: Path,
) -> None:
    async def body() -> None:
        live = LiveVenue("binance_usdm", ["BTCUSDT", "ETHUSDT"], quiet=True)
        async with papered(tmp_path, USDM, live) as paper, aiohttp.ClientSession() as http:
            stranger, mine = clients(http, live, paper)
            market = paper.core.markets["BTCUSDT"]
            bid_ticks, ahead_lots, *_ = market.touch()
            assert (bid_ticks, ahead_lots) == live.core.markets["BTCUSDT"].touch()[:2]
            px = f"{bid_ticks / 10:.2f}"
            status, order = await mine.signed(
                "POST", "/fapi/v1/order", symbol="BTCUSDT", side="BUY", type="LIMIT",
                timeInForce="GTC", price=px, quantity="0.010",
            )  # fmt: skip
            assert status == 200, order
            # The live market trades all that stood ahead of us but one lot: no fill.
            await sell(stranger, px, f"{(ahead_lots - 1) / 1000:.3f}")
            await paper.until(lambda: market.touch()[1] == 1)
            assert paper.core.fills_of(0, "BTCUSDT") == []
            # A queue that only got shorter by trades: the next four lots reach three of ours.
            another = Client(live.server, live.core.keys[0].keys[0], http)
            await another.signed(
                "POST", "/fapi/v1/order", symbol="BTCUSDT", side="BUY", type="LIMIT",
                timeInForce="GTC", price=px, quantity="0.003",
            )  # fmt: skip
            await paper.until(lambda: market.touch()[1] == 4)
            await sell(stranger, px, "0.004")  # 1 was ahead of us, 3 came behind
            await paper.until(lambda: paper.core.fills_of(0, "BTCUSDT"))
            (fill,) = paper.core.fills_of(0, "BTCUSDT")
            assert (fill.qty_lots, fill.px_ticks, fill.side) == (3, bid_ticks, Side.BUY)
            assert fill.fee_e8 == market.instrument.notional_e8 * 3 * bid_ticks * 200 // 10**6
            # Through our price: all that is left.
            lower, lots = live.core.markets["BTCUSDT"].touch()[:2]
            assert lower < bid_ticks
            await paper.until(lambda: len(paper.core.fills_of(0, "BTCUSDT")) == 1)
            await sell(stranger, f"{lower / 10:.2f}", f"{lots / 1000:.3f}")
            await paper.until(lambda: len(paper.core.fills_of(0, "BTCUSDT")) == 2)
            assert paper.core.fills_of(0, "BTCUSDT")[1].qty_lots == 7
            # Whatever happened on paper, nobody at the live venue knows of it.
            assert sum(fill.qty_lots for fill in live.core.fills_of(0, "BTCUSDT")) == 3
            await stranger.close()
            await mine.close()

    run(body)


CASES = [
    (USDM, "binance_usdm", ["BTCUSDT", "ETHUSDT"]),
    ("local_binance_spot.toml", "binance_spot", ["BTCUSDT"]),
    ("local_bybit.toml", "bybit", ["linear/BTCUSDT", "spot/BTCUSDT", "linear/ETHUSDT"]),
]


@pytest.mark.parametrize(("example", "venue", "keys"), CASES)
def test_the_engine_trades_on_paper_at_each_venue(
    tmp_path: Path, example: str, venue: str, keys: list[str]
) -> None:
    async def body() -> None:
        live = LiveVenue(venue, keys)
        async with papered(tmp_path, example, live) as paper:
            desk = paper.desk(tmp_path / "run")
            await desk.quoting()
            listening = await heard_by_a_client(paper)
            assert await desk.stop() == 0
            check_is_live_bytes(listening, live.noted.said)
            for instrument in desk.instruments:
                key = next(k for k in paper.core.markets if k.endswith(instrument.symbol)
                           and (venue != "bybit" or k.split("/")[0] in instrument.key))
                fills = paper.core.fills_of(0, key)
                assert instrument.core.numbers()["fills"] == len(fills)
                assert not paper.core.open_orders(0, key)
            assert not desk.heard.of("divergence"), desk.heard.of("divergence")
            told = json.loads((tmp_path / "run" / "config.json").read_text())
            assert told["kind"] == "paper"
            live.noted.check_nothing_signed()
            desk.heard.close()

    run(body)


async def heard_by_a_client(paper: Paper) -> list[str]:
    """Some frames, as any client of the paper exchange gets them."""
    ((url, sent),) = [(feed._plan.url, feed._plan.texts) for feed in paper.exchange.feeds[:1]]
    kinds = paper.server.ws_url
    if "?" in url:
        root = kinds.get("public") or kinds["market"]
        url = f"{root}/stream?{url.partition('?')[2]}"
    else:
        url = kinds[f"public_{url.rpartition('/')[2]}"]
    frames: list[str] = []
    async with connect(url, compression=None) as connection, asyncio.timeout(10):
        for text in sent:
            await connection.send(text)
        while len(frames) < 20:
            frames.append(str(await connection.recv()))
    return frames


def check_is_live_bytes(heard: list[str], said: list[str]) -> None:
    """Byte for byte, in the same order; but for answers, and a late subscriber's snapshots."""
    own = [text for text in heard if '"op"' not in text and text in set(said)]
    other = [text for text in heard if text not in set(said)]
    assert len(own) >= 10
    assert all('"op"' in text or '"type":"snapshot"' in text for text in other), other
    rest = iter(said)
    assert all(text in rest for text in own)


def test_a_paper_run_begins_flat_whatever_the_run_before_held(tmp_path: Path) -> None:
    async def body() -> None:
        live = LiveVenue("binance_usdm", ["BTCUSDT", "ETHUSDT"])
        async with papered(tmp_path, USDM, live) as paper:
            state_dir = paper.config.state_dir
            for number in range(2):
                desk = paper.desk(tmp_path / f"run{number}")
                assert desk.session.config.state_dir == tmp_path / f"run{number}" / "paper_state"
                await desk.quoting()
                steps = [line["name"] for line in desk.heard.of("step")]
                assert not [name for name in steps if name.startswith("run before")]
                assert await desk.stop() == 0
                desk.heard.close()
            assert not state_dir.exists()
            live.noted.check_nothing_signed()

    run(body)


def test_the_engine_halts_while_the_live_feed_is_down(tmp_path: Path) -> None:
    async def body() -> None:
        live = LiveVenue("binance_usdm", ["BTCUSDT", "ETHUSDT"])
        async with papered(tmp_path, USDM, live) as paper:
            desk = paper.desk(tmp_path / "run")
            await desk.quoting()
            port = int(live.server.ws_root.rpartition(":")[2])
            assert live.server._ws_server is not None
            live.server._ws_server.close()  # nobody connects any more
            live.cut()
            await desk.until(lambda: all(desk.bits(i) for i in range(len(desk.instruments))))
            assert not paper.exchange.gate.is_up
            await desk.until(lambda: not any(
                paper.core.open_orders(0, key) for key in paper.core.markets))
            assert {paper.core.state(key) for key in paper.core.markets} == {MarketState.HALTED}
            fills = sum(len(paper.core.fills_of(0, key)) for key in paper.core.markets)
            await asyncio.sleep(0.3)
            assert fills == sum(len(paper.core.fills_of(0, key)) for key in paper.core.markets)
            loop = asyncio.get_running_loop()
            from engine.exchange.ws_end import WsEnd

            live.server._ws_server = await loop.create_server(
                lambda: WsEnd(live.server), "127.0.0.1", port
            )
            await desk.quoting()
            assert [line["state"] for line in paper.told if line["event"] == "feed"] == [
                "up", "down", "up"]  # fmt: skip
            assert await desk.stop() == 0
            live.noted.check_nothing_signed()
            desk.heard.close()

    run(body)
