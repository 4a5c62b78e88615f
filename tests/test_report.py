"""The report: exact money, exact percentiles, a page that stands alone."""

import json
import random
from decimal import Decimal
from pathlib import Path

import pytest

from engine.report.build import build_report
from engine.report.latency import latency_summary, nearest_rank
from engine.report.pnl import Books, Fill, sum_fills, value
from engine.report.text import other_fees
from fastcore.types import Conn, FeeAsset, SendOutcome, Side, Verb
from tests.support_journal import JournalBuilder, page_text, rows, write_run

SMALL = 64 * 4096
CONTRACT_KEYS = {
    "orders",
    "fills",
    "position_lots",
    "pnl",
    "tick_to_order",
    "state",
    "run_dir",
    "events",
    "events_per_s",
}


def build(tmp_path: Path) -> JournalBuilder:
    return JournalBuilder(tmp_path, SMALL)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    builder = build(tmp_path)
    write_run(builder)
    builder.close()
    return tmp_path


# -- figures ---


def test_report_holds_the_contract_and_is_what_it_wrote(run_dir: Path) -> None:
    report = build_report(run_dir)
    assert set(report) >= CONTRACT_KEYS
    assert json.loads((run_dir / "report.json").read_text()) == report
    assert report["orders"] == 2
    assert report["cancels"] == 1
    assert report["late"] == 1
    assert report["unsent"] == 0
    assert report["fills"] == 2
    assert report["position_lots"] == 6
    assert report["state"] == "STOPPED"
    assert report["events"] == 5
    assert report["duration_s"] == pytest.approx(0.400008, abs=1e-9)
    assert report["events_per_s"] == 12.5
    assert report["denies"] == {"POSITION": 1}
    assert report["gaps"] == 1
    assert report["run_dir"] == str(run_dir)
    assert (report["symbol"], report["strategy"]) == ("BTCUSDT", "spread")


def test_fees_in_other_assets_are_told_beside_the_pnl(tmp_path: Path) -> None:
    builder = build(tmp_path)
    builder.config()
    for asset, fee_e8 in (("QUOTE", 5), ("BASE", 700), ("OTHER", 30), ("OTHER", 3)):
        builder.fill(1, Side.BUY, 599_999, 10, fee_e8, FeeAsset[asset])
    builder.sample()
    builder.close()
    report = build_report(tmp_path)
    assert report["fees_by_asset"] == {
        "quote": "0.00000005", "base": "0.00000700", "other": "0.00000033",
    }  # fmt: skip
    assert report["pnl"]["fees"] == -5e-8
    assert report["reconciled"] is True
    said = page_text(tmp_path)
    assert "fees in other assets 0.00000700 base, 0.00000033 other" in said
    assert "0.00000005 USDT" in said
    listed = rows(tmp_path, "SELECT fee, fee_asset FROM v_fills")
    assert listed[1] == {"fee": "0.00000700", "fee_asset": "base"}


def test_amends_are_counted_and_timed(tmp_path: Path) -> None:
    builder = build(tmp_path)
    builder.frame()
    for verb, delay_ns in ((Verb.PLACE, 9_000), (Verb.MODIFY, 8_000), (Verb.STATUS, 7_000)):
        builder.send(builder.out(1, verb), delay_ns)
    builder.close()
    report = build_report(tmp_path)
    assert (report["orders"], report["amends"], report["cancels"]) == (1, 1, 0)
    assert (report["tick_to_order"]["n"], report["tick_to_order"]["p50_us"]) == (2, 8.0)


def test_pnl_by_hand(run_dir: Path) -> None:
    """Bought 10 at 599,999 (mid 600,000.5), sold 4 at 600,002 (mid 600,011.5), mid 600,011.5.

    Spread 10 * 1.5 - 4 * 9.5 = -23; inventory 10 * 11 - 4 * 0 = 110; times 0.0001 USDT.
    """
    report = build_report(run_dir)
    assert report["pnl_exact"] == {
        "total": "-0.15930001",
        "spread": "-0.00230",
        "fees": "-0.16800001",
        "inventory": "0.01100",
    }
    assert report["pnl"]["total"] == -0.15930001
    assert report["mid"] == "60001.15"
    assert report["reconciled"] is True


@pytest.mark.parametrize("seed", range(20))
def test_total_is_spread_plus_inventory_plus_fees(seed: int) -> None:
    """Each part is computed here from its own definition, and the total from cash."""
    rng = random.Random(seed)
    mid, position, fills = 2 * rng.randint(10, 10**7), 0, []
    for number in range(rng.randint(0, 60)):
        mid = max(mid + rng.randint(-9, 9), 4)
        side, qty = rng.choice(list(Side)), rng.randint(1, 10**6)
        position += qty if side == Side.BUY else -qty
        px, fee = max(mid // 2 + rng.randint(-3, 3), 1), rng.randint(-(10**9), 10**10)
        fills.append(Fill(number, number, side, px, qty, fee, mid, position))
    last = mid + rng.randint(-5, 5)
    unit = Decimal("0.1") * Decimal("0.001")
    pnl = value(sum_fills(fills, Books()), last, unit)
    assert pnl is not None
    half = unit / 2
    signed = [(fill.sign * fill.qty_lots, fill) for fill in fills]
    assert pnl.spread == sum(
        (half * qty * (fill.twice_mid_ticks - 2 * fill.px_ticks) for qty, fill in signed),
        Decimal(0),
    )
    assert pnl.inventory == sum(
        (half * qty * (last - fill.twice_mid_ticks) for qty, fill in signed), Decimal(0)
    )
    assert pnl.fees == -sum((Decimal(fill.fee_e8) / 10**8 for fill in fills), Decimal(0))
    cash = -sum((qty * fill.px_ticks * unit for qty, fill in signed), Decimal(0))
    assert pnl.total == cash + position * last * half + pnl.fees
    assert pnl.total == pnl.spread + pnl.inventory + pnl.fees


def test_pnl_stays_exact_past_28_digits() -> None:
    fills = [Fill(0, 0, Side.BUY, 10**17 + 1, 10**17 + 1, 1, 2 * 10**17 + 3, 10**17 + 1)]
    pnl = value(sum_fills(fills, Books()), 2 * 10**17 + 5, Decimal("0.00000001"))
    assert pnl is not None
    assert pnl.inventory == Decimal("1000000000.00000001")
    assert pnl.total == Decimal("1500000000.000000015") - Decimal("0.00000001")


def test_position_without_any_mid_has_no_pnl(tmp_path: Path) -> None:
    builder = build(tmp_path)
    builder.config()
    builder.bid = builder.ask = 0
    builder.fill(1, Side.BUY, 600_000, 1)
    builder.close()
    assert value(Books(position_lots=1), None, Decimal(1)) is None
    report = build_report(tmp_path)  # marked at the touch of the fill, which was none
    assert report["mid"] is None
    assert report["pnl"] == {"total": None, "spread": None, "fees": None, "inventory": None}
    assert report["pnl_exact"] is None
    assert "—" in page_text(tmp_path)


def test_mark_is_the_last_sample_with_two_sides(tmp_path: Path) -> None:
    builder = build(tmp_path)
    builder.config()
    builder.fill(1, Side.BUY, 600_000, 10)
    builder.bid, builder.ask = 600_100, 600_102
    builder.sample()
    builder.sample(bid_px_ticks=0, bid_qty_lots=0)
    builder.close()
    report = build_report(tmp_path)
    assert report["mid"] == "60010.1"
    assert report["pnl_exact"]["total"] == "0.10100000"
    assert report["reconciled"] is True


def test_adopted_position_counts_from_its_adoption(tmp_path: Path) -> None:
    builder = build(tmp_path)
    builder.config()
    builder.position, builder.cash = -50, 50 * 600_000
    builder.row("ACCOUNT", position_lots=-50)
    builder.bid, builder.ask = 600_009, 600_011
    builder.fill(1, Side.BUY, 600_009, 10)
    builder.sample()
    builder.close()
    report = build_report(tmp_path)
    assert report["opening_position_lots"] == -50
    assert report["position_lots"] == -40
    assert report["pnl_exact"]["total"] == "-0.04900000"  # -50 lots * 10 ticks + 10 lots * 1 tick
    assert report["pnl_exact"]["spread"] == "0.00100"
    assert report["reconciled"] is True


def test_run_that_ended_before_its_book_was_there_has_no_result(tmp_path: Path) -> None:
    builder = build(tmp_path)
    builder.config()
    builder.sample()
    builder.opening(1_000_000)
    builder.cash = 0  # it is valued once the book is synced
    builder.close()
    report = build_report(tmp_path)
    assert report["opening_position_lots"] == report["position_lots"] == 1_000_000
    assert report["reconciled"] is None  # no sample knows of the opening
    assert report["pnl_exact"] is None


def test_position_that_was_never_valued_is_no_profit(tmp_path: Path) -> None:
    builder = build(tmp_path)
    builder.config()
    builder.opening(1_000_000)
    builder.cash = 0  # a touch is there, but the book never got synced
    builder.sample()
    builder.close()
    report = build_report(tmp_path)
    assert report["reconciled"] is True
    assert report["pnl_exact"] is None


def test_fees_in_the_base_asset_are_told_by_its_name() -> None:
    paid = {"quote": "USDT", "base": "BTC", "fees_by_asset": {"quote": "1.0", "base": "0.004"}}
    assert other_fees(paid) == "0.004 BTC"


@pytest.mark.parametrize(
    "wrong", [{"cash_ticks_lots": 1}, {"position_lots": 7}, {"fees_e8": 1}, {"fills": 9}]
)
def test_core_that_disagrees_is_shown_with_both_numbers(
    tmp_path: Path, wrong: dict[str, int]
) -> None:
    builder = build(tmp_path)
    write_run(builder)
    builder.sample(**wrong)
    builder.close()
    report = build_report(tmp_path)
    assert report["reconciled"] is False
    (key,) = wrong
    both = report["reconciliation"]
    assert both["core"][key] == wrong[key]
    assert both["ledger"][key] != wrong[key]
    assert {"pnl_total"} <= set(both["core"]) & set(both["ledger"])
    text = page_text(tmp_path)
    assert "Ledger and core disagree" in text
    assert f"{key} {both['ledger'][key]} in the ledger, {wrong[key]} in the core" in text


def test_fills_after_the_last_sample_count_and_do_not_disturb(tmp_path: Path) -> None:
    builder = build(tmp_path)
    write_run(builder)
    builder.fill(9, Side.SELL, 600_013, 6)
    builder.close()
    report = build_report(tmp_path)
    assert (report["fills"], report["position_lots"]) == (3, 0)
    assert report["reconciled"] is True


# -- latency ---


def test_tick_to_order_counts_what_received_bytes_caused_and_was_sent(tmp_path: Path) -> None:
    builder = build(tmp_path)
    builder.config()
    for conn, verb, outcome, us_taken in (
        (Conn.MARKET, Verb.PLACE, SendOutcome.SENT, 7),
        (Conn.MARKET, Verb.CANCEL, SendOutcome.SENT, 9),
        (Conn.MARKET, Verb.STATUS, SendOutcome.SENT, 1000),
        (Conn.USER, Verb.PLACE, SendOutcome.SENT, 2000),
        (Conn.MARKET, Verb.PLACE, SendOutcome.LATE, 3000),
        (Conn.MARKET, Verb.PLACE, SendOutcome.FAILED, 4000),
        (Conn.MARKET, Verb.PLACE, SendOutcome.PARTIAL, 5000),
    ):
        builder.frame(conn)
        builder.send(builder.out(1, verb), us_taken * 1000, outcome)
    builder.timer()
    builder.send(builder.out(2), 6_000_000)
    builder.close()
    report = build_report(tmp_path)
    assert report["tick_to_order"] == {
        "p50_us": 9.0,
        "p99_us": 2000.0,
        "p999_us": 2000.0,
        "max_us": 2000.0,
        "n": 3,
    }
    assert (report["orders"], report["late"], report["unsent"]) == (3, 1, 2)


@pytest.mark.parametrize(
    ("count", "part", "rank"),
    [(1, 500, 1), (2, 500, 1), (3, 500, 2), (100, 990, 99), (101, 990, 100), (1000, 999, 999),
     (999, 999, 999), (2001, 999, 1999)],
)  # fmt: skip
def test_nearest_rank_is_exact(count: int, part: int, rank: int) -> None:
    assert nearest_rank(list(range(1, count + 1)), part, 1000) == rank


def test_latency_of_nothing_is_null() -> None:
    assert latency_summary([]) == {
        "p50_us": None, "p99_us": None, "p999_us": None, "max_us": None, "n": 0,
    }  # fmt: skip
