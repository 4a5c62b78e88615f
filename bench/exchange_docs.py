"""docs/exchange.md: what each venue's face answers, from the tables that it answers by.

python -m bench.exchange_docs           writes the page
"""

from collections.abc import Iterable
from pathlib import Path

from engine.exchange.binance.base import BinanceFace
from engine.exchange.bybit.face import Bybit
from engine.exchange.stack import VENUES, agent_markets, make_core, make_face

PAGE = Path(__file__).resolve().parents[1] / "docs" / "exchange.md"
TITLES = {"binance_usdm": "Binance USD-M", "binance_spot": "Binance spot", "bybit": "Bybit v5"}
STREAMS = {
    "binance_usdm": "`/public` `/market` (`/stream?streams=…`, `/ws/…`): `@depth`"
    " `@depth@500ms|100ms|0ms` `@depth5|10|20` `@bookTicker` `!bookTicker` `@trade` `@aggTrade`"
    " `@markPrice[@1s]` `@kline_…` `@ticker` `@miniTicker`; `/private/ws?listenKey=…`:"
    " ORDER_TRADE_UPDATE, ACCOUNT_UPDATE, TRADE_LITE, ALGO_UPDATE, ACCOUNT_CONFIG_UPDATE,"
    " listenKeyExpired",
    "binance_spot": "`/ws/…` `/stream?streams=…`: `@depth[@100ms]` `@depth5|10|20[@100ms]`"
    " `@bookTicker` `@trade` `@aggTrade` `@kline_…` `@ticker` `@miniTicker` `@avgPrice`;"
    " user data over the WebSocket API: executionReport, outboundAccountPosition",
    "bybit": "`/v5/public/linear|spot`: `orderbook.1|50|200|1000.…` `publicTrade.…` `tickers.…`"
    " `kline.…`; `/v5/private`: `order` `execution` `execution.fast` `position` `wallet` `dcp.…`;"
    " `/v5/trade`: order.create, amend, cancel and their batches",
}
HEAD = """# The local exchange

    tickmaker exchange --venue binance_usdm|binance_spot|bybit

A process that speaks a venue's own protocol on loopback: REST, public and private streams, order
entry, signatures, filters, rate limits and their headers, error codes and texts, key permissions
and deletion. Unmodified ccxt, ccxt.pro, python-binance and pybit trade on it with nothing changed
but URLs (`make clients` fetches them, `tests/ccxt` runs them).

It says where it is when it is ready; with `--json` in one line: `venue`, `rest_url`, `ws_url` by
kind of stream, `admin_url`, `accounts` (two, each with two trading keys in `keys` and an Ed25519
key), `management` (a key that deletes keys and can't trade) and, with `--tls`, `ca_file`. Keys are
constants of `--seed`; they open nothing else.

| it trades | how | more |
|---|---|---|
| agents (the default) | one price-time priority book of everybody's orders | [exchange_agents.md](exchange_agents.md) |
| `--tape FILE ...` | recorded frames as they were; own orders by their place in the queue | [exchange_tape.md](exchange_tape.md) |
| with `--faults FILE` | what goes wrong, when | [faults.md](faults.md) |
| in virtual time | `tickmaker sim`: the engine beside it, thousands of schedules an hour | [sim.md](sim.md) |

## The admin port

Never the venue's own, without TLS, for the operator and for checkers. It shows no key.

| request | answer |
|---|---|
| `GET /health` | alive, and for how long |
| `GET /state` | accounts with balances, positions and open orders; markets; connections; counters (`bugs` must be 0; they end the process with a 1) |
| `GET /truth?after=N&limit=M` | the append-only log of what really happened: orders, fills, money, funding, keys, settings, dead-man switches, instruments, faults (`--truth FILE` writes it to a file, after a line of kind `run`). At most 10,000 rows; headers: `Truth-Next` is the `N` to go on with, `Truth-First` the first record still kept (the last 1,000,000; beside a file 100,000), `Truth-Length` how many there ever were |
| `GET /book?symbol=S&limit=N` | the book and its update id |
| `GET /faults`, `POST /fault` | faults that are alive; begin one now |
| `POST /command` | `SetState`, `SetTick`, `Shock`, `ResetSequence`, `SetRefusals`, `SetKey` (`UpdateKey`), `Place` (an order of an account's, past the rate limits) of `engine/exchange/commands.py` |

## What a venue has, and what not

Each account trades in one-way position mode, cross margin, one margin asset; nobody is liquidated,
nothing can be withdrawn. SBE streams and the venues' non-trading endpoints are not there: they
answer as an unknown path does. Order lists (OCO, OTO, OPO) are refused on spot in the words that
the venue has for a symbol that doesn't allow them, and nobody has any. A change to hedge mode is
refused as if orders or a position stood in its way (USD-M -4067, -4068). Bybit's take profit and
stop loss fields, and spot's `tpslOrder`, which occupies assets before it triggers, are refused
(`StopOrder` works). An order that the venue would refuse is refused with the venue's code and text;
where the documents leave one open it is marked `unverified` in the code. Rate limits are the
venue's; `--limit-factor N` makes room for load tests.
"""


def page() -> str:
    parts = [HEAD]
    for venue in VENUES:
        core = make_core(venue, agent_markets(venue, ["BTCUSDT"], 1, 0), 1)
        face = make_face(venue, core)
        parts.append(f"\n### {TITLES[venue]}\n\nStreams: {STREAMS[venue]}.\n")
        if isinstance(face, BinanceFace):
            parts.append(_routes(face.routes()))
            methods = ", ".join(f"`{name}`" for name in sorted(face.methods()))
            parts.append(f"\nWebSocket API: {methods}, and `session.*` where the venue has it.\n")
        elif isinstance(face, Bybit):
            parts.append(_routes(face.routes()))
    return "".join(parts)


def _routes(routes: Iterable[tuple[str, str]]) -> str:
    verbs: dict[str, list[str]] = {}
    for method, path in routes:
        verbs.setdefault(path, []).append(method)
    rows = [f"| `{path}` | {', '.join(sorted(verbs[path]))} |" for path in sorted(verbs)]
    return "\n".join(["\n| REST | |\n|---|---|", *rows, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
