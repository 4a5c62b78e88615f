"""`tickmaker check`: every example can be kept; what can't is refused, with its exit code."""

import asyncio
import json
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine import entry
from engine.cli import app
from engine.config_file import load_config
from engine.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, TickmakerError
from engine.live.check import check_online
from engine.live.lock import AccountLock, is_held
from engine.live.params import changed
from engine.live.stage import Stage
from engine.recorder.follow import journal_bytes_max
from engine.runs import write_config

EXAMPLES = sorted((Path(__file__).parent.parent / "deploy" / "examples").glob("*.toml"))
run = CliRunner().invoke


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_check_offline_every_example_can_be_kept(path: Path) -> None:
    result = run(app, ["check", str(path), "--offline", "--json"])
    document = json.loads(result.stdout.splitlines()[-1])
    assert result.exit_code == EXIT_OK, document["problems"]
    table = tomllib.loads(path.read_text())
    assert [row["name"] for row in document["accounts"]] == [a["name"] for a in table["account"]]
    assert len(document["instruments"]) == len(table["instrument"])
    assert document["plan"]["rows"]
    assert len(document["config_sha256"]) == len(document["limits_sha256"]) == 64


def test_examples_cover_every_venue_and_kind() -> None:
    assert len(EXAMPLES) >= 7
    venues = {account["venue"] for path in EXAMPLES
              for account in tomllib.loads(path.read_text())["account"]}  # fmt: skip
    assert venues == {"binance_usdm", "binance_spot", "bybit"}


@pytest.mark.parametrize(("old", "new", "problem"), [
    ("orders_per_10s_max = 280", "orders_per_10s_max = 301", "orders in 10 s, all instruments"),
    ("exit_reserve = 4", "exit_reserve = 280", "Expected limits.exit_reserve to be under"),
    ("ofi_tau_ms", "ofi_tau", "signals"),
    ("half_spread_ticks", "half_spread", "half_spread"),
    ("slippage_ticks = 0", "slippage_ticks = 2000", "stops.slippage_ticks"),
])  # fmt: skip
def test_check_offline_names_what_can_not_be_kept(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    text = (EXAMPLES[0].parent / "local_binance_usdm.toml").read_text()
    assert old in text
    path = tmp_path / "config.toml"
    path.write_text(text.replace(old, new))
    result = run(app, ["check", str(path), "--offline", "--json"])
    document = json.loads(result.stdout.splitlines()[-1])
    assert result.exit_code == EXIT_USAGE
    assert any(problem in text for text in document["problems"]), document["problems"]
    shown = run(app, ["check", str(path), "--offline"])
    assert problem in shown.stdout


def test_check_says_of_many_instruments_once_what_is_alike(tmp_path: Path) -> None:
    head, _, one = (EXAMPLES[0].parent / "local_binance_usdm.toml").read_text().partition(
        "[[instrument]]"
    )
    one = one.replace("exit_reserve = 4", "exit_reserve = 280")
    path = tmp_path / "config.toml"
    path.write_text(head + "".join(
        "[[instrument]]" + one.replace('"BTCUSDT"', f'"SYM{number:03}USDT"')
        for number in range(7)
    ))  # fmt: skip
    result = run(app, ["check", str(path), "--offline"])
    assert result.exit_code == EXIT_USAGE
    problems = re.findall("(?m)^problem: .*exit_reserve to be under.*", result.stdout)
    (problem,) = problems
    assert "SYM000USDT and 6 more: " in problem
    assert len(re.findall("(?m)^open orders, at the venue .*SYM000USDT and 6 more",
                          result.stdout)) == 1  # fmt: skip
    assert len(re.findall("(?m)^instrument: ", result.stdout)) == 7


def test_check_offline_reads_no_key(tmp_path: Path) -> None:
    """An example that names a key file which is not there."""
    path = tmp_path / "config.toml"
    text = (EXAMPLES[0].parent / "testnet_bybit.toml").read_text()
    path.write_text(text.replace("~/.config/tickmaker", "nowhere"))
    assert run(app, ["check", str(path), "--offline"]).exit_code == EXIT_OK
    result = run(app, ["check", str(path)])
    assert isinstance(result.exception, TickmakerError)
    assert "the key file" in result.exception.what


# -- WITH A VENUE ---


@contextmanager
def local_exchange(file: Path, venue: str, symbols: str) -> Iterator[None]:
    """Its ready line is in `file`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.exchange", "--venue", venue, "--symbols", symbols,
         "--rest-port", "0", "--ws-port", "0", "--json", "--until-stdin-closes"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        file.write_text(process.stdout.readline())
        yield
    finally:
        process.kill()
        process.communicate()


KINDS = {
    "binance_usdm": ("public", "private", "ws_api"), "binance_spot": ("market", "ws_api"),
    "bybit": ("linear", "spot", "private", "trade"),
}  # fmt: skip


def told_addresses(text: str) -> str:
    """Without addresses: they are the ready line's."""
    text = re.sub(r'(?m)^rest_url = .*\n', "", text)
    return re.sub(r"(?ms)^\[account\.ws_url\]\n.*?(?=^\[account\.wanted\])", "", text)


def checked(path: Path, text: str) -> tuple[int, dict[str, Any]]:
    path.write_text(text)
    result = run(app, ["check", str(path), "--json"])
    assert result.stdout, result.exception
    return result.exit_code, json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize(("venue", "symbols", "name", "ready"), [
    ("binance_usdm", "BTCUSDT", "local_binance_usdm", "usdm.json"),
    ("binance_spot", "BTCUSDT", "local_binance_spot", "spot.json"),
    ("bybit", "linear/BTCUSDT,spot/BTCUSDT", "local_bybit", "bybit.json"),
])  # fmt: skip
def test_check_asks_the_venue_and_changes_nothing(
    tmp_path: Path, venue: str, symbols: str, name: str, ready: str
) -> None:
    text = told_addresses((EXAMPLES[0].parent / f"{name}.toml").read_text())
    path = tmp_path / "config.toml"
    with local_exchange(tmp_path / ready, venue, symbols):
        code, document = checked(path, text)
        assert (code, document["problems"]) == (EXIT_OK, [])
        assert all(row["is_trading"] for row in document["instruments"])
        assert all(row["key_may_trade"] for row in document["accounts"])

        nobody = "\n".join(f'{kind} = "ws://127.0.0.1:1/{kind}"' for kind in KINDS[venue])
        code, document = checked(
            path, text.replace("[account.wanted]", f"[account.ws_url]\n{nobody}\n[account.wanted]")
        )
        assert code == EXIT_USAGE
        for name in ("TRADE", "USER", "MARKET"):
            assert any(f"ws_url: {name} connection at 127.0.0.1:1: " in problem
                       for problem in document["problems"])  # fmt: skip

        code, document = checked(path, text.replace("BTCUSDT", "NONEUSDT"))
        assert code == EXIT_USAGE
        assert any("NONEUSDT" in problem for problem in document["problems"])
        if venue == "binance_usdm":  # the others tell of nothing but what they are asked for
            code, document = checked(path, text.replace("BTCUSDT", "BTCUSD"))
            assert any("Did you mean BTCUSDT?" in problem for problem in document["problems"])

        code, document = checked(path, re.sub("taker_bp = .*", "taker_bp = 0.5", text))
        assert code == EXIT_USAGE
        assert any("fees.taker_bp is 0.5, but the venue takes" in problem
                   for problem in document["problems"])  # fmt: skip

        # What only a start refused, once.
        text = re.sub("qty_lots_max = .*", "qty_lots_max = 4_000_000_000", text)
        text = re.sub(r"(?m)^(\[account\.wanted\].*)", r'\1\nstp = "expire_both"', text)
        code, document = checked(path, text)
        assert code == EXIT_USAGE
        for told in ("limits.qty_lots_max is 4000000000, over the venue's", "wanted.stp"):
            assert any(told in problem for problem in document["problems"]), document["problems"]
    assert {file.name for file in tmp_path.iterdir()} == {"config.toml", ready}


def test_check_without_an_answer_says_so(tmp_path: Path) -> None:
    """Nobody listens on port 1."""
    text = (EXAMPLES[0].parent / "local_binance_usdm.toml").read_text()
    text = text.replace("127.0.0.1:7001", "127.0.0.1:1")
    (tmp_path / "usdm.json").write_text(json.dumps(
        {"venue": "binance_usdm", "accounts": [{"api_key": "k", "secret": "s"}]}
    ))
    (tmp_path / "config.toml").write_text(text)
    result = run(app, ["check", str(tmp_path / "config.toml")])
    assert isinstance(result.exception, TickmakerError)
    assert "127.0.0.1" in result.exception.what


def test_whose_key_the_venue_refuses_is_said(tmp_path: Path) -> None:
    ready = tmp_path / "usdm.json"
    with local_exchange(ready, "binance_usdm", "BTCUSDT"):
        told = json.loads(ready.read_text())
        told["accounts"][0] |= {"api_key": "x" * 64, "secret": "y" * 64}
        ready.write_text(json.dumps(told))
        path = tmp_path / "config.toml"
        text = (EXAMPLES[0].parent / "local_binance_usdm.toml").read_text()
        path.write_text(told_addresses(text))
        result = run(app, ["check", str(path)])
    assert isinstance(result.exception, TickmakerError)
    assert result.exception.what.startswith("account usdm: ")
    assert "HTTP 401" in result.exception.what


def test_whose_step_failed_is_said() -> None:
    async def refused() -> None:
        raise TickmakerError("GET /time: HTTP 404")

    stage = Stage.__new__(Stage)  # a step that fails asks nothing of it
    with pytest.raises(TickmakerError, match=r"^account a: GET /time"):
        asyncio.run(stage.step("clock", refused(), account="a"))
    with pytest.raises(TickmakerError, match=r"^GET /time"):
        asyncio.run(stage.step("clock", refused()))


def test_an_error_is_a_json_object_too(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    done = subprocess.run(
        [sys.executable, "-m", "engine.entry", "check", str(missing), "--json"],
        capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == told["exit_code"] == EXIT_USAGE
    assert str(missing) in told["error"]
    assert told["error"] in done.stderr


def test_the_command_line_is_interrupted_in_order_while_it_is_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted:
        def __getattr__(self, name: str) -> Any:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "engine.cli", Interrupted())
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == EXIT_INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"


def test_ctrl_c_within_a_command_is_told_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.config_file.load_config", interrupted)
    monkeypatch.setattr(sys, "argv", ["tickmaker", "check", str(tmp_path / "a.toml")])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == EXIT_INTERRUPTED
    assert capsys.readouterr().err.strip() == "interrupted"


def test_the_journals_budget_reaches_the_run_s_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    text = (EXAMPLES[0].parent / "local_binance_usdm.toml").read_text()
    for line, wanted in (("journal_bytes_max = 1_000_000\n", 1_000_000), ("", 0)):
        path.write_text(line + text)
        loaded = load_config(path, run_tag="0a1b2c3d", mask_seed=1, with_credentials=False)
        write_config(tmp_path, loaded.config.model_dump(mode="json"))
        assert journal_bytes_max(tmp_path) == wanted


def test_an_account_that_an_engine_holds_is_seen(tmp_path: Path) -> None:
    assert not is_held(tmp_path, "a")
    assert list(tmp_path.iterdir()) == []
    lock = AccountLock(tmp_path, "a")
    lock.take()
    assert is_held(tmp_path, "a")
    lock.release()
    assert not is_held(tmp_path, "a")


def test_a_local_exchange_that_does_not_answer_may_still_be_starting(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        text = (EXAMPLES[0].parent / "local_binance_usdm.toml").read_text()
        path = tmp_path / "config.toml"
        path.write_text(re.sub(r"127.0.0.1:7001", f"127.0.0.1:{taken.getsockname()[1]}", text))
        ready = {"venue": "binance_usdm", "accounts": [{"api_key": "k", "secret": "s"}]}
        (tmp_path / "usdm.json").write_text(json.dumps(ready))
        loaded = load_config(path, run_tag="0a1b2c3d", mask_seed=1)
        with pytest.raises(TickmakerError, match="may still be starting"):
            check_online(loaded)


def test_a_cpu_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("cpu = 9999\n" + (EXAMPLES[0].parent / "local_binance_usdm.toml").read_text())
    result = run(app, ["check", str(path), "--offline", "--json"])
    problems = json.loads(result.stdout.splitlines()[-1])["problems"]
    assert len(problems) == 1
    assert problems[0].startswith("cpu is 9999, but this process may use ")


def test_warnings_are_told_and_refuse_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    text = (EXAMPLES[0].parent / "local_binance_usdm.toml").read_text()
    path.write_text(text.replace("requote_ms = 150", "requote_ms = 50"))
    result = run(app, ["check", str(path), "--offline"])
    assert result.exit_code == EXIT_OK
    assert "warning: usdm.binance_usdm.BTCUSDT: may replace 40 quotes a second" in result.output


def test_params_that_the_gate_would_deny_are_a_problem_and_refused_live(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    text = (EXAMPLES[0].parent / "local_binance_usdm.toml").read_text()
    path.write_text(text.replace("\nqty_lots = 10.0", "\nqty_lots = 51.0"))
    result = run(app, ["check", str(path), "--offline", "--json"])
    assert result.exit_code == EXIT_USAGE
    (problem,) = json.loads(result.stdout.splitlines()[-1])["problems"]
    assert "params.qty_lots is 51, over limits.qty_lots_max = 50" in problem
    path.write_text(text)
    loaded = load_config(path, run_tag="0a1b2c3d", mask_seed=1, with_credentials=False)
    core = loaded.config.instruments[0].core.model_dump(exclude_none=True)
    assert core["params"]["ofi_skew_ticks"] == 0.5  # a default, written out
    with pytest.raises(TickmakerError, match=r"qty_lots_max = 50"):
        changed(core, core["params"], {"qty_lots": 51})
    wanted, _ = changed(core, core["params"], {"qty_lots": 50})
    assert wanted["qty_lots"] == 50.0
