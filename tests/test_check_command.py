"""`tickmaker check`: every example can be kept; what can't is refused, with its exit code."""

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.cli import app
from engine.errors import EXIT_OK, EXIT_USAGE, TickmakerError

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


def test_check_offline_reads_no_key(tmp_path: Path) -> None:
    """An example that names a key file which is not there."""
    path = tmp_path / "config.toml"
    text = (EXAMPLES[0].parent / "testnet_bybit.toml").read_text()
    path.write_text(text.replace("~/.config/tickmaker", "nowhere"))
    assert run(app, ["check", str(path), "--offline"]).exit_code == EXIT_OK
    result = run(app, ["check", str(path)])
    assert isinstance(result.exception, TickmakerError)
    assert "the key file" in result.exception.what
