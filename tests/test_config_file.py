"""engine/config_file.py: what is wrong with a configuration is named by file, line and key."""

import copy
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.config import (
    AccountLimits,
    Halts,
    InstrumentLimits,
    Limits,
    WantedAccount,
)  # fmt: skip
from engine.config_file import LoadedConfig, config_sha256, limits_sha256, load_config
from engine.config_tables import WantedTable
from engine.config_text import line_numbers
from engine.credentials import Credential, from_environment, from_file, ready_line
from engine.errors import EXIT_UNSAFE, EXIT_USAGE, TickmakerError
from engine.execution.planner import documented
from engine.venues import adapter
from fastcore.account import LIMITS
from fastcore.halts import SETTINGS

EXAMPLES = Path(__file__).parent.parent / "deploy" / "examples"
KEY, SECRET = "key-of-nobody", "secret-of-nobody"
READY = {
    "venue": "binance_usdm",
    "rest_url": "http://127.0.0.1:1",
    "ws_url": {kind: f"ws://127.0.0.1:2/{kind}" for kind in ("public", "private", "ws_api")},
    "accounts": [{"api_key": KEY, "secret": SECRET}],
}
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "usdm.json").write_text("a line before\n" + json.dumps(READY) + "\n")

    def to_file(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return path

    return to_file


def example(name: str = "local_binance_usdm") -> str:
    return (EXAMPLES / f"{name}.toml").read_text()


def load(path: Path, **options: Any) -> LoadedConfig:
    return load_config(path, run_tag="0000000a", mask_seed=5, **options)


def refused(write: Write, text: str) -> TickmakerError:
    with pytest.raises(TickmakerError) as caught:
        load(write(text))
    return caught.value


def changed(old: str, new: str, text: str = "") -> str:
    text = text or example()
    assert old in text
    return text.replace(old, new, 1)


def line_of(text: str, needle: str) -> int:
    return text[: text.index(needle)].count("\n") + 1


# -- WHAT IT MAKES ---


def test_load_config_merges_the_accounts_limits_into_every_core(write: Write) -> None:
    loaded = load(write(example()))
    limits = loaded.config.instruments[0].core.limits
    assert limits.account_exposure_e8_max == 2_000_000_000_000
    assert limits.account_cancel_reserve == 20
    assert limits.cancel_reserve == 10


def test_load_config_gives_cores_numbers_seeds_and_strategy_ids_of_their_own(
    tmp_path: Path,
) -> None:
    loaded = load(EXAMPLES / "local_two_venues.toml", with_credentials=False)
    cores = [instrument.core for instrument in loaded.config.instruments]
    assert [core.number for core in cores] == [0, 1, 2]
    assert len({core.mask_seed for core in cores}) == 3
    assert {core.run_tag for core in cores} == {"0000000a"}
    assert cores[2].venue == "bybit_linear"
    assert len({instrument.key for instrument in loaded.config.instruments}) == 3


def test_load_config_resolves_paths_by_the_files_folder(write: Write, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    text = changed('strategy = "spread"', 'strategy = "mine.py:quotes"')
    loaded = load(write(text))
    assert loaded.runs_dir == loaded.config.run_dir == tmp_path / "runs"
    assert loaded.config.state_dir == tmp_path / "state"
    assert loaded.config.instruments[0].strategy_file == tmp_path / "mine.py"
    assert loaded.config.instruments[0].core.strategy == "user:quotes"


@pytest.mark.parametrize("odd", [
    {"ws_url": [1]}, {"ws_url": {"public": 1}}, {"ws_url": None}, {"rest_url": 5}, {"ca_file": 5},
])  # fmt: skip
def test_a_ready_line_of_other_things_is_none(tmp_path: Path, odd: dict[str, Any]) -> None:
    path = tmp_path / "usdm.json"
    whole = {"rest_url": "http://127.0.0.1:1", "ws_url": {}, "accounts": [], **odd}
    path.write_text("[" * 100_000 + "\n" + json.dumps(whole) + "\n")
    with pytest.raises(TickmakerError, match="no ready line"):
        ready_line(path)


def test_load_config_takes_addresses_from_the_exchanges_ready_line(write: Write) -> None:
    text = changed('rest_url = "http://127.0.0.1:7001"\n', "")
    text = text.replace(text[text.index("[account.ws_url]") : text.index("[account.wanted]")], "")
    account = load(write(text)).config.accounts[0]
    assert account.rest_url == READY["rest_url"]
    assert account.ws_url == READY["ws_url"]


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.toml")))
def test_load_config_every_example_survives_the_way_to_config_json(name: str) -> None:
    from engine.config import load as load_document

    loaded = load(EXAMPLES / f"{name}.toml", with_credentials=False)
    document = json.loads(json.dumps(loaded.config.model_dump(mode="json")))
    assert load_document(document) == loaded.config


# -- KEYS ---


def test_load_config_reads_keys_and_never_shows_them(write: Write) -> None:
    loaded = load(write(example()))
    assert loaded.credentials["usdm"] == Credential(KEY, SECRET)
    shown = repr(loaded) + loaded.config.model_dump_json() + repr(loaded.credentials["usdm"])
    assert KEY not in shown
    assert SECRET not in shown


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o620])
def test_key_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.toml"
    path.write_text(f'api_key = "{KEY}"\nsecret = "{SECRET}"\n')
    path.chmod(mode)
    with pytest.raises(TickmakerError) as caught:
        from_file(path)
    assert caught.value.exit_code == EXIT_UNSAFE
    assert caught.value.remedy == f"chmod 600 {path}"
    path.chmod(0o600)
    assert from_file(path) == Credential(KEY, SECRET)


@pytest.mark.parametrize(
    "text", [f"{SECRET} is no TOML", f'api_key = "{SECRET}"', f'api_key = 5\nsecret = "{SECRET}"']
)
def test_key_file_that_holds_no_key_is_refused_without_showing_it(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "key.toml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(TickmakerError) as caught:
        from_file(path)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_environment_without_the_key_is_refused_by_name() -> None:
    assert from_environment("K", "S", {"K": KEY, "S": SECRET}) == Credential(KEY, SECRET)
    with pytest.raises(TickmakerError, match="has no S"):
        from_environment("K", "S", {"K": KEY, "S": ""})


def test_credential_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        copy.copy(Credential(KEY, SECRET))


@pytest.mark.parametrize(
    "source",
    ["{ key_file = 'a.toml', env_key = 'B', env_secret = 'C' }", "{ env_key = 'B' }", "{}",
     "{ exchange_json = 'usdm.json' }"],
)  # fmt: skip
def test_credential_of_no_or_two_kinds_is_refused(write: Write, source: str) -> None:
    text = re.sub(r"credential = .*", f"credential = {source}", example())
    error = refused(write, text)
    assert "expected one of: key_file; env_key and env_secret; exchange_json" in error.what
    assert f":{line_of(text, 'credential = ')}:" in error.what


@pytest.mark.parametrize("name", ["key_file", "env_key", "env_secret", "exchange_json"])
def test_a_key_in_the_place_of_its_place_is_not_shown(write: Write, name: str) -> None:
    pasted = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
    error = refused(write, re.sub(r"credential = .*", f"credential = {{ {name} = '{pasted}' }}",
                                  example()))  # fmt: skip
    assert f"account[1].credential.{name}: expected" in error.what
    assert pasted not in str(error)


def test_exchange_json_is_for_the_local_exchange_only(write: Write) -> None:
    text = changed("http://127.0.0.1:7001", "https://testnet.binancefuture.com")
    assert "for the local exchange only" in refused(write, text).what


def test_exchange_json_of_another_venue_is_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "usdm.json").write_text(json.dumps(READY | {"venue": "bybit"}))
    assert "that exchange is bybit, not binance_usdm" in refused(write, example()).what


# -- WHAT IS REFUSED ---


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_right_one(write: Write) -> None:
    text = changed("exit_reserve = 4", "exit_reserved = 4")
    error = refused(write, text)
    assert error.what.endswith("unknown key instrument[1].limits.exit_reserved")
    assert f"config.toml:{line_of(text, 'exit_reserved')}: " in error.what
    assert error.remedy == "Did you mean exit_reserve?"
    assert error.exit_code == EXIT_USAGE


def _required() -> list[str]:
    document = tomllib.loads(example())
    limits = [f"{key} = " for key in document["instrument"][0]["limits"]]
    return [*limits, "strangers = ", "dead_man_s = ", "late_per_min_max = ",
            "at_shutdown = ", "recv_window_ms = "]


@pytest.mark.parametrize("entry", _required())
def test_nothing_that_money_hangs_on_has_a_default(write: Write, entry: str) -> None:
    is_accounts = entry in example().partition("[account.ws_url]")[0]
    section = "" if is_accounts else "[instrument.limits]"
    before, mark, after = example().partition(section) if section else ("", "", example())
    after = re.sub(rf"(?m)^{re.escape(entry)}.*\n", "", after, count=1)
    error = refused(write, before + mark + after)
    assert error.what.endswith(f"{entry.removesuffix(' = ')} is required")


@pytest.mark.parametrize("key", ["exposure_e8_max", "orders_per_10s_max", "cancel_reserve"])
def test_every_limit_of_an_account_is_required(write: Write, key: str) -> None:
    before, mark, after = example().partition("[account.limits]")
    error = refused(write, before + mark + re.sub(rf"(?m)^{key} = .*\n", "", after, count=1))
    assert error.what.endswith(f"account[1].limits.{key} is required")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("feeds = 1 ", "feeds = 3 ", "account[1].feeds: expected at most 2, was 3"),
        ("requote_ms = 150", f"requote_ms = {1 << 63}", "expected at most 3,600,000"),
        ("ack_ms_max = 1000.0", "ack_ms_max = 1e308", "expected at most 60,000"),
        ("feeds = 1 ", "feeds = true ", "account[1].feeds: expected a whole number, was true"),
        ("qty_lots_max = 50", 'qty_lots_max = "50"',
         "instrument[1].limits.qty_lots_max: expected a whole number, was \"50\""),
        ("qty_lots_max = 50", "qty_lots_max = 50.0",
         "instrument[1].limits.qty_lots_max: expected a whole number, was 50.0"),
        ("qty_lots_max = 50", "qty_lots_max = 0",
         "instrument[1].limits.qty_lots_max: expected above 0, was 0"),
        ("qty_lots_max = 50", "qty_lots_max = true",
         "instrument[1].limits.qty_lots_max: expected a whole number, was true"),
        ("maker_bp = 2.0", "maker_bp = nan", "maker_bp: expected a finite number, was nan"),
        ("vpin_max = 0.0", "vpin_max = inf", "vpin_max: expected a finite number, was inf"),
        ("spread_factor = 20.0", "spread_factor = inf", "expected a finite number"),
        ("half_spread_ticks = 2.0", "half_spread_ticks = inf", "expected a finite number"),
        ("exposure_e8_max = 2000000000000", "exposure_e8_max = inf", "expected a whole number"),
        ('strangers = "cancel"', 'strangers = "ignore"',
         "account[1].strangers: expected \"leave\", \"cancel\" or \"halt\", was \"ignore\""),
        ('venue = "binance_usdm"', 'venue = "kraken"', "account[1].venue: expected"),
        ('symbol = "BTCUSDT"', 'symbol = "btcusdt"',
         "instrument[1].symbol: expected a symbol of 2 to 32 of A-Z, 0-9 and _"),
        ("dead_man_s = 30", "dead_man_s = -1", "account[1].dead_man_s: expected at least 0"),
        ("modify = true", "modify = 1", "instrument[1].quoting.modify: expected true or false"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_was_expected(
    write: Write, old: str, new: str, expected: str
) -> None:
    text = changed(old, new)
    error = refused(write, text)
    assert expected in error.what
    assert f"config.toml:{line_of(text, new)}: " in error.what


@pytest.mark.parametrize("url", [
    "https://fapi.binance.com", "https://fapi.binance.com:443", "https://FAPI.binance.com.",
    "https://api.bybit.com", "https://proxy.example.com",
])  # fmt: skip
def test_production_is_refused_as_unsafe(write: Write, url: str) -> None:
    error = refused(write, changed("http://127.0.0.1:7001", url))
    assert error.exit_code == EXIT_UNSAFE
    assert "until a guardian process runs beside the engine" in error.what


def test_production_is_refused_in_every_address(write: Write) -> None:
    for kind in ("public", "private", "ws_api"):
        text = re.sub(rf'(?m)^{kind} = ".*"', f'{kind} = "wss://fstream.binance.com"', example())
        assert refused(write, text).exit_code == EXIT_UNSAFE


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://192.168.0.7:7001", "192.168.0.7 is another machine"),
        ("http://testnet.binancefuture.com", "is another machine"),
        ("ftp://127.0.0.1", "expected an address such as https://host"),
        ("127.0.0.1:7001", "expected an address such as https://host"),
        ("http://127.0.0.1:port", "expected an address such as https://host"),
        ("http://key:word@127.0.0.1", "an address with a user, a query"),
        ("http://127.0.0.1/?key=word", "an address with a user, a query"),
        ("http://127.0.0.1/#word", "an address with a user, a query or a fragment"),
        ("https://fapi\u3002binance\u3002com", "expected an address such as https://host"),
    ],
)
def test_an_address_that_will_not_do_is_refused(write: Write, url: str, expected: str) -> None:
    error = refused(write, changed("http://127.0.0.1:7001", url))
    assert expected in error.what
    assert "word" not in str(error)


def test_loopback_needs_no_tls(write: Write) -> None:
    for host in ("localhost", "127.0.0.9", "[::1]"):
        assert load(write(changed("http://127.0.0.1:7001", f"http://{host}:7001"))).config


@pytest.mark.parametrize(("old", "new", "expected"), [
    ('private = "ws:', 'secret = "ws:', "unknown key ws_url.secret"),
    ('private = "ws:', '# "ws:', "ws_url.private is required"),
    ('ws_api = "ws:', 'wsapi = "ws:', "unknown key ws_url.wsapi"),
    ('[account.wanted]', 'other = "ws://127.0.0.1"\n[account.wanted]', "unknown key ws_url.other"),
    ('account = "usdm"', 'account = "usdn"', "there is no account 'usdn'"),
    ('strategy = "spread"', 'strategy = "spred"', "Unknown strategy 'spred'"),
    ('strategy = "spread"', 'strategy = "no.py:f"', "No strategy file at"),
    ('symbol =', 'category = "linear"\nsymbol =', "category is for Bybit's instruments"),
])  # fmt: skip
def test_what_does_not_fit_together_is_refused(
    write: Write, old: str, new: str, expected: str
) -> None:
    error = refused(write, changed(old, new))
    assert expected in error.what
    assert re.search(r"config\.toml:\d+: ", error.what)


def test_bybit_instruments_need_their_category() -> None:
    text = example("local_bybit")
    path = EXAMPLES / "local_bybit.toml"
    assert load(path, with_credentials=False).config.instruments[1].core.venue == "bybit_spot"
    assert "category" in text


def test_names_that_are_there_twice_are_refused(write: Write) -> None:
    text = example()
    instrument = text[text.index("[[instrument]]") :]
    assert "instrument usdm BTCUSDT is there twice" in refused(write, text + instrument).what
    account = text[text.index("[[account]]") : text.index("[[instrument]]")]
    text = text.replace("[[instrument]]", account + "[[instrument]]").replace(
        "exposure_e8_max = 2000000000000", "exposure_e8_max = 4000000000000"
    )
    assert "account usdm is there twice" in refused(write, text).what


def test_an_account_without_instruments_is_refused(write: Write) -> None:
    text = example()
    account = text[text.index("[[account]]") : text.index("[[instrument]]")]
    text = text.replace("[[instrument]]", account.replace('"usdm"', '"b"') + "[[instrument]]")
    text = text.replace("exposure_e8_max = 2000000000000", "exposure_e8_max = 4000000000000")
    assert "account 'b' trades nothing" in refused(write, text).what


def test_accounts_over_the_budget_are_refused(write: Write) -> None:
    text = changed("exposure_e8_max = 2000000000000", "exposure_e8_max = 1999999999999")
    error = refused(write, text)
    assert "add up to 2,000,000,000,000, over the budget of 1,999,999,999,999" in error.what


@pytest.mark.parametrize(("text", "expected"), [
    ("name = ", "is no TOML"), ("", "is required"), ("name = 5", "expected a text in quotes"),
    ("x = " + "[" * 20_000, "is no TOML"), ("x = " + "1" * 5_000, "is no TOML"),
    ("#" * (8 << 20) + "\n", "more than 8,388,608 bytes"),
])  # fmt: skip
def test_a_file_that_is_no_configuration_is_refused(
    write: Write, text: str, expected: str
) -> None:
    assert expected in refused(write, text).what


def test_a_file_that_an_editor_marked_is_read(write: Write) -> None:
    assert load(write("\ufeff" + example())).config == load(write(example())).config


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TickmakerError, match="Can't read the configuration"):
        load(tmp_path / "none.toml")


# -- HASHES, LINES ---


def test_hashes_tell_a_limit_from_a_parameter(write: Write) -> None:
    first = load(write(example())).config
    params = load(write(changed("half_spread_ticks = 2.0", "half_spread_ticks = 3.0"))).config
    limits = load(write(changed("qty_lots_max = 50", "qty_lots_max = 49"))).config
    assert config_sha256(first) == config_sha256(load(write(example())).config)
    assert len({config_sha256(c) for c in (first, params, limits)}) == 3
    assert limits_sha256(first) == limits_sha256(params) != limits_sha256(limits)
    account = load(write(changed("orders_per_10s_max = 300", "orders_per_10s_max = 299"))).config
    assert limits_sha256(account) != limits_sha256(first)


def test_line_numbers_follow_arrays_of_tables() -> None:
    account = "[[account]]  # one\nb = 2\n[account.limits]\nc = 3\n"
    text = "a = 1\n" + account + account
    lines = line_numbers(text)
    assert lines["account", 0, "limits", "c"] == 5
    assert lines["account", 1, "limits", "c"] == 9
    assert lines["a",] == 1


# -- WHAT OTHERS HAVE TO SAY OF THE SAME KEYS ---


def test_tables_have_the_cores_keys() -> None:
    own = set(InstrumentLimits.model_fields)
    of_account = {f"account_{key}" for key in AccountLimits.model_fields}
    assert own | of_account == set(LIMITS) == set(Limits.model_fields)
    assert not own & of_account
    assert set(Halts.model_fields) == set(SETTINGS)
    assert set(WantedTable.model_fields) == set(WantedAccount.model_fields)


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.toml")))
def test_addresses_of_every_example_are_those_that_its_adapter_wants(name: str) -> None:
    config = load(EXAMPLES / f"{name}.toml", with_credentials=False).config
    for account in config.accounts:
        made = adapter(account, KEY, SECRET)
        for one in config.instruments:
            if one.account == account.name:
                traded = documented(one.core.venue, one.core.symbol)
                assert made.market_plan([traded]).url.startswith(("ws://", "wss://"))
        for plan in (made.trade_plan(1), made.user_plan("token", 1)):
            assert plan.url.startswith(("ws://", "wss://"))


@pytest.mark.parametrize(("old", "new", "remedy"), [
    ("\npublic = ", "\npubic = \"ws://127.0.0.1\"\npublic = ", "Did you mean public?"),
    ('symbol = "BTCUSDT"', 'symbol = "BTCUSDT"\ncategory = "linear"', "Take it out"),
])  # fmt: skip
def test_a_key_that_does_not_belong_has_a_remedy(
    write: Write, old: str, new: str, remedy: str
) -> None:
    with pytest.raises(TickmakerError) as raised:
        load(write(changed(old, new)))
    assert remedy in raised.value.remedy


def test_an_address_is_shown_without_what_may_be_secret(write: Write) -> None:
    for bad in ("htp://me:hush@host/hush?key=hush", "hush", "hush/hush"):
        with pytest.raises(TickmakerError) as raised:
            load(write(changed("http://127.0.0.1:7001", bad)))
        assert raised.value.exit_code == EXIT_USAGE
        assert "account[1].rest_url" in raised.value.what
        assert "hush" not in str(raised.value)
