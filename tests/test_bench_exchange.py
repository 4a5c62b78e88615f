"""The benches of the agents' market: they do the work that they are said to time."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from reference.limit_book import LimitRig as SlowRig

from bench import agent_facts, agents_day, matching
from bench.agent_facts import Seen
from bench.grid import Axis
from engine.errors import TickmakerError
from engine.gateway import hotsocket
from fastcore.latency import Histogram
from fastcore.limit_book import LimitBook
from fastcore.limit_rig import LimitRig
from fastcore.order_stream import OrderStream

ROWS = np.array(
    [(0, 1, 1, 101, 5), (0, 2, 1, 102, 5), (0, 3, 0, 99, 7), (1, 4, 0, 0, 6), (3, 3, 0, 0, 2),
     (2, 2, 0, 0, 0), (1, 5, 1, 99, 9)],
    np.int64,
)  # fmt: skip


def test_stream_does_what_its_rows_say() -> None:
    """Place, place, place, take 5 + 1, shrink to 5, cancel, take the rest."""
    stream, book = OrderStream(ROWS), LimitBook()
    touches = [0 + 101, 0 + 101, 99 + 101, 99 + 102, 99 + 102, 99 + 0, 0]
    fills = [0, 0, 0, 2, 0, 0, 1]
    assert stream.run(book, 0, stream.count) == sum(touches) + sum(fills)
    assert (book.order_count, book.change_count) == (0, 0)


def test_timed_run_sees_the_same_and_counts_each_event() -> None:
    stream, event_ns = OrderStream(ROWS), Histogram()
    with pytest.raises(ValueError, match="set_ticks"):
        stream.run_timed(LimitBook(), 0, 7, event_ns)
    stream.set_ticks(hotsocket.tick_capsule(), 1.0)
    assert stream.run_timed(LimitBook(), 0, 7, event_ns) == stream.run(LimitBook(), 0, 7)
    assert event_ns.count == 7


@pytest.mark.parametrize(
    "row", [(4, 1, 0, 1, 1), (0, 0, 0, 1, 1), (0, 1, 2, 1, 1), (0, 1, 0, -1, 1), (0, 1, 0, 1, 0)]
)
def test_stream_refuses_rows_that_mean_nothing(row: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="asks for nothing"):
        OrderStream(np.array([row], np.int64))
    with pytest.raises(ValueError, match="orders"):
        OrderStream(ROWS).run(LimitBook(), 0, 8)


def test_made_orders_keep_a_full_book_and_give_the_twins() -> None:
    rows, counts = matching.make(600)
    assert sum(counts.values()) == 600
    assert min(counts.values()) > 5
    stream, book, twin = OrderStream(rows), LimitBook(), SlowRig()
    stream.run(book, 0, stream.count)
    for row in rows[: matching.OPENING_ORDERS].tolist():
        matching._apply(twin, row)  # type: ignore[arg-type]
    opened = LimitBook()
    stream.run(opened, 0, matching.OPENING_ORDERS)
    assert LimitRig(opened).levels(0, 999) == twin.levels(0, 999)
    assert abs(book.order_count - matching.OPENING_ORDERS) < 300
    LimitRig(book).check()


def test_matching_result_has_its_figures(tmp_path: Path) -> None:
    result = matching.run(2_000, rounds=1, out=tmp_path / "matching.json")
    assert json.loads((tmp_path / "matching.json").read_text()) == result
    assert result["event_ns"]["n"] == 2_000
    assert result["events_per_s"] > 0
    with pytest.raises(TickmakerError, match="rounds"):
        matching.run(10, rounds=0)


def test_day_counts_its_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents_day, "HOUR_S", 20)
    day = agents_day.Day(seed=2)
    first, second = day.hour(), day.hour()
    assert (first["hour"], second["hour"], day.second) == (1, 2, 40)
    assert min(day.counts.values()) > 50
    assert day.users_lots > 0
    assert second["resident_kib"] > 1_000
    with pytest.raises(TickmakerError, match="hours"):
        agents_day.run(hours=1)


# -- FACTS ---


def made(signs: list[int]) -> Seen:
    """A touch a second with a spread of 1 for three seconds of four, else 4; a trade a second."""
    touches = [(float(t), 100.0 + t % 2, 101.0 + t % 2 + 3 * (t % 4 == 3)) for t in range(81)]
    trades = [(float(t), float(sign)) for t, sign in enumerate(signs)]
    return Seen(np.array(touches), np.array(trades), np.ones(len(agent_facts.REACHES_BPS)))


def test_facts_of_a_made_session() -> None:
    seen = made([1, 1, -1, -1] * 20)
    assert dict(agent_facts.spread_shares(seen))[1] == pytest.approx(0.75)
    assert agent_facts.correlation(seen.trades[:, 1], 2) == pytest.approx(-1.0)
    assert agent_facts.correlation(seen.trades[:, 1], 4) == pytest.approx(1.0)
    assert agent_facts.facts(seen)["trades_per_s"] == 1.0
    assert seen.mids(1.0)[:4].tolist() == [100.5, 101.5, 100.5, 103.0]


def test_trades_of_one_side_and_millisecond_are_one_takers() -> None:
    seen = made([])
    seen.trades = np.array([(1.0001, 1.0), (1.0004, 1.0), (1.0005, -1.0), (1.002, 1.0)])
    assert seen.takers().tolist() == [[1.0001, 1.0], [1.0005, -1.0], [1.002, 1.0]]


def test_axes_place_values_by_share() -> None:
    assert Axis(0, 10).share_of(5) == 0.5
    assert Axis(1, 100, is_log=True).share_of(10) == pytest.approx(0.5)
    assert Axis(1, 100, is_log=True).marks() == [1, 10, 100]
    assert Axis(0, 10).share_of(12) == 1.0


def test_picture_draws_every_panel() -> None:
    seen = made([1, 1, -1, -1] * 20)
    seen.touches = np.concatenate([seen.touches, seen.touches + np.array([81.0, 3.0, 3.0])])
    rng = np.random.default_rng(1)
    seen.trades = np.stack([np.sort(rng.uniform(0, 160, 400)), rng.choice([-1.0, 1.0], 400)], 1)
    drawn = agent_facts.picture(seen, seen)
    assert len(re.findall("<polyline", drawn)) == 8 * 2 + 2
    assert "nan" not in drawn
