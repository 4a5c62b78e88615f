"""docs/run.md, made of the tables that a configuration is read with.

python -m bench.run_docs            writes it
"""

import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bench.risk_docs import table
from engine.config import AccountLimits, Halts, InstrumentLimits
from engine.config_tables import WS_KINDS, FileTable
from engine.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_KILLED,
    EXIT_OK,
    EXIT_UNSAFE,
    EXIT_USAGE,
)  # fmt: skip
from engine.gateway.parent import STEP_BUILT, STEP_LOOKED_BACK
from fastcore.account import LIMITS
from fastcore.halts import SETTINGS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "run.md"
EXAMPLES = "deploy/examples"

# Steps of a start-up as the engine names them, each with what it sees to. A test looks for each of
# the names in engine/live and gateway/parent.
STEPS = {
    "account locked": "no other engine of this host runs on it (`state_dir`), or with its "
    "key, whatever the account is called there (`$XDG_STATE_HOME/tickmaker/locks`)",
    "clock in step with the venue": "the offset of the venue's clock, for every signature",
    "instrument filters read": "tick, lot, sizes, limits; one that is not traded ends it",
    "fees read": "the configuration reckons with no less than the venue takes",
    "key rights checked": "a key that may withdraw, or is bound to no address, is refused",
    "account set up": "one-way and single-asset mode; margin, leverage, STP and fee asset as "
    "`wanted`; what is asked to be set is a line of its own before it, such as *one-way "
    "positions*",
    STEP_LOOKED_BACK: "where that run's ledger ended, torn or not",
    STEP_BUILT: "one core and journal an instrument",
    "opening position known": "by our own ledger; of an instrument's first run by the venue, "
    "within `position_lots_max`: on spot it is the whole wallet",
    "USER connection up": "what happens from here on is heard",
    "orders of the run before can't arrive any more": "after a kill: at most `recv_window_ms`",
    "leftover orders cancelled": "ours of earlier runs, in instruments that are not named any "
    "more, too; strangers' where `strangers` says so",
    "account agreed with the venue": "fills missed are booked; position and orders are equal",
    "balances read": "for the ledger",
    "dead-man switch armed": "and confirmed; where the venue has one. Set anew at Bybit it takes "
    "10 s to work, and quotes wait for that",
    "TRADE connection up": "logged on where the venue has that",
    "MARKET connection up": "`feeds` of each",
    "book synced": "two-sided and without a gap",
}
EXITS = {
    EXIT_OK: "all as asked, an end by Ctrl-C among it; `check`: it can be kept",
    EXIT_FAILED: "it failed: a venue that did not answer, orders that could not be proved gone, a "
    "position at the end that nothing explains",
    EXIT_USAGE: "the command line or the configuration; `check`: it can't be kept",
    EXIT_UNSAFE: "refused as unsafe: a production address, a key that others can read or that may "
    "withdraw, an account that another engine holds",
    EXIT_KILLED: "the run ended latched, or its engine was killed",
    EXIT_INTERRUPTED: "interrupted before anything was begun",
}
TEXT = """\
# Running an engine

*Made by `python -m bench.run_docs`; a test compares. Edit `bench/run_docs.py`, or the descriptions
in `engine/config_tables.py`.*

```
tickmaker check CONFIG [--offline] [--json]   would it start, and can it be kept? changes nothing
tickmaker run CONFIG [--paper] [--for 1h] [--json]   trade, until it is told to stop
tickmaker halt RUN | resume RUN | params RUN name=value
```

`RUN` is the run's folder. One process trades any number of instruments on any number of accounts
at Binance USD-M futures, Binance spot and Bybit (linear, spot). Whether at the local exchange or
at a venue's testnet or demo is a matter of addresses and keys in one TOML file. **Addresses of
production are refused** (exit code {unsafe}) until a guardian process runs beside the engine; one
that is not known as a test counts as production.

## The first run

```
cd {examples}
tickmaker exchange --venue binance_usdm --symbols BTCUSDT --rest-port 7001 --ws-port 7002 \\
    --json > usdm.json &
until [ -s usdm.json ]; do sleep 1; done
tickmaker check local_binance_usdm.toml
tickmaker run local_binance_usdm.toml --for 1m
```

`{examples}` has a file for each venue, local and testnet, one of two venues and three
instruments, and one that makes on one venue and hedges on two others. Copy the nearest.

**When the local exchange starts anew, delete `state/`**: it begins with empty accounts, while the
file there says what this account held at the end of its last run. The engine believes its own
ledger, finds that the venue has something else, and stands aside with a *divergence* for as long
as that is not explained. Of a real venue's account, never delete it without having compared both.

## On paper

`tickmaker run CONFIG --paper` trades on the live feed of the configuration's addresses with
simulated fills. For each account a local exchange runs as a process of its own: it connects to the
venue's public market data, serves the engine the venue's own frames as they arrive, byte for byte,
takes instruments and their rules from the venue's public REST, and matches the engine's orders by
their place in the queue (docs/exchange_tape.md) with the fees of the file. The engine is the same:
same code, same wire protocol, but on loopback and with keys made up for the run.

- **No order can reach the venue**: every address that the engine has is this host's, and anything
  else is refused (exit code {unsafe}); what asks the venue can't sign. So the addresses may be
  production's, whose public data alone are read. No credential is needed, and none is read.
- **Fills** happen where the live market trades at our place in the queue, or through our price;
  orders that take meet the depth that is shown. The live market never feels us. No funding is
  paid.
- **The feed goes**: at the first doubt (connection lost, a gap, silence while the venue's REST
  book moves) the engine's market data end, its instruments close, and it halts by its own rules,
  until every book is whole again. What rested meanwhile fills where the market then is beyond it.
- **The account** begins every run flat: of the quote asset twice its `exposure_e8_max` (at least
  100,000), of a spot instrument's base asset half of `position_lots_max`, which a
  `[[hedge]]` over it must have as its `target`. `state_dir` is not touched: no real run takes a
  paper position for its own.
- `kind` is `paper` in config.json, the ledger (`meta`) and the report; `paper-ACCOUNT.jsonl` in
  the run folder holds what really happened at the paper exchange.

## How a configuration is written

- **Every limit is required**, and so is every setting but those marked optional. A strategy's
  `params` do have defaults (docs/strategies.md): those in force are shown at the start, and are in
  config.json and in the ledger (`v_params`). A key that is not known,
  a value of the wrong kind, a name that is there twice: the file is refused at the first of them,
  by line and key, with the nearest right name.
- `[[account]]` and `[[instrument]]` are there once for each; `[account.limits]` belongs to the
  account above it, `[instrument.limits]` to the instrument above it. `[[hedge]]` may be there, any
  number of times (docs/router.md).
- Relative paths are the file's own folder's.
- Limits can't be changed while it runs, strategy parameters can (`tickmaker params`).
- **Exposure** is bounded three times: an instrument's `limits`, its account's `[account.limits]`
  over all its instruments, and `[budget]` over all accounts, whose sum it may not pass.
- `credential` is one of three, and never a key itself:
  `{{ key_file = "FILE" }}`, a TOML file with `api_key` and `secret` which nobody but its owner can
  read (`chmod 600`); `{{ env_key = "NAME", env_secret = "NAME" }}`; and, of the local exchange,
  `{{ exchange_json = "FILE", account = 0 }}`. An Ed25519 key's PEM is a `secret`, too.
- Addresses of other machines are `https://` and `wss://`. `ws_url` has these kinds:

{kinds}

{keys}

## Can it be kept?

`tickmaker check` adds up what the file asks for and holds it against what there is: orders and
messages of instruments against their account's, the account's against the venue's; a cancel for
every order that may be open; the weight of comparisons, clock and dead-man switch against the
address's; and what it costs when every connection is lost at once, in weight, minutes and
connections. Of a `[[hedge]]`: one base and one quote asset, a band and slices that an order fits
into, places whose limits hold as much as its makers' can leave open (spot can't go short), and one
`at_shutdown`. What can't be kept is a problem, with what to change, and exit code {usage}. Without
`--offline` it asks the venues as a start-up would, with the keys, and says what they told;
settings of the account are left as they are. With it, no key is read, and limits are the
documented ones.

The order capacity that a venue leaves each instrument is a row of its own: 200 instruments on one
account of Binance USD-M share 1,200 orders a minute, so each may place one in ten seconds. `run`
refuses what `check --offline` calls a problem, before anything is connected.

A start weighs as well: of 200 instruments of Binance USD-M about 5,600, of 2,400 a minute (trades
of each twice, its dead-man switch, its snapshot), so it takes four minutes, and a reconnect of
everything two. Where a venue counts an account's calls by the second (Bybit) they are spaced,
cancels too: what comes sooner would be refused. Orders of ours among a stranger's go by id there,
20 a second (spot 40); alone, one call a symbol ends them all.

Snapshots of Binance's books weigh by their levels: up to 30 instruments of an address get 1,000
levels each, 200 get 50 (spot 100), so that all are there at once. Where the touch nears the last
level of such a snapshot the book is built anew, for which quotes are pulled for a moment.

## Start-up

In this order, each told as it ends (`{{"event":"step","name":...,"ms":...,"account":...}}`), each
with a deadline. Nothing is quoted before the last of them.

{steps}

## While it runs

`run` shows a line an instrument, or every ten seconds, without a terminal, how many are *quoting*:
an order of ours rests. Of the others it says why not: the reasons that pull their quotes, or `NO
QUOTE RESTS` and what the gate denies (docs/gate.md). Where a limit denies all the time there is a
warning; `check` tells beforehand of quoting that is faster than the limits last, and of params
that the limits never let through (`tickmaker params` refuses those, too).

The state of an instrument is RUNNING, or the reasons for which it stands aside, joined by `+`;
docs/halts.md has each, with what raises and what clears it. It is RECONCILING at the start and
after a private connection was lost: orders of ours are cancelled, then orders, trades and position
are read, and what we missed is booked, until both sides say the same. An order whose fate is not
known counts in full, is asked for by its client id, is never sent again under another, and nothing
is ever closed to make figures agree. What nothing explains is a *divergence*: told with both
numbers, kept in the ledger, and the instrument stays halted until it is explained.

`strangers` says what is done about what is not ours: `leave` lives with it (fills are booked, and
the position is theirs and ours), `cancel` pulls their resting orders, `halt` stops until a person
has looked.

## Shutdown

On SIGTERM, SIGINT (Ctrl-C), at the end of `--for`: quotes are pulled; the venue itself is asked
until it says that no order of ours is open; `at_shutdown = "flatten"` then closes positions,
`"keep"` leaves them to the next run; last fills are booked and compared, the dead-man switch is
disarmed, the journal closed and the report written. What could not be proved, or a position that
nothing explains, is told, and is exit code {failed}; last fills that the venue did not tell in
time are a warning, and the next start reads them. Once quotes are pulled no hedge leaves any more:
what that leaves open is told, and the next run goes on from there.

Flattening sends immediate-or-cancel orders of at most `qty_lots_max`, no further from the mid than
0.5 % or `price_collar_ticks`, whichever is nearer, round by round until the venue says that it is
done. Futures are closed to nothing, whoever opened them, reduce-only. Spot goes back to what the
account held when the run began: what the run bought is sold, never more than is held, and what it
sold is bought back; fees that were taken in the base asset stay taken, and what is too small for
an order stays, with a warning. The core sends the orders, so that they are the run's intents; REST
does where it can't (no book, TRADE lost, buying back on spot).

## Exit codes

{exits}
"""


def page() -> str:
    return TEXT.format(
        examples=EXAMPLES, unsafe=EXIT_UNSAFE, usage=EXIT_USAGE, failed=EXIT_FAILED,
        kinds=table(("venue", "ws_url"), [
            (f"`{venue}`", ", ".join(f"`{kind}`" for kind in kinds))
            for venue, kinds in WS_KINDS.items()
        ]),
        keys="\n\n".join(_sections(FileTable, "", "")),
        steps=table(("step", "sees to"), [(name, text) for name, text in STEPS.items()]),
        exits=table(("code", "meaning"), [(str(code), text) for code, text in EXITS.items()]),
    )  # fmt: skip


# -- THE KEYS ---


def _sections(model: type[BaseModel], name: str, about: str) -> Iterator[str]:
    """A section a table of the file, outer ones first."""
    rows, inner = [], []
    for key, field in model.model_fields.items():
        nested = _nested(field.annotation)
        is_list = get_origin(field.annotation) is list
        if nested is not None:
            path = f"{name}.{key}" if name else key
            inner.append((nested, f"[[{path}]]" if is_list else f"[{path}]", path,
                          field.description or ""))  # fmt: skip
        else:
            rows.append((f"`{key}`", _kind(field), _meaning(model, key, field)))
    title = f"### `{about}`" if about else "### The file's own keys"
    text = (model.__doc__ or "").strip()
    yield f"{title}\n\n{re.sub(chr(10) + ' +', chr(10), text)}\n\n" + table(
        ("key", "value", "meaning"), rows
    )
    for nested, header, path, _ in inner:
        yield from _sections(nested, path, header)


def _nested(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) is list:
        annotation = get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _meaning(model: type[BaseModel], key: str, field: FieldInfo) -> str:
    if model is InstrumentLimits:
        return LIMITS[key][2]
    if model is AccountLimits:
        return LIMITS[f"account_{key}"][2]
    if model is Halts:
        return SETTINGS[key][2]
    return field.description or ""


def _kind(field: FieldInfo) -> str:
    """What may stand there, and whether it must."""
    is_optional = not field.is_required()
    bounds = {type(bound).__name__: bound for bound in field.metadata}
    parts = [_type(field.annotation)]
    for name, word in (("Ge", "from"), ("Gt", "over"), ("Le", "to"), ("Lt", "under")):
        if name in bounds:
            parts.append(f"{word} {getattr(bounds[name], name.lower()):,}")
    return " ".join(parts) + (", optional" if is_optional else "")


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return _type(next(a for a in arguments if a is not type(None)))
    if origin is list:
        return f"list of {_type(arguments[0])}"
    names = {int: "whole number", float: "number", bool: "true, false", str: "text"}
    return names.get(annotation, "table")


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"docs/{PAGE.name}")


if __name__ == "__main__":
    main()
