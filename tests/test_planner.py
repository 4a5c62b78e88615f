"""engine/execution/planner.py: what can't be kept within venues' limits is named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.config import EngineConfig
from engine.config_file import load_config
from engine.execution import planner
from engine.execution.planner import (
    Plan,
    Row,
    VenueFacts,
    documented,
    orders_per_s_each,
    plan,
    venue_facts,
)  # fmt: skip
from engine.gateway import budget, clocksync, deadman
from engine.venues import adapter
from engine.venues.base import Instrument
from fastcore.types import Conn

EXAMPLES = Path(__file__).parent.parent / "deploy" / "examples"


def loaded(name: str = "local_binance_usdm") -> EngineConfig:
    path = EXAMPLES / f"{name}.toml"
    return load_config(path, run_tag="0000000a", mask_seed=1, with_credentials=False).config


def of_many(count: int, config: EngineConfig, **limits: int) -> EngineConfig:
    """As many instruments as wanted, all like the first."""
    first = config.instruments[0]
    core = first.core
    new = core.limits.model_copy(update=limits)
    return config.model_copy(update={"instruments": tuple(
        first.model_copy(update={
            "core": core.model_copy(update={"symbol": f"S{n}USDT", "limits": new, "number": n})
        })
        for n in range(count)
    )})  # fmt: skip


def planned(
    config: EngineConfig, change: Callable[[VenueFacts], VenueFacts] = lambda facts: facts,
    **told: Any,
) -> Plan:  # fmt: skip
    instruments = {
        one.key: replace(documented(one.core.venue, one.core.symbol), **told)
        for one in config.instruments
    }
    facts = {}
    for account in config.accounts:
        own = [instruments[one.key] for one in config.instruments if one.account == account.name]
        facts[account.name] = change(venue_facts(adapter(account, "k", "s"), own))
    return plan(config, instruments, facts)


def row(of: Plan, what: str) -> Row:
    return next(row for row in of.rows if row.what == what)


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.toml")))
def test_plan_of_every_example_is_kept(name: str) -> None:
    assert planned(loaded(name)).problems == ()


@pytest.mark.parametrize(("what", "key", "of_account"), [
    ("orders in 10 s, all instruments", "orders_per_10s_max", 300),
    ("orders in a minute, all instruments", "orders_per_min_max", 1_200),
    ("messages in 1 s, all instruments", "messages_per_s_max", 100),
    ("messages in a minute, all instruments", "messages_per_min_max", 3_000),
])  # fmt: skip
@pytest.mark.parametrize("over", [0, 1])
def test_plan_holds_the_sum_of_instruments_against_their_account(
    what: str, key: str, of_account: int, over: int
) -> None:
    config = loaded()
    quiet = {name: 1 for name in ("orders_per_10s_max", "orders_per_min_max",
                                  "messages_per_s_max", "messages_per_min_max")}  # fmt: skip
    half = of_many(2, config, **(quiet | {key: of_account // 2}))
    last = half.instruments[1]
    limits = last.core.limits.model_copy(update={key: of_account // 2 + over})
    core = last.core.model_copy(update={"limits": limits})
    config = half.model_copy(update={"instruments": (
        half.instruments[0], last.model_copy(update={"core": core})
    )})  # fmt: skip
    found = row(planned(config), what)
    assert (found.wanted, found.there_is) == (of_account + over, of_account)
    assert found.is_kept is not bool(over)
    assert any(what in problem for problem in planned(config).problems) is bool(over)


@pytest.mark.parametrize(("told", "what"), [
    ({"orders_per_10s_max": 299}, "orders in 10 s, at the venue"),
    ({"orders_per_min_max": 1_199}, "orders in a minute, at the venue"),
    ({"orders_per_s_max": 99}, "messages in 1 s, at the venue"),
    ({"open_orders_max": 7}, "open orders, at the venue"),
])  # fmt: skip
def test_plan_holds_the_account_against_what_the_venue_told(
    told: dict[str, int], what: str
) -> None:
    (problem,) = planned(loaded(), **told).problems
    assert what in problem
    (key, count), = told.items()
    assert planned(loaded(), **{key: count + 1}).problems == ()


def test_plan_wants_a_cancel_for_every_order_that_may_be_open() -> None:
    config = loaded()
    light = {"orders_per_10s_max": 1, "orders_per_min_max": 1, "messages_per_s_max": 50,
             "messages_per_min_max": 1}  # fmt: skip
    assert row(planned(of_many(2, config, **light, open_orders_max=10)),
               "cancels to pull every order").is_kept  # fmt: skip
    assert not row(planned(of_many(2, config, **light, open_orders_max=11)),
                   "cancels to pull every order").is_kept  # fmt: skip


@pytest.mark.parametrize("dead_man_s", [0, 30])
def test_plan_a_dead_man_switch_where_the_venue_has_none_is_a_problem(dead_man_s: int) -> None:
    config = loaded("local_binance_spot")
    account = config.accounts[0].model_copy(update={"dead_man_s": dead_man_s})
    problems = planned(config.model_copy(update={"accounts": (account,)})).problems
    assert [p for p in problems if "has no dead-man switch" in p] == list(problems)
    assert len(problems) == (dead_man_s > 0)


def test_plan_dead_man_renewals_cost_by_the_symbol_and_by_its_time() -> None:
    what = "weight a minute of dead-man renewals"
    one = row(planned(of_many(1, loaded())), what).wanted
    assert one == 10 * 60 / (30 / 3)  # weight 10 a symbol, renewed at a third of 30 s
    assert row(planned(of_many(7, loaded())), what).wanted == 7 * one
    fifty = row(planned(of_many(50, loaded())), what)
    assert (fifty.wanted, fifty.there_is) == (3_000, 800)  # of 2,400 in all
    assert not fifty.is_kept
    many = planned(of_many(200, loaded()))
    assert not row(many, what).is_kept
    assert any("Raise dead_man_s" in problem for problem in many.problems)


def test_plan_accounts_at_one_host_share_its_weight() -> None:
    config = loaded()
    other = config.accounts[0].model_copy(update={"name": "other"})
    instrument = config.instruments[0].model_copy(update={"account": "other"})
    both = config.model_copy(update={
        "accounts": (*config.accounts, other), "instruments": (*config.instruments, instrument),
    })  # fmt: skip
    what = "weight a minute while it trades"
    rows = [row for row in planned(both).rows if row.what == what]
    assert [row.wanted for row in rows] == [2 * row(planned(config), what).wanted]
    apart = other.model_copy(update={"rest_url": "https://testnet.binancefuture.com"})
    both = both.model_copy(update={"accounts": (*config.accounts, apart)})
    assert len([row for row in planned(both).rows if row.what == what]) == 2


def test_plan_says_what_a_reconnect_of_everything_costs() -> None:
    found = planned(loaded(), lambda facts: replace(
        facts, snapshot_weight=800, reconcile_weight=100, cancel_weight=10, weight_per_min=2_400,
    ))  # fmt: skip
    assert row(found, "weight of a reconnect of everything").wanted == 800 + 3 * 100 + 10
    assert row(found, "minutes that its weight takes").wanted == 1.0  # snapshots: a third of it
    slow = planned(loaded(), lambda facts: replace(facts, snapshot_weight=8_001))
    assert not row(slow, "minutes that its weight takes").is_kept


def test_plan_says_how_long_a_recovery_takes_where_the_account_is_limited_by_kind() -> None:
    what = "seconds of a recovery, at the venue's pace"
    assert row(planned(loaded()), what).wanted == 0  # Binance counts by the address
    both = planned(loaded("local_bybit"))
    assert row(both, what).wanted == 3 / 20  # spot: a cancel-all for each of three kinds of order
    slow = planned(loaded(), lambda facts: replace(facts, recovery_s=601.0))
    assert not row(slow, what).is_kept


def test_plan_counts_connections_as_the_session_opens_them() -> None:
    what = "connections, opened at once"
    assert row(planned(of_many(1, loaded())), what).wanted == 3
    assert row(planned(of_many(9, loaded())), what).wanted == 2 + 5  # two on a connection
    twice = loaded().accounts[0].model_copy(update={"feeds": 2})
    config = of_many(200, loaded()).model_copy(update={"accounts": (twice,)})
    assert row(planned(config), what).wanted == 2 + 2 * 8


def test_plan_instruments_of_two_currencies_share_no_exposure() -> None:
    config = of_many(2, loaded())
    instruments = {
        one.key: replace(documented("binance_usdm", one.core.symbol), quote=quote)
        for one, quote in zip(config.instruments, ("USDT", "USDC"), strict=True)
    }
    account = config.accounts[0]
    facts = {account.name: venue_facts(adapter(account, "k", "s"), list(instruments.values()))}
    problems = plan(config, instruments, facts).problems
    assert any("worth USDC and USDT" in problem for problem in problems)


@pytest.mark.parametrize(("told", "count", "each"), [
    ({"orders_per_10s_max": 300, "orders_per_min_max": 1_200}, 1, 20.0),  # the minute binds
    ({"orders_per_10s_max": 300, "orders_per_min_max": 1_200}, 200, 0.1),
    ({"orders_per_10s_max": 100, "orders_per_min_max": None}, 4, 2.5),
    ({"orders_per_s_max": 10, "orders_per_10s_max": None, "orders_per_min_max": None}, 5, 2.0),
    ({"orders_per_10s_max": None, "orders_per_min_max": None}, 1, float("inf")),
])  # fmt: skip
def test_orders_per_s_each_is_what_the_tightest_window_leaves(
    told: dict[str, Any], count: int, each: float
) -> None:
    instrument: Instrument = replace(documented("binance_usdm", "BTCUSDT"), **told)
    assert orders_per_s_each(instrument, count) == pytest.approx(each)


def test_what_is_planned_with_is_what_the_gateway_does() -> None:
    """The planner may not import it: what both must know is held together here."""
    assert planner.DEAD_MAN_RENEW_SHARE == deadman.RENEW_SHARE
    assert planner.SNAPSHOT_SHARE == budget.SNAPSHOT_SHARE
    made = {account.venue: adapter(account, "k", "s")
            for name in ("local_binance_usdm", "local_binance_spot", "local_bybit")
            for account in loaded(name).accounts}  # fmt: skip
    assert made.keys() == planner.ATTEMPTS_PER_5_MIN.keys()
    assert budget.CONNECTIONS_WINDOW_S == 300.0
    for venue, each in made.items():
        per_min = clocksync.SAMPLES * each.time().weight * 60.0 / clocksync.EVERY_S
        assert per_min == planner.CLOCK_WEIGHT_PER_MIN
        attempts = budget.Hosts().attempts("http://127.0.0.1:1", each)
        for at_ns in range(planner.ATTEMPTS_PER_5_MIN[venue]):
            assert attempts.wait_ns(Conn.TRADE, at_ns) == 0
            attempts.spend(at_ns)
        assert attempts.wait_ns(Conn.TRADE, planner.ATTEMPTS_PER_5_MIN[venue]) > 0
