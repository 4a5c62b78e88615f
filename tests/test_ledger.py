"""What stands in the ledger: exact text, words, causes and outcomes."""

from pathlib import Path

import pytest

from engine.recorder.follow import catch_up
from fastcore.types import Conn, OrderState, SendOutcome, Side
from tests.support_journal import MESSAGE, JournalBuilder, rows, write_run

SMALL = 64 * 1024


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run folder whose journal is whole and closed."""
    builder = JournalBuilder(tmp_path, SMALL)
    write_run(builder)
    builder.close()
    return tmp_path


def test_orders_view_shows_decimals_utc_and_words(run_dir: Path) -> None:
    assert catch_up(run_dir) == 35
    first, second = rows(run_dir, "SELECT * FROM v_orders")
    assert first == {
        "first_utc": "2023-11-14T22:13:21.000002000Z",
        "last_utc": "2023-11-14T22:13:21.100004000Z",
        "intent_id": 1,
        "venue_order_id": 7001,
        "client_id": "tm0123abcd-07-000000000001",
        "account": "main",
        "venue": "binance_usdm",
        "symbol": "BTCUSDT",
        "side": "buy",
        "px": "59999.9",
        "qty": "0.010",
        "cum_qty": "0.010",
        "state": "filled",
        "reason": 0,
    }
    assert (second["side"], second["state"], second["cum_qty"]) == ("sell", "canceled", "0.004")
    states = rows(run_dir, "SELECT state FROM order_events WHERE intent_id = 1 ORDER BY seq")
    assert [row["state"] for row in states] == [
        OrderState.PENDING_NEW,
        OrderState.NEW,
        OrderState.FILLED,
    ]


def test_fills_view_is_exact(run_dir: Path) -> None:
    catch_up(run_dir)
    buy, sell = rows(run_dir, "SELECT * FROM v_fills")
    assert (buy["px"], buy["qty"], buy["notional"]) == ("59999.9", "0.010", "599.9990")
    assert (buy["fee"], buy["mid"], buy["liquidity"]) == ("0.12000000", "60000.05", "maker")
    assert (sell["notional"], sell["fee"], sell["mid"]) == ("240.0008", "0.04800001", "60001.15")
    assert sell["position_after"] == "0.006"


def test_views_keep_signs_and_large_numbers(tmp_path: Path) -> None:
    builder = JournalBuilder(tmp_path)
    builder.config(tick="0.25", lot="10")
    builder.bid, builder.ask = 4_000_000_001, 4_000_000_002
    builder.fill(1, Side.SELL, 4_000_000_003, 7, fee_e8=-5)
    builder.close()
    catch_up(tmp_path)
    (fill,) = rows(tmp_path, "SELECT * FROM v_fills")
    assert (fill["px"], fill["qty"], fill["position_after"]) == ("1000000000.75", "70", "-70")
    assert (fill["fee"], fill["mid"]) == ("-0.00000005", "1000000000.375")
    assert fill["notional"] == "70000000052.50"


def test_sends_hold_cause_outcome_and_latency(run_dir: Path) -> None:
    catch_up(run_dir)
    sends = rows(run_dir, "SELECT * FROM sends ORDER BY out_seq")
    assert [row["outcome"] for row in sends] == [
        SendOutcome.SENT,
        SendOutcome.SENT,
        SendOutcome.LATE,
        SendOutcome.SENT,
    ]
    assert [row["tick_to_order_ns"] for row in sends] == [9_000, 11_000, None, 10_000]
    assert {(row["cause_kind"], row["cause_arg"]) for row in sends} == {(2, Conn.MARKET)}
    assert sends[0]["signature_hash"] == "fedcba9876543210"
    assert sends[0]["message"] == MESSAGE.decode()


def test_send_caused_by_a_timer_has_no_latency(tmp_path: Path) -> None:
    builder = JournalBuilder(tmp_path)
    builder.config()
    builder.timer()
    builder.send(builder.out(1), 5_000)
    builder.out(2)  # killed before its send came back
    builder.close()
    catch_up(tmp_path)
    timed, unknown = rows(tmp_path, "SELECT * FROM sends ORDER BY out_seq")
    assert (timed["outcome"], timed["tick_to_order_ns"]) == (SendOutcome.SENT, None)
    assert (unknown["outcome"], unknown["end_ns"]) == (None, None)


def test_halts_denies_samples_and_session_are_kept(run_dir: Path) -> None:
    catch_up(run_dir)
    reasons = [row["reasons"] for row in rows(run_dir, "SELECT * FROM v_states")]
    assert reasons == ["BOOK+RECONCILING", "RUNNING", "BOOK", "SHUTDOWN"]
    (deny,) = rows(run_dir, "SELECT name, code, px_ticks FROM denies")
    assert deny == {"name": "POSITION", "code": 6, "px_ticks": 600_000}
    assert [row["position_lots"] for row in rows(run_dir, "SELECT * FROM samples")] == [
        0,
        10,
        6,
        6,
    ]
    assert [row["new_state"] for row in rows(run_dir, "SELECT * FROM book_events")] == [3]
    session = rows(run_dir, "SELECT kind, arg, value FROM session_events")
    assert [(row["kind"], row["arg"]) for row in session] == [
        ("CLOCK", 0),
        ("COMMAND", 1),
        ("COMMAND", 4),
    ]
    (journal,) = rows(run_dir, "SELECT * FROM journals")
    frames = ("frames_market", "frames_trade", "frames_user")
    assert [journal[name] for name in frames] == [2, 1, 2]
    assert (journal["core"], journal["records"], journal["next_seq"]) == (0, 35, 35)
