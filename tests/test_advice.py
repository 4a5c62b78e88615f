"""A configuration held against itself: sizes that the gate denies, quotes that its windows do."""

import tomllib
from pathlib import Path

import pytest

from engine.config_file import load_config
from engine.execution.advice import problems_of_params, warnings

EXAMPLES = sorted((Path(__file__).parent.parent / "deploy" / "examples").glob("*.toml"))
USDM = EXAMPLES[0].parent / "local_binance_usdm.toml"


def of_text(path: Path, text: str) -> list[str]:
    path.write_text(text)
    config = load_config(
        path, run_tag="0a1b2c3d", mask_seed=1, with_credentials=False
    ).config
    problems = [text for one in config.instruments
                for text in problems_of_params(one.core.limits, one.core.params)]  # fmt: skip
    return [*warnings(config), *problems]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_keep_within_their_own_limits(path: Path, tmp_path: Path) -> None:
    assert of_text(tmp_path / "engine.toml", path.read_text()) == []


@pytest.mark.parametrize(("old", "new", "told"), [
    ("requote_ms = 150", "requote_ms = 50", "replace 40 quotes a second, its limits leave 18.3"),
    ("requote_ms = 150", "requote_ms = 0", "may replace 100 quotes"),
    ("modify = true", "modify = false\n", None),  # two messages a quote, still within
    ("orders_per_10s_max = 280", "orders_per_10s_max = 100", "its limits leave 9.6"),
    ("messages_per_min_max = 3000\ncancel_reserve = 10", "messages_per_min_max = 700\n"
     "cancel_reserve = 10", "its limits leave 11.5"),
    ("\nqty_lots = 10.0", "\nqty_lots = 51.0", "over limits.qty_lots_max = 50"),
    ("qty_lots_min = 1", "qty_lots_min = 11", "under limits.qty_lots_min = 11"),
    ("\nposition_lots_max = 100", "\nposition_lots_max = 9", "over limits.position_lots_max = 9"),
    ("position_lots_max = 60.0", "position_lots_max = 101.0", "denies before the strategy"),
])  # fmt: skip
def test_what_will_be_denied_is_told(
    tmp_path: Path, old: str, new: str, told: str | None
) -> None:
    text = USDM.read_text()
    assert old in text
    found = of_text(tmp_path / "engine.toml", text.replace(old, new))
    assert found == [] if told is None else any(told in one for one in found), found


def test_instruments_of_an_account_are_added_up(tmp_path: Path) -> None:
    text = (USDM.parent / "local_two_venues.toml").read_text()
    assert tomllib.loads(text)["instrument"][1]["quoting"]["requote_ms"] == 250
    text = text.replace("orders_per_min_max = 1200", "orders_per_min_max = 900")
    assert any("usdm: its 2 instruments may replace 16 quotes a second" in told
               for told in of_text(tmp_path / "engine.toml", text))  # fmt: skip


def test_hedge_that_acts_faster_than_a_place_may_send_is_told(tmp_path: Path) -> None:
    text = (USDM.parent / "local_hedge.toml").read_text()
    assert not any("hedge" in told for told in of_text(tmp_path / "engine.toml", text))
    fast = text.replace("pause_ms = 200", "pause_ms = 100")
    (told,) = [one for one in of_text(tmp_path / "engine.toml", fast) if "hedge" in one]
    assert told.startswith("hedge btc: it may act 10 times a second, but quoting.messages_per_s")
    assert "bybit.bybit_linear.BTCUSDT is 5" in told
