"""How runs end, and what is refused before they begin: sessions at local exchanges."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support_live import Desk, Exchange, desk, exchanges, written
from support_session import run

from engine.config_file import load_config
from engine.errors import EXIT_FAILED, EXIT_OK, EXIT_UNSAFE, EXIT_USAGE, TickmakerError
from engine.exchange.commands import UpdateKey
from engine.gateway.http import NoAnswerError
from engine.live import facts, shutdown
from engine.live.flatten import REASON, excess_lots
from engine.live.instrument import LiveInstrument
from engine.live.lock import AccountLock
from engine.replay.verify import verify_run
from engine.running import RunOptions, refuse_held, refuse_what_can_not_be_kept, run_engine
from engine.venues.base import AccountFacts, Call, Failure, Setting
from fastcore.types import Side

USDM, SPOT, BYBIT = "local_binance_usdm.toml", "local_binance_spot.toml", "local_bybit.toml"


async def by_hand(made: Desk, side: Side, lots: int, *, off_ticks: int = 0,
                  client_id: str = "hand-1", at: int = 0) -> None:  # fmt: skip
    """Somebody takes with the account's own key."""
    numbers = made.numbers(at)
    px_ticks = numbers["ask_px_ticks" if side is Side.BUY else "bid_px_ticks"] + off_ticks
    account = made.account
    await account.rest.call(account.adapter.place(
        made.instruments[at].traded, client_id, side, px_ticks, lots, is_ioc=True,
        is_reduce_only=False,
    ))  # fmt: skip


def own_takes(exchange: Exchange, key: str) -> list[str]:
    """Client ids of ours that took, oldest first."""
    ids = {fill.client_order_id for fill in exchange.core.fills_of(0, key) if not fill.is_maker}
    return sorted(client_id for client_id in ids if client_id.startswith("tm"))


# -- FLATTEN ---


@pytest.mark.parametrize(
    ("position", "opening", "held", "wanted"),
    [(10, 0, 9, 9), (110, 100, 109, 10), (100, 100, 99, 0), (90, 100, 90, -10), (5, 0, 0, 0)],
)
def test_spot_goes_back_to_its_opening_and_never_sells_more_than_is_held(
    position: int, opening: int, held: int, wanted: int
) -> None:
    assert excess_lots(position, opening, held) == wanted


def test_flattening_is_sent_by_the_core_and_its_fills_are_the_runs(tmp_path: Path) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM, at_shutdown='"flatten"', half_spread_ticks="20.0")
            async with desk(path, tmp_path / "one") as made:
                await made.quoting()
                await by_hand(made, Side.BUY, 60, off_ticks=90)
                await made.until(lambda: made.numbers()["position_lots"] >= 50)
                assert await made.stop() == EXIT_OK, made.heard.of("error")
                assert usdm.position_lots("BTCUSDT") == made.numbers()["position_lots"] == 0
                prefix = made.instruments[0].core.client_prefix
                takes = own_takes(usdm, "BTCUSDT")
                assert takes
                assert all(client_id.startswith(prefix) for client_id in takes)
                asked = [payload for _, payload in made.records("HEDGE")]
                assert asked
                assert all(REASON.to_bytes(4, "little", signed=True) in told for told in asked)
                assert made.numbers()["earlier_fills"] == 0
        assert verify_run(tmp_path / "one")["identical"] is True

    run(work)


def test_flattening_goes_over_rest_where_the_core_can_not_send(tmp_path: Path) -> None:
    """TRADE is lost as the end begins."""

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM, at_shutdown='"flatten"', half_spread_ticks="20.0")
            async with desk(path, tmp_path / "one") as made:
                await made.quoting()
                await by_hand(made, Side.SELL, 20, off_ticks=-90)
                await made.until(lambda: made.numbers()["position_lots"] <= -10)
                made.account.trade.drop("a drill")
                assert await made.stop() == EXIT_OK, made.heard.of("error")
                assert usdm.position_lots("BTCUSDT") == made.numbers()["position_lots"] == 0
                assert any("-ff-" in client_id for client_id in own_takes(usdm, "BTCUSDT"))

    run(work)


def test_an_order_over_rest_without_an_answer_is_not_sent_again(tmp_path: Path) -> None:
    """Spot has no reduce-only: each of them would trade."""

    async def work() -> None:
        spot = Exchange("binance_spot", ["BTCUSDT"])
        async with exchanges(tmp_path, spot):
            path = written(tmp_path, SPOT, at_shutdown='"flatten"', half_spread_ticks="400.0")
            async with desk(path, tmp_path / "one") as made:
                await made.quoting()
                opening = made.numbers()["opening_lots"]
                lots = 4 * int(made.instruments[0].config.core.params["qty_lots"])
                await by_hand(made, Side.BUY, lots, off_ticks=9_000)
                await made.until(lambda: made.numbers()["position_lots"] > opening)
                made.account.trade.drop("a drill")
                http = made.account.rest._http
                assert http is not None
                once = http.request
                late: list[asyncio.Task[None]] = []

                async def request(method: str, url: str, *args: Any, **options: Any) -> Any:
                    async def arrive() -> None:
                        await asyncio.sleep(0.5)  # recvWindow is longer
                        await once(method, url, *args, **options)

                    if method != "POST" or "/order" not in url:
                        return await once(method, url, *args, **options)
                    assert all(task.done() for task in late), "another while one is on its way"
                    late.append(asyncio.create_task(arrive()))
                    raise NoAnswerError("no answer")

                http.request = request  # type: ignore[method-assign]
                assert await made.stop() == EXIT_OK, made.heard.of("error")
                assert late
                assert all(task.done() for task in late)
                assert made.numbers()["position_lots"] == opening
                assert spot.position_lots("BTCUSDT") == 0

    run(work)


@pytest.mark.parametrize("side", list(Side))
def test_spot_is_flattened_to_where_the_run_began(tmp_path: Path, side: Side) -> None:
    """The account held ten coins before. What was bought is sold, what was sold bought back."""

    async def work() -> None:
        spot = Exchange("binance_spot", ["BTCUSDT"])
        async with exchanges(tmp_path, spot):
            path = written(tmp_path, SPOT, at_shutdown='"flatten"', half_spread_ticks="400.0")
            async with desk(path, tmp_path / "one") as made:
                await made.quoting()
                opening = made.numbers()["opening_lots"]
                assert opening > 0
                lots = 30 * made.instruments[0].config.core.limits.qty_lots_min
                lots = max(lots, 4 * int(made.instruments[0].config.core.params["qty_lots"]))
                sign = 1 if side is Side.BUY else -1
                await by_hand(made, side, lots, off_ticks=sign * 9_000)
                await made.until(lambda: sign * (made.numbers()["position_lots"] - opening) > 0)
                assert await made.stop() == EXIT_OK, made.heard.of("error")
                assert made.numbers()["position_lots"] == opening, made.heard.of("warning")
                assert spot.position_lots("BTCUSDT") == 0
                assert own_takes(spot, "BTCUSDT")

    run(work)


# -- WHAT NOTHING EXPLAINS ---


def test_end_that_nothing_explains_is_a_failure(tmp_path: Path) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM, half_spread_ticks="20.0")
            async with desk(path, tmp_path / "one") as made:
                await made.quoting()
                rounds: list[int] = []
                reconciler = made.account.reconciler
                once = reconciler.round

                async def counted(*args: Any, **options: Any) -> list[LiveInstrument]:
                    rounds.append(1)
                    return await once(*args, **options)

                reconciler.round = counted  # type: ignore[method-assign]
                usdm.core.accounts[0].position("BTCUSDT").lots += 5
                assert await made.stop() == EXIT_FAILED
                (error,) = made.heard.of("error")
                assert "ends unexplained" in error["what"]
                assert "+5 are unexplained" in error["what"]
                assert 3 <= len(rounds) <= shutdown.LAST_ROUNDS == 4
                assert made.heard.of("stopped")[0]["open_orders_at_venue"] == 0
        events = [json.loads(line) for line in
                  (tmp_path / "one" / "events.jsonl").read_text().splitlines()]  # fmt: skip
        (stopped,) = [event for event in events if event["kind"] == "stopped"]
        assert not stopped["in_order"]

    run(work)


# -- REFUSED AT THE START ---


def test_run_refuses_what_can_not_be_kept_before_it_connects(tmp_path: Path) -> None:
    (tmp_path / "usdm.json").write_text(json.dumps({
        "venue": "binance_usdm", "rest_url": "http://127.0.0.1:9", "admin_url": "http://127.0.0.1:9",
        "ws_url": dict.fromkeys(("public", "private", "ws_api"), "ws://127.0.0.1:9"),
        "accounts": [{"api_key": "k" * 64, "secret": "s" * 64}],
    }))  # fmt: skip
    kept = load_config(written(tmp_path, USDM), run_tag="0a1b2c3d", mask_seed=7)
    refuse_what_can_not_be_kept(kept)
    path = written(tmp_path, USDM)
    text = path.read_text()
    path.write_text(text.replace("orders_per_min_max = 1200", "orders_per_min_max = 9"))
    not_kept = load_config(path, run_tag="0a1b2c3d", mask_seed=7)
    with pytest.raises(TickmakerError, match="orders in a minute") as caught:
        refuse_what_can_not_be_kept(not_kept)
    assert caught.value.exit_code == EXIT_USAGE


def test_run_of_a_held_account_is_refused_before_it_makes_a_folder(tmp_path: Path) -> None:
    (tmp_path / "usdm.json").write_text(json.dumps({
        "venue": "binance_usdm", "rest_url": "http://127.0.0.1:9", "admin_url": "http://127.0.0.1:9",
        "ws_url": dict.fromkeys(("public", "private", "ws_api"), "ws://127.0.0.1:9"),
        "accounts": [{"api_key": "k" * 64, "secret": "s" * 64}],
    }))  # fmt: skip
    path = written(tmp_path, USDM)
    config = load_config(path, run_tag="0a1b2c3d", mask_seed=7).config
    refuse_held(config)
    lock = AccountLock(config.state_dir, "usdm")
    lock.take()
    options = RunOptions(path, seconds=1.0, as_json=True)
    with pytest.raises(TickmakerError, match="traded by another engine") as caught:
        run_engine(options)
    assert caught.value.exit_code == EXIT_UNSAFE
    assert not (tmp_path / "runs").exists()
    lock.release()


def refused_key(tmp_path: Path, permissions: set[str]) -> tuple[int, list[dict[str, Any]]]:
    result: list[Any] = []

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            key = usdm.core.keys[0].keys[0]
            told = UpdateKey(replace(key, permissions=frozenset(permissions)))
            usdm.core.operate(told, usdm.server.now_ns())
            async with desk(written(tmp_path, USDM), tmp_path / "one") as made:
                result.append(await made.task)
                result.append(made.heard.of("error"))
                assert not made.heard.of("quoting")

    run(work)
    return result[0], result[1]


@pytest.mark.parametrize(
    ("permissions", "told"),
    [({"read", "trade", "withdraw"}, "may withdraw"), ({"read"}, "may not trade")],
)
def test_key_that_may_too_much_or_too_little_is_refused(
    tmp_path: Path, permissions: set[str], told: str
) -> None:
    code, (error,) = refused_key(tmp_path, permissions)
    assert code == EXIT_UNSAFE
    assert told in error["what"]


class Stub:
    """An account of which a venue says what a test wants."""

    def __init__(self, rest_url: str = "https://testnet.binancefuture.com", **says: Any) -> None:
        self.name = "main"
        self.heard: list[dict[str, Any]] = []
        self.steps: list[str] = []
        wanted = SimpleNamespace(margin_mode=None, leverage=None, fee_discount=None, stp=None)
        self.config = SimpleNamespace(name="main", rest_url=rest_url, wanted=wanted)
        self.instruments = [SimpleNamespace(traded=None)]
        self.adapter = SimpleNamespace(
            key_facts=lambda: says.get("key"), account_facts=lambda: says.get("facts"),
            settings=lambda wanted, traded: says.get("settings", ()),
        )  # fmt: skip
        self.rest = SimpleNamespace(call=self._call)
        self.stage = SimpleNamespace(
            say_step=lambda name, *_, **__: self.steps.append(name),
            config=SimpleNamespace(kind="live"),
        )  # fmt: skip

    async def _call(self, call: Any) -> Any:
        if isinstance(call, Call):
            return call.read(None)
        return call

    def emit(self, event: str, **fields: Any) -> None:
        self.heard.append({"event": event, **fields})


def key_facts(**changes: Any) -> Any:
    told = {"can_trade": True, "can_withdraw": False, "is_address_bound": True} | changes
    return SimpleNamespace(**told)


def test_key_that_is_bound_to_no_address_is_refused_but_at_a_local_exchange() -> None:
    unbound = key_facts(is_address_bound=False)
    with pytest.raises(TickmakerError, match="not bound to an address") as caught:
        asyncio.run(facts._check_key(cast(Any, Stub(key=unbound))))
    assert caught.value.exit_code == EXIT_UNSAFE
    local = Stub("http://127.0.0.1:7001", key=unbound)
    asyncio.run(facts._check_key(cast(Any, local)))
    assert "not bound" in local.heard[0]["what"]
    asyncio.run(facts._check_key(cast(Any, Stub(key=key_facts(is_address_bound=None)))))


def test_hedge_mode_and_accounts_that_may_not_trade_are_refused() -> None:
    hedge = Stub(facts=AccountFacts("hedge", None, True))
    with pytest.raises(TickmakerError, match="in hedge mode") as caught:
        asyncio.run(facts._set_up(cast(Any, hedge)))
    assert caught.value.exit_code == EXIT_USAGE
    barred = Stub(facts=AccountFacts("one_way", None, False))
    with pytest.raises(TickmakerError, match="may not trade"):
        asyncio.run(facts._set_up(cast(Any, barred)))
    asyncio.run(facts._set_up(cast(Any, Stub(facts=AccountFacts("one_way", None, True)))))


def test_setting_that_is_so_already_is_done_and_another_refusal_ends_it() -> None:
    def refusing(code: int) -> Stub:
        def read(_: Any) -> None:
            raise facts.VenueError("no", "", Failure(400, code, "told"))

        setting = Setting("margin mode", Call("POST", "/x", read), lambda f: f.code == -4046)
        return Stub(settings=(setting,))

    same = refusing(-4046)
    asyncio.run(facts._set_up(cast(Any, same)))
    assert same.steps == ["margin mode"]
    with pytest.raises(TickmakerError, match="account main: margin mode: no"):
        asyncio.run(facts._set_up(cast(Any, refusing(-4047))))


def test_margin_leverage_and_fee_discount_are_brought_about(tmp_path: Path) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM)
            path.write_text(path.read_text().replace(
                "[account.wanted]", '[account.wanted]\nmargin_mode = "cross"\nleverage = 7\n'
                'fee_discount = false\nstp = "expire_maker"', 1
            ))  # fmt: skip
            async with desk(path, tmp_path / "one") as made:
                await made.quoting()
                assert usdm.core.accounts[0].leverage("BTCUSDT") == 7
                steps = [step["name"] for step in made.heard.of("step")]
                for name in ("margin mode cross of BTCUSDT", "leverage of BTCUSDT", "fees in BNB"):
                    assert name in steps
                assert await made.stop() == EXIT_OK

    run(work)


def test_self_trade_prevention_that_orders_do_not_ask_for_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM)
            path.write_text(path.read_text().replace(
                "[account.wanted]", '[account.wanted]\nstp = "expire_taker"', 1))
            async with desk(path, tmp_path / "one") as made:
                assert await made.task == EXIT_USAGE
                (error,) = made.heard.of("error")
                assert "expire_taker" in error["what"]

    run(work)


# -- BOOKED OR NOT ---


def test_what_the_core_has_booked_is_by_trade_and_side(tmp_path: Path) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with (
            exchanges(tmp_path, usdm),
            desk(written(tmp_path, USDM, half_spread_ticks="20.0"), tmp_path / "one") as made,
        ):
            await made.quoting()
            await by_hand(made, Side.BUY, 3, off_ticks=50)
            await made.until(lambda: made.numbers()["position_lots"] == 3)
            (fill, *_) = usdm.core.fills_of(0, "BTCUSDT")
            core = made.instruments[0].core
            assert core.has_booked(fill.trade_id, Side.BUY)
            assert not core.has_booked(fill.trade_id, Side.SELL)
            assert not core.has_booked(fill.trade_id + 1_000_000, Side.BUY)
            assert await made.stop() == EXIT_OK

    run(work)


