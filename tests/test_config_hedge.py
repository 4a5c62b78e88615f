"""`[[hedge]]`: instruments by name, exact sizes; what can't be is refused by line and key, and
what the venues tell is held against it."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from engine.config import EngineConfig
from engine.config_file import limits_sha256, load_config
from engine.errors import TickmakerError
from engine.execution.hedge_rules import problems
from engine.live.check import check_offline
from engine.venues.base import Instrument

EXAMPLE = Path(__file__).parent.parent / "deploy" / "examples" / "local_hedge.toml"
MAKER, BYBIT, SPOT = (
    "usdm.binance_usdm.BTCUSDT", "bybit.bybit_linear.BTCUSDT", "spot.binance_spot.BTCUSDT",
)  # fmt: skip
SECOND = """
[[hedge]]
name = "other"
of = ["usdm.BTCUSDT"]
on = ["spot.BTCUSDT"]
target = "0"
band = "1"
to = "0"
collar_ppm = 1
slice_max = "1"
pause_ms = 1
"""


def text(*changes: tuple[str, str]) -> str:
    found = EXAMPLE.read_text()
    for old, new in changes:
        assert old in found, old
        found = found.replace(old, new)
    return found


def load(folder: Path, content: str) -> EngineConfig:
    path = folder / "engine.toml"
    path.write_text(content)
    return load_config(path, run_tag="0000000a", mask_seed=5, with_credentials=False).config


def test_example_names_its_instruments_and_sizes_exactly(tmp_path: Path) -> None:
    config = load(tmp_path, text())
    (hedge,) = config.hedges
    assert (hedge.of, hedge.on) == ((MAKER,), (BYBIT, SPOT))
    assert hedge.keys == (MAKER, BYBIT, SPOT)
    assert (hedge.target, hedge.band, hedge.to) == (Decimal(10), Decimal("0.005"), Decimal(0))
    places = [one.core.strategy for one in config.instruments if one.key in hedge.on]
    assert places == ["hold", "hold"]
    keyed = load(tmp_path, text(('"usdm.BTCUSDT"', f'"{MAKER}"')))
    assert keyed.hedges == config.hedges


def test_file_without_a_hedge_is_what_it_was(tmp_path: Path) -> None:
    with_one = text()
    without = with_one[: with_one.index("[[hedge]]")]
    config = load(tmp_path, without)
    assert config.hedges == ()
    assert limits_sha256(config) != limits_sha256(load(tmp_path, with_one))
    wider = with_one.replace("collar_ppm = 50_000", "collar_ppm = 50_001")
    assert limits_sha256(load(tmp_path, wider)) != limits_sha256(load(tmp_path, with_one))


@pytest.mark.parametrize(("old", "new", "told"), [
    ('"usdm.BTCUSDT"', '"BTCUSDT"', "'BTCUSDT' names 3 instruments"),
    ('"usdm.BTCUSDT"', '"usdm.BTCUSD"', "there is no instrument 'usdm.BTCUSD'"),
    ('["usdm.BTCUSDT"]', f'["usdm.BTCUSDT", "{MAKER}"]', f"{MAKER} is there twice"),
    ('["usdm.BTCUSDT"]', "[]", "of: expected at least one"),
    ('band = "0.005"', "band = 0.005", "a text in quotes, was 0.005"),
    ('band = "0.005"', 'band = "5e-3"', 'a number of base units in quotes, such as "0.05"'),
    ('band = "0.005"', 'band = "0.000"', "band must be above 0"),
    ('to = "0"', 'to = "0.005"', "to is 0.005, and the band 0.005"),
    ("pause_ms = 200", "", "pause_ms is required"),
    ("pause_ms = 200", "pause_ms = 200\npause_s = 1", "unknown key hedge[1].pause_s"),
    ("collar_ppm = 50_000", "collar_ppm = 1_000_000", "collar_ppm"),
    ("hold_ms_max = 0", "hold_ms_max = 9", "it would undo the hedge"),
    ("[[hedge]]", f"{SECOND}\n[[hedge]]", "is in hedge other, too"),
])  # fmt: skip
def test_what_can_not_be_is_refused_by_line_and_key(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    with pytest.raises(TickmakerError) as refused:
        load(tmp_path, text((old, new)))
    assert told in refused.value.what
    assert "engine.toml:" in refused.value.what


def test_names_are_there_once(tmp_path: Path) -> None:
    twice = text() + SECOND.replace('"other"', '"btc"')
    with pytest.raises(TickmakerError, match="hedge btc is there twice"):
        load(tmp_path, twice)


# -- WHAT THE VENUES TELL ---


def told(key: str, **more: str | Decimal) -> Instrument:
    _, venue, symbol = key.split(".")
    lot = {"binance_usdm": "0.001", "bybit_linear": "0.001", "binance_spot": "0.00001"}[venue]
    made = Instrument(venue, symbol, "0.1", lot, Decimal(lot), Decimal(1_000), Decimal(5), "BTC",
                      "USDT")  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def found(config: EngineConfig, **more: dict[str, str | Decimal]) -> list[str]:
    names = {"maker": MAKER, "bybit": BYBIT, "spot": SPOT}
    return problems(config, {
        key: told(key, **more.get(name, {})) for name, key in names.items()
    })  # fmt: skip


def test_example_can_be_kept(tmp_path: Path) -> None:
    assert found(load(tmp_path, text())) == []


def test_assets_are_one(tmp_path: Path) -> None:
    config = load(tmp_path, text())
    (problem,) = found(config, bybit={"quote": "USDC"})
    assert problem.startswith("hedge btc: one quote asset is needed, but they have USDT: ")
    assert f"USDC: {BYBIT}" in problem
    (other,) = found(config, maker={"base": "ETH"})
    assert "one base asset" in other


@pytest.mark.parametrize(("changes", "more", "what"), [
    ([('band = "0.005"', 'band = "0.000009"')], {}, "between to and band are 0.000009"),
    ([('slice_max = "0.05"', 'slice_max = "0.0005"')], {}, f"the smallest order of {BYBIT}"),
    ([('"bybit.BTCUSDT", ', ""), ('target = "10"', 'target = "0"')], {}, "Spot can't go short"),
    ([("position_lots_max = 100\n", "position_lots_max = 100\n# x\n")],
     {"maker": {"lot": "100"}}, "leave up to"),
])  # fmt: skip
def test_lots_limits_and_spot_are_held_against_it(
    tmp_path: Path, changes: list[tuple[str, str]], more: dict[str, dict[str, str]], what: str
) -> None:
    assert any(what in one for one in found(load(tmp_path, text(*changes)), **more))


def test_all_its_accounts_end_alike(tmp_path: Path) -> None:
    path = tmp_path / "engine.toml"
    keep, flatten = 'at_shutdown = "keep"', 'at_shutdown = "flatten"'
    path.write_text(EXAMPLE.read_text().replace(keep, flatten, 1))
    loaded = load_config(path, run_tag="0000000a", mask_seed=5, with_credentials=False)
    (problem,) = check_offline(loaded)["problems"]
    assert "at_shutdown differs: usdm flatten, bybit and spot keep" in problem


def test_config_json_holds_it(tmp_path: Path) -> None:
    config = load(tmp_path, text())
    document = json.loads(json.dumps(config.model_dump(mode="json")))
    assert document["hedges"][0]["band"] == "0.005"
    assert EngineConfig.model_validate(document).hedges == config.hedges
