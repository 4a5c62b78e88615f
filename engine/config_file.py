"""The TOML file of a live engine, read into an EngineConfig: docs/run.md lists every key.

Every limit is required; nothing that money hangs on has a default. The file is refused at the
first thing that is wrong in it, by line and key. Addresses of production are refused, whatever
else the file says.
"""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import ValidationError

from engine.config import (
    AccountConfig,
    CoreConfig,
    EngineConfig,
    InstrumentConfig,
    Limits,
    WantedAccount,
    ws_url_of,
)  # fmt: skip
from engine.config_hedge import hedges
from engine.config_tables import WS_KINDS, AccountTable, FileTable
from engine.config_text import Sought, dotted, first_error, line_numbers, nearest
from engine.credentials import (
    Credential,
    from_environment,
    from_file,
    from_ready_line,
    ready_line,
)  # fmt: skip
from engine.errors import EXIT_UNSAFE, EXIT_USAGE, TickmakerError
from engine.strategies import named
from engine.venues import hosts
from fastcore.strategy import BUILTINS

_BYTES_MAX = 8 << 20  # a thousand instruments have two of them
_MASK_SEED_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """`config.run_dir` is `runs_dir` until a run folder is made:
    `loaded.config.model_copy(update={"run_dir": run_dir})`."""

    config: EngineConfig
    runs_dir: Path
    credentials: Mapping[str, Credential] = field(repr=False)  # by account's name


def load_config(
    path: Path, *, run_tag: str, mask_seed: int, with_credentials: bool = True,
    environment: Mapping[str, str] = os.environ, is_paper: bool = False,
) -> LoadedConfig:  # fmt: skip
    """The configuration of the TOML file `path`; TickmakerError names line and key.

    `run_tag` and `mask_seed` are the run's, drawn by the caller. Relative paths are the file's.
    `is_paper`: only public data are read of its addresses, so that they may be production's.
    """
    text, document = _document(path)
    sought = Sought(path, line_numbers(text))
    try:
        table = FileTable.model_validate(document)
    except ValidationError as e:
        raise first_error(e, FileTable, sought) from None
    folder = path.absolute().parent
    _check_names(table, sought)
    _check_budget(table, sought)
    accounts, credentials = [], {}
    for index, account in enumerate(table.account):
        kinds = _kinds(table, account)
        where = _Where(("account", index), sought, folder, kinds, is_paper)
        made, credential = _account(account, where, environment, with_credentials)
        accounts.append(made)
        if credential is not None:
            credentials[account.name] = credential
    runs_dir = _resolved(folder, table.runs_dir)
    instruments = tuple(
        _instrument(table, number, sought, folder, run_tag, mask_seed)
        for number in range(len(table.instrument))
    )
    config = EngineConfig(
        name=table.name, run_dir=runs_dir, state_dir=_resolved(folder, table.state_dir),
        poll=table.poll, cpu=table.cpu, journal_bytes_max=table.journal_bytes_max,
        budget=table.budget, accounts=tuple(accounts), instruments=instruments,
        hedges=hedges(table, instruments, sought),
    )  # fmt: skip
    return LoadedConfig(config, runs_dir, credentials)


def config_sha256(config: EngineConfig) -> str:
    """Of the whole configuration, as canonical JSON: for the run folder's config.json."""
    return _sha256(config.model_dump(mode="json"))


def limits_sha256(config: EngineConfig) -> str:
    """Of what may never change while it runs: limits, halts, stops, latency budgets, the
    process's exposure, and hedges where there are any. Equal limits of two runs have equal
    hashes."""
    guards = {"limits", "halts", "stops", "budgets"}
    hedged = [one.model_dump(mode="json") for one in config.hedges]
    return _sha256(({"hedges": hedged} if hedged else {}) | {
        "budget": None if config.budget is None else config.budget.model_dump(),
        "instruments": {
            instrument.key: instrument.core.model_dump(mode="json", include=guards)
            for instrument in config.instruments
        },
    })  # fmt: skip


def _sha256(document: Any) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


# -- THE FILE ---


def _document(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        with path.open("rb") as file:
            data = file.read(_BYTES_MAX + 1)
        if len(data) > _BYTES_MAX:  # a part of it might be a whole configuration
            raise ValueError(f"it has more than {_BYTES_MAX:,} bytes")
        text = data.decode("utf-8-sig")  # some editors mark their files
        return text, tomllib.loads(text)
    except OSError as e:
        raise TickmakerError(
            f"Can't read the configuration {path}: {e.strerror}",
            "deploy/examples has some to start from.",
            EXIT_USAGE,
        ) from None
    except (ValueError, RecursionError) as e:
        raise TickmakerError(
            f"{path} is no TOML: {e}", "Correct it; https://toml.io has the grammar.", EXIT_USAGE
        ) from None


def _resolved(folder: Path, text: str) -> Path:
    return folder / Path(text).expanduser()


def _check_names(table: FileTable, sought: Sought) -> None:
    """No account twice, no instrument twice, no account without one, none unknown."""
    names = [account.name for account in table.account]
    _check_once("account", [(name,) for name in names], "name", sought)
    for index, instrument in enumerate(table.instrument):
        if instrument.account not in names:
            raise sought.error(
                ("instrument", index, "account"), f"there is no account {instrument.account!r}",
                f"Accounts here: {', '.join(names)}.",
            )  # fmt: skip
    keys = [(i.account, i.category or "", i.symbol) for i in table.instrument]
    _check_once("instrument", keys, "symbol", sought)
    for index, name in enumerate(names):
        if all(instrument.account != name for instrument in table.instrument):
            raise sought.error(
                ("account", index, "name"), f"account {name!r} trades nothing",
                "Add an [[instrument]] of it, or take the account out.",
            )  # fmt: skip


def _check_once(kind: str, keys: Sequence[tuple[str, ...]], at: str, sought: Sought) -> None:
    for index, key in enumerate(keys):
        if (first := keys.index(key)) < index:
            raise sought.error(
                (kind, index, at), f"{kind} {' '.join(filter(None, key))} is there twice",
                f"The first is at {sought.at((kind, first, at))}.",
            )  # fmt: skip


def _check_budget(table: FileTable, sought: Sought) -> None:
    """What accounts may hold adds up, whatever each of them does."""
    total_e8 = sum(account.limits.exposure_e8_max for account in table.account)
    if total_e8 > table.budget.exposure_e8_max:
        raise sought.error(
            ("budget", "exposure_e8_max"),
            f"the accounts' limits.exposure_e8_max add up to {total_e8:,}, over the budget of "
            f"{table.budget.exposure_e8_max:,}",
            "Lower theirs, or raise the budget.",
        )


# -- ACCOUNTS ---


class _Where(NamedTuple):
    """An account in its file, and the kinds of ws_url that it needs."""

    key: tuple[str, int]
    sought: Sought
    folder: Path
    kinds: tuple[str, ...]
    is_paper: bool


def _kinds(file: FileTable, account: AccountTable) -> tuple[str, ...]:
    """Bybit has public streams by category: those of the categories that are traded."""
    traded = {i.category for i in file.instrument if i.account == account.name}
    spare = {"linear", "spot"} - traded
    return tuple(kind for kind in WS_KINDS[account.venue] if kind not in spare)


def _account(
    table: AccountTable, where: _Where, environment: Mapping[str, str], with_credentials: bool
) -> tuple[AccountConfig, Credential | None]:
    key, sought, folder = where.key, where.sought, where.folder
    source = _key_source(table, where)
    ready: dict[str, Any] = {}
    is_told = bool(table.rest_url and table.ws_url)
    if source["kind"] == "exchange_json" and (with_credentials or not is_told):
        ready = ready_line(Path(source["exchange_json"]))
        if ready.get("venue") != table.venue:
            raise sought.error(
                (*key, "credential"), f"that exchange is {ready.get('venue')}, not {table.venue}",
                f"Start one with --venue {table.venue}.",
            )  # fmt: skip
    rest_url, ws_url = _urls(table, where, ready)
    ca_file = table.ca_file or ready.get("ca_file")
    account = AccountConfig(
        name=table.name, venue=table.venue, rest_url=rest_url, ws_url=ws_url,
        ca_file=None if ca_file is None else _resolved(folder, ca_file),
        recv_window_ms=table.recv_window_ms, wanted=WantedAccount(**table.wanted.model_dump()),
        strangers=table.strangers, dead_man_s=table.dead_man_s,
        late_per_min_max=table.late_per_min_max, at_shutdown=table.at_shutdown,
        feeds=2 if table.feeds == 2 else 1, credential=source,
    )  # fmt: skip
    if source["kind"] == "exchange_json" and not hosts.is_local(rest_url):
        raise sought.error(
            (*key, "credential"), "exchange_json is for the local exchange only", "Use key_file."
        )
    return account, _credential(source, ready, environment) if with_credentials else None


def _key_source(table: AccountTable, where: _Where) -> dict[str, Any]:
    """One of the three kinds, whole; paths absolute."""
    folder = where.folder
    given = table.credential.model_dump(exclude_none=True)
    names = set(given)
    if names == {"key_file"}:
        return {"kind": "key_file", "key_file": str(_resolved(folder, given["key_file"]))}
    if names == {"env_key", "env_secret"}:
        return {"kind": "env", **given}
    if names == {"exchange_json", "account"}:
        return given | {
            "kind": "exchange_json",
            "exchange_json": str(_resolved(folder, given["exchange_json"])),
        }  # fmt: skip
    raise where.sought.error(
        (*where.key, "credential"),
        "expected one of: key_file; env_key and env_secret; exchange_json and account",
        "Give one of the three, whole.",
    )


def _credential(
    source: Mapping[str, Any], ready: Mapping[str, Any], environment: Mapping[str, str]
) -> Credential:
    if source["kind"] == "key_file":
        return from_file(Path(source["key_file"]))
    if source["kind"] == "env":
        return from_environment(source["env_key"], source["env_secret"], environment)
    return from_ready_line(ready, source["account"], source["exchange_json"])


# -- ADDRESSES ---


def _urls(
    table: AccountTable, where: _Where, ready: Mapping[str, Any]
) -> tuple[str, dict[str, str]]:
    """As given, or as the local exchange said; each of them checked."""
    key, sought, needed = where.key, where.sought, where.kinds
    kinds = WS_KINDS[table.venue]
    told = ws_url_of(ready.get("ws_url", {}))
    rest_url = table.rest_url or ready.get("rest_url", "")
    ws_url = table.ws_url or {kind: told[kind] for kind in kinds if kind in told}
    if not rest_url:
        raise sought.error(key, "rest_url is required", "docs/run.md lists the venues' addresses.")
    for kind in ws_url:  # before a missing one, which it may be misspelt
        if kind not in kinds:
            raise sought.error(
                (*key, "ws_url", kind), f"unknown key ws_url.{kind}",
                nearest(kind, kinds) or f"A {table.venue} account has {', '.join(kinds)}.",
            )  # fmt: skip
    for kind in needed:
        if kind not in ws_url:
            raise sought.error(
                (*key, "ws_url"), f"ws_url.{kind} is required",
                f"This {table.venue} account needs {', '.join(needed)}.",
            )  # fmt: skip
    for kind, url in ws_url.items():
        _check_url((*key, "ws_url", kind), url, ("ws", "wss"), where)
    _check_url((*key, "rest_url"), rest_url, ("http", "https"), where)
    return rest_url, ws_url


def _check_url(
    key: tuple[str | int, ...], url: str, schemes: tuple[str, str], where: _Where
) -> None:
    """`schemes`: the plain one, for loopback only, and the one over TLS. A URL may hold a secret:
    no more than its host is shown."""
    plain, tls = schemes
    sought = where.sought
    try:
        parts, host = urlsplit(url), hosts.host_of(url)
        _ = parts.port  # ValueError: no number
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in schemes or not host:
        scheme, colon, rest = url.partition("://")
        shown = re.split(r"[/?#]", rest)[0].rpartition("@")[2]
        was = f"{scheme}://{shown}" if colon else "something without ://"
        raise sought.error(
            key, f"{dotted(key)}: expected an address such as {tls}://host, was {was}",
            f"{tls}:// is for other machines, {plain}:// for this one.",
        )  # fmt: skip
    if parts.username is not None or parts.query or parts.fragment:
        raise sought.error(
            key, "an address with a user, a query or a fragment",
            "Credentials belong in [account.credential].",
        )
    if hosts.is_production(url) and not where.is_paper:
        raise TickmakerError(
            f"{sought.at(key)}: {host} is production (or not known as a test), and refused until "
            "a guardian process runs beside the engine",
            "Use the venue's testnet or demo, the local exchange, or run it with --paper.",
            EXIT_UNSAFE,
        )
    if parts.scheme == plain and not hosts.is_loopback(url):
        raise sought.error(key, f"{host} is another machine", f"Use {tls}://.")


# -- INSTRUMENTS ---


def _instrument(
    file: FileTable, number: int, sought: Sought, folder: Path, run_tag: str, mask_seed: int
) -> InstrumentConfig:
    table = file.instrument[number]
    key = ("instrument", number)
    account = next(account for account in file.account if account.name == table.account)
    if (table.category is not None) != (account.venue == "bybit"):
        is_bybit = account.venue == "bybit"
        raise sought.error(
            (*key, "category"), "category is for Bybit's instruments, and required there",
            'One of "linear" and "spot".' if is_bybit else
            f"Take it out: an account at {account.venue} has one category.",
        )  # fmt: skip
    try:
        strategy = named(_strategy_text(folder, table.strategy))
    except TickmakerError as e:
        raise sought.error((*key, "strategy"), e.what, e.remedy) from None
    of_account = {f"account_{name}": value for name, value in account.limits.model_dump().items()}
    venue: Any = account.venue if table.category is None else f"bybit_{table.category}"
    core = CoreConfig(
        venue=venue,
        symbol=table.symbol, number=number, fees=table.fees, run_tag=run_tag,
        strategy=strategy.name, strategy_id=number & 0xFF,
        params=_in_force(strategy.name, table.params),
        signals=table.signals, quoting=table.quoting, stops=table.stops,
        limits=Limits(**table.limits.model_dump(), **of_account), halts=table.halts,
        budgets=table.budgets, recv_window_ms=account.recv_window_ms,
        mask_seed=(mask_seed + number) % _MASK_SEED_MAX + 1,
    )  # fmt: skip
    return InstrumentConfig(account=table.account, strategy_file=strategy.file, core=core)


def _in_force(strategy: str, given: Mapping[str, float]) -> dict[str, float]:
    """A built-in strategy's defaults written out, so that what is in force is told everywhere; of
    one of the user's own that is done where it is compiled. What is wrong stays for the check."""
    declared = BUILTINS[strategy].params if strategy in BUILTINS else ()
    return {param.name: param.default for param in declared} | dict(given)


def _strategy_text(folder: Path, text: str) -> str:
    path, colon, function = text.rpartition(":")
    return f"{_resolved(folder, path)}:{function}" if colon else text
