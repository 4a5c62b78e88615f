"""A user's strategy inside the core: live, replayed, verified; and what its failures cost."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support_core import API_KEY, SECRET, Desk, core_config
from support_data import recorded
from support_user import user_config, user_strategy

from engine import strategies
from engine.errors import EXIT_USAGE, TickmakerError
from engine.replay.run import replay_tape
from engine.replay.verify import verify_run
from engine.tape.importer import import_files
from fastcore.core import Core
from fastcore.core_stats import halt_names
from fastcore.journal import KIND, JournalWriter, read_segment
from fastcore.types import Command, Conn
from fastcore.user import UserStrategy, load, why
from tests.tape_captures import capture, write

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = f"{ROOT}/docs/my_quotes.py:my_quotes"
NONSENSE_MAX = 10


@pytest.fixture(scope="module")
def my_quotes() -> UserStrategy:
    return load(EXAMPLE)


def desk(user: UserStrategy, **overrides: Any) -> Desk:
    return Desk(user=user, **user_config(user, **overrides.pop("params", {})), **overrides)


def moved(desk: Desk, steps: int, first: int = 0) -> None:
    for step in range(first, first + steps):
        desk.timer()
        desk.best(f"60000.{step % 8}0", "1.000", f"60001.{step % 8}0", "1.500")


# -- IT TRADES ---


def test_user_strategy_quotes_what_the_built_in_quotes(my_quotes: UserStrategy) -> None:
    sent: list[list[Any]] = []
    for one in (desk(my_quotes, params=core_config()["params"]), Desk()):
        one.start()
        sent.append([])
        for step in range(30):
            moved(one, 1, step)
            for order in one.take_sent():
                sent[-1].append([order.get(key) for key in ("side", "price", "quantity")])
                one.ack(order)
                if "quantity" not in order:
                    one.update(order, "CANCELED", "CANCELED")
    assert len(sent[0]) > 20
    assert sent[0] == sent[1]


def messages_of(run_dir: str) -> list[bytes]:
    segments = sorted(Path(run_dir, "journal").glob("*/*.jnl"))
    return [
        bytes(record[6])
        for segment in segments
        for record in read_segment(segment.read_bytes())
        if record[1] == KIND["OUT"]
    ]


def test_user_strategy_and_built_in_send_the_same_bytes_over_recorded_data(
    tmp_path: Path,
) -> None:
    tape = recorded("binance_usdm/btcusdt_20220811_7s.gz")
    own, built_in = (
        messages_of(replay_tape(tape, strategy=name, runs_dir=tmp_path)["run_dir"])
        for name in (EXAMPLE, "spread")
    )
    assert len(own) > 20
    assert own == built_in


def test_no_python_object_is_made_per_event(my_quotes: UserStrategy) -> None:
    quoting = desk(my_quotes)
    quoting.start()
    moved(quoting, 5)
    frame = b'{"e":"bookTicker","u":%d,"s":"BTCUSDT","b":"60000.%d0","B":"1.000",' \
        b'"a":"60001.%d0","A":"1.500","T":1,"E":1}'  # fmt: skip
    batch = [frame % (10_000 + i, i % 8, i % 8) for i in range(2_000)]
    for payload in batch[:1000]:
        quoting.core.frame(Conn.MARKET, payload, quoting.now_ns, quoting.now_ns)
    before = sys.getallocatedblocks()
    for payload in batch[1000:]:
        quoting.core.frame(Conn.MARKET, payload, quoting.now_ns, quoting.now_ns)
    assert abs(sys.getallocatedblocks() - before) < 20


# -- IT FAILS ---


FAILURES = {
    "it raises": "quote_bid(target, 5 // view.ref_position_lots, 1)\nreturn QUOTE",
    "it crosses itself": "quote_bid(target, 600000, 1)\nquote_ask(target, 600000, 1)\nreturn 1",
    "it writes the guard": "quote_bid(target, 600000, 1)\ntarget.guard = 5\nreturn 1",
    "its price is no number": "quote_bid(target, math.nan, 1)\nreturn QUOTE",
}


@pytest.mark.parametrize("body", FAILURES.values(), ids=FAILURES)
def test_failures_quote_nothing_are_counted_and_halt(body: str) -> None:
    failing = desk(user_strategy(body))
    assert failing.core.failure() is None
    failing.start()
    assert failing.numbers["nonsense"] == 1
    while failing.numbers["nonsense"] < NONSENSE_MAX - 1:
        was = failing.numbers["nonsense"]
        moved(failing, 1)
        assert failing.numbers["nonsense"] in (was + 1, was + 2)  # timer, then touch
    assert "STRATEGY" not in halt_names(failing.core.halt_bits)
    moved(failing, 1)
    assert failing.sent == []
    assert "STRATEGY" in halt_names(failing.core.halt_bits)
    assert failing.core.stats()["nonsense"] == failing.numbers["nonsense"]
    halted_at = failing.numbers["nonsense"]
    moved(failing, 20)
    assert failing.numbers["nonsense"] == halted_at, "a halted strategy is not asked"
    failing.collect(failing.core.command(Command.RESUME, failing.now_ns))
    assert failing.numbers["nonsense"] <= 1


def test_standing_aside_is_no_failure() -> None:
    aside = desk(user_strategy("return STAND_ASIDE"))
    aside.start()
    moved(aside, 30)
    assert aside.numbers["nonsense"] == 0
    assert (aside.sent, aside.core.failure()) == ([], None)
    assert aside.core.halt_bits == 0


def test_a_strategy_that_fails_pulls_the_quotes_it_had() -> None:
    user = user_strategy("quote_bid(target, 599_000 // (1 - view.own_bid_count), 1)\nreturn QUOTE")
    failing = desk(user)
    failing.start()
    (placed,) = failing.take_sent()
    assert placed["price"] == "59900.0"
    failing.ack(placed)  # the strategy is asked again, and divides by zero
    assert [order["verb"].name for order in failing.sent] == ["CANCEL"]


def test_why_says_what_plain_python_says() -> None:
    body = "x = 2\nstate[3] = x\nreturn QUOTE"
    user = user_strategy(body.replace("3", "view.bid_count + 2"), "state=3")
    failing = desk(user)
    failing.start()
    failed = failing.core.failure()
    assert failed is not None
    said = str(why(user, failed[0], [], failed[1]))
    assert "mine.py:6: IndexError: index 3 is out of bounds" in said
    assert "state[view.bid_count + 2] = x" in said


def test_why_says_what_the_core_refused() -> None:
    user = user_strategy(FAILURES["it crosses itself"])
    failing = desk(user)
    failing.start()
    failed = failing.core.failure()
    assert failed is not None
    said = str(why(user, failed[0], [], failed[1]))
    assert "wanted bids [(600000, 1)], asks [(600000, 1)] (price, quantity): crossed" in said


def test_why_runs_on_the_state_from_before_the_call() -> None:
    body = """
        before = state[0]
        state[0] = 1.0
        if before == 1.0:
            return STAND_ASIDE
        quote_bid(target, 5 // view.ref_position_lots, 1)
        return QUOTE
    """
    user = user_strategy(body, "state=1")
    failing = desk(user)
    failing.start()
    moved(failing, 3)
    failed = failing.core.failure()
    assert failed is not None
    assert failed[1][0] == 0.0
    assert "FloatingPointError" in str(why(user, failed[0], [], failed[1]))


def test_a_hedge_without_a_reference_leg_is_refused_and_told() -> None:
    user = user_strategy("hedge(target, BUY, 600_000, 1, 0)\nreturn QUOTE")
    failing = desk(user)
    failing.start()
    assert failing.numbers["nonsense"] == 1
    failed = failing.core.failure()
    assert failed is not None
    assert "a hedge needs a reference leg" in str(why(user, failed[0], [], failed[1]))
    assert "does not fail" in str(why(user, failed[0], [], failed[1], is_referenced=True))


def test_the_first_failure_is_kept_not_the_last() -> None:
    user = user_strategy("state[0] += 1\nreturn -1 if state[0] > 1 else STAND_ASIDE", "state=1")
    failing = desk(user)
    failing.start()
    moved(failing, 6)
    assert failing.numbers["nonsense"] > 1
    assert failing.numbers["strategy_code"] == -1
    failed = failing.core.failure()
    assert failed is not None
    assert failed[1][0] == 1.0


# -- WHAT A CORE MUST BE TOLD ---


def test_the_core_refuses_what_does_not_belong_together(my_quotes: UserStrategy) -> None:
    own = user_config(my_quotes)
    wrong: list[tuple[dict[str, Any], Any, str]] = [
        (own, None, "must be compiled"),
        ({}, my_quotes, "but strategy is 'spread'"),
        (own | {"strategy": "user:other"}, my_quotes, "but 'my_quotes' was given"),
        (own | {"strategy_sha256": "0" * 64}, my_quotes, "it is not the one that ran"),
        (own | {"params": {"halfspread": 1.0}}, my_quotes, "Unknown parameter 'halfspread'"),
        (own | {"params": {"qty_lots": "2"}}, my_quotes, "must be a finite number"),
        ({"strategy_sha256": "0" * 64}, None, "Unknown key 'strategy_sha256'"),
    ]
    for changed, user, text in wrong:
        with pytest.raises(ValueError, match=text):
            Core(core_config() | changed, API_KEY, SECRET, None, user)
    config = core_config() | own
    del config["strategy_sha256"]
    with pytest.raises(ValueError, match="strategy_sha256 is required"):
        Core(config, API_KEY, SECRET, None, my_quotes)


def test_the_core_keeps_the_strategy_alive() -> None:
    quoting = desk(user_strategy("quote_bid(target, 599_000, 1)\nreturn QUOTE"))
    assert quoting.core.user.name == "f"


# -- VERIFY AND REPLAY ---


def saved(run_dir: Path, quoting: Desk, user: UserStrategy) -> Path:
    (run_dir / "journal" / "desk").mkdir(parents=True)
    (run_dir / "journal" / "desk" / "000000.jnl").write_bytes(quoting.segment)
    strategies.keep(user, run_dir)
    return run_dir


def test_verify_compiles_the_runs_own_copy(tmp_path: Path, my_quotes: UserStrategy) -> None:
    quoting = desk(my_quotes)
    quoting.start()
    for params in quoting.take_sent():
        quoting.ack(params)
    moved(quoting, 20)
    run_dir = saved(tmp_path, quoting, my_quotes)
    result = verify_run(run_dir)
    assert result["first_difference"] is None
    assert result["orders"] > 2
    copy = strategies.copy_path(run_dir, my_quotes.source_sha256)
    source = copy.read_text()
    copy.write_text(source.replace("half_spread_ticks", "half_spread"))
    with pytest.raises(TickmakerError, match="is not the file that ran"):
        verify_run(run_dir)
    copy.unlink()
    with pytest.raises(TickmakerError, match=r"\.py is missing"):
        verify_run(run_dir)


def test_another_strategy_with_a_forged_hash_is_found_out(
    tmp_path: Path, my_quotes: UserStrategy
) -> None:
    """The journal's first record names the source, so no other can pass for it."""
    quoting = desk(my_quotes)
    quoting.start()
    other = my_quotes.source.replace("fair - params", "fair - 1 - params").encode()
    forged = bytearray(len(quoting.segment))
    writer = JournalWriter(forged)
    for _, kind, arg, _, now_ns, recv_ts_ns, payload in read_segment(quoting.segment):
        data = bytes(payload)
        if kind == KIND["CONFIG"]:
            data = data.replace(
                my_quotes.source_sha256.encode(), hashlib.sha256(other).hexdigest().encode()
            )
        writer.append(kind, arg, data, now_ns, recv_ts_ns)
    run_dir = saved(tmp_path, quoting, my_quotes)
    (run_dir / "journal" / "desk" / "000000.jnl").write_bytes(forged)
    strategies.copy_path(run_dir, hashlib.sha256(other).hexdigest()).write_bytes(other)
    assert verify_run(run_dir)["identical"] is False


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tape")
    out = folder / "x.tape.arrow"
    import_files([write(folder / "x", capture(steps=1_000))], out)
    return out


def test_replay_of_the_example_equals_replay_of_spread(tape: Path, tmp_path: Path) -> None:
    own = replay_tape(tape, strategy=EXAMPLE, runs_dir=tmp_path)
    built_in = replay_tape(tape, strategy="spread", runs_dir=tmp_path)
    assert own["orders"] > 0
    for key in ("orders", "fills", "position_lots", "pnl_exact", "messages"):
        assert own[key] == built_in[key], key
    assert own["orders_sha256"] == built_in["orders_sha256"]
    other = replay_tape(tape, strategy="spread", seed=8, runs_dir=tmp_path)
    assert other["orders_sha256"] != own["orders_sha256"]
    run_dir = Path(own["run_dir"])
    kept = json.loads((run_dir / "config.json").read_text())["core"]
    assert kept["strategy"] == "user:my_quotes"
    copy = strategies.copy_path(run_dir, kept["strategy_sha256"]).read_bytes()
    assert kept["strategy_sha256"] == hashlib.sha256(copy).hexdigest()
    assert kept["params"]["half_spread_ticks"] == 2.0


def own_file(folder: Path, body: str, declared: str = "") -> str:
    path = folder / "mine.py"
    head = f"from fastcore.user import *\n@strategy({declared})\n"
    path.write_text(f"{head}def f(view, params, state, target):\n{body}")
    return f"{path}:f"


@pytest.mark.parametrize(("first", "is_halted"), [(1, True), (3, False)])
def test_replay_explains_what_the_strategy_failed_on(
    tape: Path, tmp_path: Path, first: int, is_halted: bool
) -> None:
    """Failing for ever it is halted; failing on two calls only it is warned of."""
    end = 10**9 if is_halted else first + 1
    body = (
        f"    state[0] += 1\n    if {first} <= state[0] <= {end}:\n"
        "        quote_bid(target, 5 // view.ref_position_lots, 1)\n    return QUOTE\n"
    )
    spec = own_file(tmp_path, body, "state=1")
    command = [sys.executable, "-m", "engine.cli", "replay", str(tape), "--strategy", spec]
    done = subprocess.run(
        [*command, "--runs", str(tmp_path / "runs")],
        capture_output=True, text=True, timeout=90, check=False, cwd=ROOT,
    )  # fmt: skip
    count = NONSENSE_MAX if is_halted else 2
    assert f"warning: {count} calls of the strategy refused" in done.stderr
    assert f"{spec[:-2]}:6: FloatingPointError" in done.stderr
    assert done.returncode == int(is_halted)
    assert ("ended halted (STRATEGY)" in done.stderr) == is_halted
    assert "tape verify" not in done.stderr
    assert f"refused calls of the strategy {count}" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("strategy", "text"),
    [
        ("spraed", "Unknown strategy 'spraed'"),
        ("mine.txt:f", "Unknown strategy 'mine.txt:f'"),
        ("nowhere.py:f", "No strategy file at nowhere.py"),
        (f"{ROOT}/docs/my_quotes.py:nothing", "no function 'nothing'; its strategies: my_quotes"),
    ],
)
def test_replay_refuses_a_strategy_that_is_not_there(
    tape: Path, tmp_path: Path, strategy: str, text: str
) -> None:
    with pytest.raises(TickmakerError) as caught:
        replay_tape(tape, strategy=strategy, runs_dir=tmp_path)
    assert text in caught.value.what
    assert caught.value.exit_code == EXIT_USAGE
    assert list(tmp_path.iterdir()) == [], "no run folder for what never ran"
