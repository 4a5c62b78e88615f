"""One ledger of several cores: each journal exactly once, whatever dies and whenever."""

import hashlib
import json
import mmap
import random
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.errors import TickmakerError
from engine.recorder import ledger as ledgers
from engine.recorder.events_log import EventsLog
from engine.recorder.events_tail import EventsTail
from engine.recorder.follow import catch_up, follow
from engine.recorder.ledger import Ledger
from engine.recorder.segments import journal_dirs, segment_path
from engine.recorder.tail import JournalTail
from fastcore.journal import JournalOrder
from fastcore.types import Conn, FillOwner, FillVia, Halt, OrderState, SendOutcome, Side
from tests.support_journal import JournalBuilder, dump, rows, write_run
from tests.support_sources import ROOT

SMALL = 4 * mmap.PAGESIZE
KEYS = ("hedge.bybit_linear.ETHUSDT", "main.binance_usdm.BTCUSDT", "main.binance_usdm.SOLUSDT")


def builders(run_dir: Path, size_bytes: int = SMALL) -> list[JournalBuilder]:
    """Three cores of one run; their configurations are the first records."""
    order = JournalOrder()
    made = [
        JournalBuilder(run_dir, size_bytes, key=key, number=number, order=order)
        for number, key in enumerate(KEYS)
    ]
    for builder in made:
        builder.config(symbol=builder.directory.name.split(".")[2])
    return made


def trade(builder: JournalBuilder, n: int) -> None:
    """Some order's life; intents as the core numbers them."""
    intent = (builder.number << 36) + n + 1
    builder.frame(Conn(n % 3), b"x" * (n * 13 % 509))
    out_seq = builder.out(intent)
    builder.order(intent, Side.BUY, OrderState.PENDING_NEW, 600_000 + n)
    builder.send(out_seq, 1000 + n)
    if n % 3 == 0:
        builder.frame(Conn.USER)
        builder.fill(intent, Side(n % 2), 600_000 + n, 5, fee_e8=n)


def many(run_dir: Path, count: int = 300, seed: int = 1) -> int:
    made = builders(run_dir)
    log = EventsLog(run_dir)
    rng = random.Random(seed)
    for n in range(count):
        trade(rng.choice(made), n)
        if n % 10 == 0:
            log.say("step", n, account="main", text=f"number {n}", name="x")
    records = made[0].writer.next_seq
    for builder in made:
        builder.close()
    log.close()
    return records + -(-count // 10)


def test_intents_records_and_positions_of_all_cores_stand_in_one_ledger(tmp_path: Path) -> None:
    made = builders(tmp_path)
    for n in range(9):
        trade(made[n % 3], n)
    made[1].fill(-1, Side.SELL, 599_000, 7, owner=FillOwner.STRANGER, via=FillVia.REST)
    for builder in made:
        builder.close()
    catch_up(tmp_path)
    listed = rows(tmp_path, "SELECT core, key, account, symbol FROM instruments ORDER BY core")
    assert [tuple(row.values()) for row in listed] == [
        (number, key, key.split(".")[0], key.split(".")[2]) for number, key in enumerate(KEYS)
    ]
    counts = rows(tmp_path, "SELECT count(*) AS n FROM orders GROUP BY core")
    assert [row["n"] for row in counts] == [3, 3, 3]
    found = rows(tmp_path, "SELECT owner, via, symbol FROM v_fills WHERE owner <> 'run'")
    assert found == [{"owner": "stranger", "via": "rest", "symbol": "BTCUSDT"}]
    for builder in made:
        (row,) = rows(
            tmp_path,
            "SELECT position_lots FROM positions "
            f"WHERE core = {builder.number} ORDER BY seq DESC LIMIT 1",
        ) or [{"position_lots": 0}]
        assert row["position_lots"] == builder.position
    causes = {row["cause"] for row in rows(tmp_path, "SELECT cause FROM positions")}
    assert causes == {"fill", "fill of a stranger's order, found by REST"}


@pytest.mark.parametrize("seed", range(4))
def test_pieces_and_new_recorders_give_the_same_ledger(tmp_path: Path, seed: int) -> None:
    count = many(tmp_path, 200, seed)
    assert catch_up(tmp_path) == count
    whole = dump(tmp_path)
    (tmp_path / "ledger.sqlite").unlink()
    rng = random.Random(seed)
    done = 0
    while done < count:
        ledger = Ledger(tmp_path / "ledger.sqlite")
        dirs = journal_dirs(tmp_path)
        chosen = rng.sample(sorted(dirs), rng.randint(1, 3))
        tails = {key: JournalTail(dirs[key], ledger.position(key)) for key in chosen}
        events = EventsTail(tmp_path, *ledger.events_position)
        for _ in range(rng.randint(1, 5)):
            done += ledger.apply(tails, events, rng.randint(1, 60))
        for tail in tails.values():
            tail.close()
        ledger.close()
    assert dump(tmp_path) == whole


def test_recorder_killed_at_random_points_loses_and_doubles_nothing(tmp_path: Path) -> None:
    count = many(tmp_path, 6000)
    rng = random.Random(5)
    kills = 0
    for _ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-m", "engine.recorder", str(tmp_path)],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stderr is not None
        child.stderr.readline()
        try:
            child.wait(rng.uniform(0.0, 0.15))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            kills += 1
        child.communicate()
    assert kills
    catch_up(tmp_path)
    killed = dump(tmp_path)
    for path in tmp_path.glob("ledger.sqlite*"):
        path.unlink()
    assert catch_up(tmp_path) == count
    assert dump(tmp_path) == killed


def test_engine_killed_mid_record_in_every_journal(tmp_path: Path) -> None:
    """What is whole is projected; a torn record is no damage."""
    made = builders(tmp_path)
    for n in range(60):
        trade(made[n % 3], n)
    expected = made[0].writer.next_seq
    for builder in made:
        path = sorted(builder.directory.glob("*.jnl"))[builder.writer_index]
        used = builder.writer.used
        with path.open("r+b") as file:  # payload and header are there, the first word is not
            file.seek(used + 8)
            file.write(b"\x07" * 200)
        builder.close()
    log = EventsLog(tmp_path)
    log.say("step", 1, text="whole")
    log.close()
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'{"ts_ns": 2, "kind": "st')
    assert catch_up(tmp_path) == expected + 1
    assert [row["text"] for row in rows(tmp_path, "SELECT text FROM engine_events")] == ["whole"]


def test_journal_that_comes_up_later_is_followed(tmp_path: Path) -> None:
    order = JournalOrder()
    first = JournalBuilder(tmp_path, SMALL, key=KEYS[0], number=0, order=order)
    first.config()
    later: list[JournalBuilder] = []

    def wait(_: float) -> bool:
        if later:
            later[0].close()
            return False
        second = JournalBuilder(tmp_path, SMALL, key=KEYS[1], number=1, order=order)
        second.config()
        trade(second, 0)
        first.close()
        later.append(second)
        return True

    count = follow(tmp_path, wait, lambda: False)
    assert count == later[0].out_seq + 7
    assert {row["core"] for row in rows(tmp_path, "SELECT core FROM instruments")} == {0, 1}


def test_damage_in_one_journal_leaves_the_others_whole(tmp_path: Path) -> None:
    made = builders(tmp_path, 64 * SMALL)
    for n in range(60):
        trade(made[n % 3], n)
    offset = made[1].writer.used - 60
    for builder in made:
        builder.close()
    path = segment_path(made[1].directory, 0)
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    told: list[str] = []
    with pytest.raises(TickmakerError, match="damaged") as caught:
        follow(tmp_path, lambda _: False, lambda: True, lambda error: told.append(error.what))
    assert told == [caught.value.what]
    assert str(path) in caught.value.what
    counts = rows(tmp_path, "SELECT core, count(*) AS n FROM orders GROUP BY core")
    assert [row["n"] for row in counts][0::2] == [20, 20]
    with pytest.raises(TickmakerError, match="damaged"):
        catch_up(tmp_path)


def test_journal_of_an_instrument_that_is_gone_is_noticed(tmp_path: Path) -> None:
    made = builders(tmp_path)
    for n in range(9):
        trade(made[n % 3], n)
    for builder in made:
        builder.close()
    for path in made[0].directory.iterdir():
        path.unlink()
    made[0].directory.rmdir()
    with pytest.raises(TickmakerError, match="is missing"):
        catch_up(tmp_path)


def test_two_journals_of_one_core_number_are_refused(tmp_path: Path) -> None:
    order = JournalOrder()
    for key in KEYS[:2]:
        builder = JournalBuilder(tmp_path, SMALL, key=key, number=3, order=order)
        builder.config()
        builder.close()
    with pytest.raises(TickmakerError, match=f"core 3 is {KEYS[0]} already"):
        catch_up(tmp_path)


def test_lines_that_are_no_events_are_kept_as_they_are(tmp_path: Path) -> None:
    log = EventsLog(tmp_path)
    log.balances(5, "main", {"USDT": 12_345_678_901, "BTC": -1})
    log.say("divergence", 6, account="main", core=0, text="3 lots more", lots=3)
    log.close()
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"kind": 1}\nnot json\n[]\n{"ts_ns": 1e9, "kind": "x"}\n')
        file.write(json.dumps({"ts_ns": 1 << 70, "kind": "x"}) + "\n\n")
        huge = {"ts_ns": 1, "kind": "balances", "account": "a", "assets": {"X": 1 << 70}}
        file.write(json.dumps(huge) + "\n")
        odd = {"ts_ns": 1, "kind": "x\ud800", "text": "\udfff", "account": "\ud800", "p": 0.0}
        file.write(json.dumps(odd | {"p": float("nan")}) + "\n")
    assert catch_up(tmp_path) == 10
    assert catch_up(tmp_path) == 0
    kinds = [row["kind"] for row in rows(tmp_path, "SELECT kind FROM engine_events ORDER BY seq")]
    assert kinds == ["balances", "divergence", *["unreadable"] * 7, "x?"]
    assert [row["instrument"] for row in rows(tmp_path, "SELECT instrument FROM v_events")] == [
        None
    ] * 10
    assert rows(tmp_path, "SELECT asset, total FROM v_balances") == [
        {"asset": "BTC", "total": "-0.00000001"}, {"asset": "USDT", "total": "123.45678901"},
    ]  # fmt: skip
    (row,) = rows(tmp_path, "SELECT account, text FROM v_divergences")
    assert row == {"account": "main", "text": "3 lots more"}


@pytest.mark.parametrize(
    ("text", "hashes"),
    [
        ('{"config_sha256": "ab", "limits_sha256": "cd"}', ("ab", "cd")),
        ("not json", (hashlib.sha256(b"not json").hexdigest(), None)),
        ("[]", (hashlib.sha256(b"[]").hexdigest(), None)),
    ],
)
def test_what_the_run_was_told_is_kept_with_its_hashes(
    tmp_path: Path, text: str, hashes: tuple[str, str | None]
) -> None:
    (tmp_path / "config.json").write_text(text)
    catch_up(tmp_path)
    meta = {row["key"]: row["value"] for row in rows(tmp_path, "SELECT * FROM meta")}
    assert meta["config"] == text
    assert (meta["config_sha256"], meta.get("limits_sha256")) == hashes


def test_line_that_can_not_be_written_is_counted(tmp_path: Path) -> None:
    log = EventsLog(tmp_path / "absent")
    assert not log.say("step", 1)
    assert log.lost == 1
    log.close()


def test_long_line_is_cut_and_still_an_event(tmp_path: Path) -> None:
    log = EventsLog(tmp_path)
    assert log.say("warning", 1, text="y" * 200_000)
    assert log.say("step", 2)
    log.close()
    catch_up(tmp_path)
    assert [row["kind"] for row in rows(tmp_path, "SELECT kind FROM v_events")] == [
        "warning", "step",
    ]  # fmt: skip


def test_halts_say_when_why_and_how_long(tmp_path: Path) -> None:
    builder = JournalBuilder(tmp_path)
    write_run(builder)
    builder.close()
    catch_up(tmp_path)
    halts = rows(tmp_path, "SELECT reasons, until_ns - ts_ns AS ns FROM v_halts")
    assert [row["reasons"] for row in halts] == ["BOOK+RECONCILING", "BOOK", "SHUTDOWN"]
    assert [row["ns"] for row in halts] == [1000, 100_001_000, 100_000_000]
    reasons = rows(tmp_path, "SELECT reason, times, seconds FROM v_halt_reasons")
    assert {row["reason"]: row["times"] for row in reasons} == {
        "BOOK": 2, "RECONCILING": 1, "SHUTDOWN": 1,
    }  # fmt: skip
    seconds = {row["reason"]: row["seconds"] for row in reasons}
    assert seconds["SHUTDOWN"] == pytest.approx(0.1)
    assert seconds["BOOK"] == pytest.approx(0.100002)


def test_start_up_and_shutdown_are_no_halts_of_a_run(tmp_path: Path) -> None:
    builder = JournalBuilder(tmp_path)
    builder.config()
    builder.timer(1)
    builder.now_ns += 1_000_000_000
    builder.state(Halt.BOOK, Halt.NONE)
    builder.now_ns += 1_000_000_000
    builder.state(Halt.NONE, Halt.RECONCILING)
    builder.now_ns += 2_000_000_000
    builder.state(Halt.RECONCILING, Halt.NONE)
    builder.now_ns += 1_000_000_000
    builder.state(Halt.NONE, Halt.SHUTDOWN)
    builder.state(Halt.SHUTDOWN, Halt.SHUTDOWN | Halt.BOOK | Halt.RECONCILING)
    builder.timer(1)
    builder.close()
    catch_up(tmp_path)
    of_the_run = rows(tmp_path, "SELECT reason, times, seconds FROM v_halt_reasons_running")
    assert of_the_run == [{"reason": "RECONCILING", "times": 1, "seconds": 2.0}]
    every = rows(tmp_path, "SELECT reason, times FROM v_halt_reasons")
    assert {row["reason"]: row["times"] for row in every} == {
        "BOOK": 2, "RECONCILING": 2, "SHUTDOWN": 1,
    }  # fmt: skip


def test_what_a_core_starts_with_counts_as_a_halt(tmp_path: Path) -> None:
    builder = JournalBuilder(tmp_path)
    builder.config()
    builder.timer(1)
    builder.now_ns += 2_000_000_000
    builder.state(Halt.RECONCILING | Halt.BOOK, Halt.NONE)
    builder.close()
    catch_up(tmp_path)
    assert rows(tmp_path, "SELECT reasons, seconds FROM v_halts") == [
        {"reasons": "BOOK+RECONCILING", "seconds": 2.0}
    ]


def test_params_conditions_queries_and_doubts_are_kept(tmp_path: Path) -> None:
    builder = JournalBuilder(tmp_path)
    builder.config(params={"qty_lots": 3.0})
    builder.opening(-25)
    builder.record("PARAMS", struct.pack("<3d", 2.0, 10.0, 0.5))
    builder.row("CONDITION", 1, bit=Halt.DEAD_MAN)
    builder.frame(Conn.TRADE)
    builder.order(1, Side.BUY, OrderState.PENDING_NEW, 100)
    builder.order(1, Side.BUY, OrderState.UNKNOWN, 100)
    builder.order(1, Side.BUY, OrderState.UNKNOWN, 100)
    builder.now_ns += 2_000_000_000
    builder.row("QUERY", intent_id=1, is_absent=1, order_status=OrderState.REJECTED)
    builder.order(1, Side.BUY, OrderState.REJECTED, 100)
    builder.order(2, Side.BUY, OrderState.UNKNOWN, 100)
    builder.send(builder.out(2), 10, SendOutcome.FAILED)
    builder.close()
    catch_up(tmp_path)
    first, params = rows(tmp_path, "SELECT params, why, symbol FROM v_params")
    assert json.loads(first["params"]) == {"qty_lots": 3.0}
    assert (first["why"], params["why"]) == ("start", "change")
    assert json.loads(params["params"]) == {
        "half_spread_ticks": 2.0, "qty_lots": 10.0, "inventory_skew_ticks": 0.5,
    }  # fmt: skip
    assert rows(tmp_path, "SELECT name, is_on FROM conditions") == [
        {"name": "DEAD_MAN", "is_on": 1}
    ]
    settled, still_open = rows(tmp_path, "SELECT * FROM v_unknown")
    assert settled["client_id"] == "tm0123abcd-07-000000000001"
    assert (settled["settled"], settled["settled_by"]) == (
        "rejected", "a REST query of the order",
    )  # fmt: skip
    assert settled["seconds"] == 2.0
    assert (still_open["intent_id"], still_open["settled_by"]) == (2, None)
    (opening,) = rows(tmp_path, "SELECT position, cause FROM v_positions")
    assert opening == {"position": "-0.025", "cause": "opening"}
    assert [row["intent_id"] for row in rows(tmp_path, "SELECT intent_id FROM v_open")] == [2]


def test_a_transaction_is_bounded_and_no_journal_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "BATCH_MAX", 50)
    count = many(tmp_path, 200)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    dirs = journal_dirs(tmp_path)
    tails = {key: JournalTail(path) for key, path in dirs.items()}
    sizes = [ledger.apply(tails) for _ in range(3)]
    assert sizes == [50] * 3
    assert set(ledger.record_counts.values()) == {50}  # each had its turn
    for tail in tails.values():
        tail.close()
    ledger.close()
    assert catch_up(tmp_path) == count - 150


WRITER = """
import sys
from pathlib import Path
from tests.test_recorder_cores import builders, trade
made = builders(Path(sys.argv[1]))
print("ready", flush=True)
for n in range(100_000):
    trade(made[n % 3], n)
"""


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.2])
def test_engine_killed_under_load_leaves_whole_records(tmp_path: Path, seconds: float) -> None:
    """SIGKILL anywhere, with a recorder at work: the ledger is a straight projection of it all."""
    engine = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], text=True,
                              stdout=subprocess.PIPE, cwd=ROOT)  # fmt: skip
    assert engine.stdout is not None
    assert engine.stdout.readline() == "ready\n"
    timer = threading.Timer(seconds, engine.kill)
    timer.start()
    try:
        followed = follow(tmp_path, lambda pause_s: engine.poll() is None, lambda: False)
    finally:
        engine.kill()
        engine.wait()
    engine.stdout.close()
    first = dump(tmp_path)
    assert catch_up(tmp_path) == 0
    (tmp_path / "ledger.sqlite").unlink()
    assert catch_up(tmp_path) == followed >= 3
    assert dump(tmp_path) == first
    for row in rows(tmp_path, "SELECT * FROM journals"):
        fills = rows(tmp_path, "SELECT total(CASE side WHEN 0 THEN qty_lots ELSE -qty_lots END) "
                               f"AS lots FROM fills WHERE core = {row['core']}")  # fmt: skip
        assert row["position_lots"] == fills[0]["lots"]
