"""The operator's end of the exchange, on a port of its own: state, truth, books, faults, commands.

Sans-IO: `answer(method, target, body, t_ns)`. A checker reads what really happened here and never
through the venue's protocol; no answer holds a key or a secret.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from engine.errors import TickmakerError
from engine.exchange.commands import SetState
from engine.exchange.core import Core
from engine.exchange.events import Refused
from engine.exchange.face import Action, Tick
from engine.exchange.faults import Faulty
from engine.exchange.faults_file import parse_fault
from engine.exchange.operations import BadRequestError, command_of
from engine.exchange.truth import Record, record_fields

TRUTH_ROWS_MAX = 10_000
TRUTH_ROWS_A_TURN = 100  # two milliseconds or so
BOOK_LEVELS_MAX = 5_000
JSON, LINES = "application/json", "application/x-ndjson"
PATHS = {
    ("GET", "/health"): "is it well",
    ("GET", "/state"): "accounts, open orders, positions, markets, connections, counters",
    ("GET", "/truth"): "?after=NUMBER&limit=N: what happened, one JSON object a line",
    ("GET", "/book"): "?symbol=KEY&limit=N: the book with its update id",
    ("GET", "/faults"): "the schedule, what lives now, hits",
    ("POST", "/fault"): 'begin one now: {"kind":"drop","for":"2s"}',
    ("POST", "/command"): '{"command":"SetState","symbol":KEY,"state":"HALTED"}',
}


class AdminAnswer(NamedTuple):
    status: int
    body: str
    content_type: str = JSON
    actions: tuple[Action, ...] = ()  # what clients hear of it
    headers: tuple[tuple[str, str], ...] = ()
    more: Iterator[str] | None = None  # of the body: a piece a turn, so that nobody waits for it


class Admin:
    """`facts`: what only the mover knows (connections, counters), JSON-able."""

    def __init__(self, faulty: Faulty, facts: Callable[[], dict[str, Any]]) -> None:
        self._faulty = faulty
        self._facts = facts
        self._on: dict[tuple[str, str], Callable[[dict[str, str], str, int], AdminAnswer]] = {
            ("GET", "/health"): self._health,
            ("GET", "/state"): self._state,
            ("GET", "/truth"): self._truth,
            ("GET", "/book"): self._book,
            ("GET", "/faults"): self._faults,
            ("POST", "/fault"): self._fault,
            ("POST", "/command"): self._command,
        }
        assert self._on.keys() == PATHS.keys()

    @property
    def _core(self) -> Core:
        return self._faulty.core

    def answer(self, method: str, target: str, body: str, t_ns: int) -> AdminAnswer:
        """Never raises for anything that a client can send."""
        path, _, query = target.partition("?")
        handler = self._on.get((method, path.rstrip("/") or "/"))
        if handler is None:
            known = {f"{method} {path}": what for (method, path), what in PATHS.items()}
            return _json({"error": f"no {method} {path} here", "paths": known}, 404)
        try:
            return handler(dict(parse_qsl(query)), body, t_ns)
        except BadRequestError as error:
            return _json({"error": str(error)}, 400)
        except TickmakerError as error:
            return _json({"error": error.what, "remedy": error.remedy}, 400)

    # -- READ ---

    def _health(self, query: dict[str, str], body: str, t_ns: int) -> AdminAnswer:
        facts = self._facts()
        is_well = not facts["counters"]["bugs"]
        return _json({"ok": is_well, "venue": self._faulty.name, "t_ns": t_ns, **facts})

    def _state(self, query: dict[str, str], body: str, t_ns: int) -> AdminAnswer:
        core = self._core
        state = {
            "venue": self._faulty.name,
            "t_ns": t_ns,
            "skew_ns": self._faulty.skew_ns,
            "accounts": [self._account(index) for index in range(len(core.accounts))],
            "markets": {symbol: self._market(symbol) for symbol in core.markets},
            "truth_length": len(core.truth),
            "truth_first": core.truth.first,
            "faults_live": [live.fault.kind for live in self._faulty.live.values()],
            **self._facts(),
        }
        return _json(state)

    def _account(self, index: int) -> dict[str, Any]:
        core, account = self._core, self._core.accounts[index]
        return {
            "name": account.name,
            "balances_e8": account.balances,
            "locked_e8": account.locked,
            "positions": {
                symbol: {"lots": p.lots, "cost": p.cost, "realized_e8": p.realized_e8}
                for symbol, p in account.positions.items()
            },
            "keys_alive": len(core.keyring.of_account(index)),
            "open_orders": [
                {
                    "order_id": order.order_id,
                    "client_order_id": order.client_order_id,
                    "symbol": order.symbol,
                    "side": order.side.name,
                    "px_ticks": order.px_ticks,
                    "qty_lots": order.qty_lots,
                    "cum_lots": order.cum_lots,
                }
                for symbol in core.markets
                for order in core.open_orders(index, symbol)
            ],
            "open_triggers": sum(len(core.open_triggers(index, s)) for s in core.markets),
        }

    def _market(self, symbol: str) -> dict[str, Any]:
        market = self._core.markets[symbol]
        bid, bid_lots, ask, ask_lots = market.touch()
        instrument = market.instrument
        return {
            "state": self._core.state(symbol).name,
            "update_id": market.snapshot(1).update_id,
            "touch": {"bid": bid, "bid_lots": bid_lots, "ask": ask, "ask_lots": ask_lots},
            "last_px_ticks": market.last_px_ticks(),
            "mark_px_ticks": self._core.mark_px_ticks(symbol),
            "tick": str(instrument.px.step),
            "lot": str(instrument.qty.step),
        }

    def _truth(self, query: dict[str, str], body: str, t_ns: int) -> AdminAnswer:
        """`after`: the number of the last record that the reader has; -1, or nothing: none. The
        headers tell the first record that is still kept, how many there ever were, and with which
        `after` to go on."""
        after = _whole(query, "after", -1, -1)
        limit = min(_whole(query, "limit", TRUTH_ROWS_MAX, 1), TRUTH_ROWS_MAX)
        truth = self._core.truth
        rows = list(truth.since(after + 1, limit))
        headers = (
            ("Truth-First", str(truth.first)),
            ("Truth-Length", str(len(truth))),
            ("Truth-Next", str(rows[-1][0] if rows else max(after, truth.first - 1))),
        )
        pieces = _pieces(rows)
        return AdminAnswer(200, next(pieces, ""), LINES, headers=headers, more=pieces)

    def _book(self, query: dict[str, str], body: str, t_ns: int) -> AdminAnswer:
        symbol = query.get("symbol", "")
        if symbol not in self._core.markets:
            raise BadRequestError(f"symbol: one of {', '.join(self._core.markets)}")
        count = min(_whole(query, "limit", 20, 1), BOOK_LEVELS_MAX)
        market = self._core.markets[symbol]
        update_id, bids, asks = market.snapshot(count)
        px, qty = market.instrument.px, market.instrument.qty
        return _json(
            {
                "symbol": symbol,
                "update_id": update_id,
                "bids": [[px.text(level[0]), qty.text(level[1])] for level in bids],
                "asks": [[px.text(level[0]), qty.text(level[1])] for level in asks],
            }
        )

    def _faults(self, query: dict[str, str], body: str, t_ns: int) -> AdminAnswer:
        faulty = self._faulty
        return _json(
            {
                "seed": faulty.schedule.seed,
                "schedule": [fault.model_dump() for fault in faulty.schedule.fault],
                "live": [
                    {"number": live.number, "end_ns": live.end_ns, **live.fault.model_dump()}
                    for live in faulty.live.values()
                ],
                "refused": [
                    {"number": number, "why": why} for number, why in faulty.refusals.items()
                ],
                "hits": dict(faulty.hits),
            }
        )

    # -- WRITE ---

    def _fault(self, query: dict[str, str], body: str, t_ns: int) -> AdminAnswer:
        fault = parse_fault(_document(body))
        symbol = getattr(fault, "symbol", "")
        if symbol and symbol not in self._core.markets:
            raise BadRequestError(f"symbol: one of {', '.join(self._core.markets)}")
        number = self._faulty.start(fault, t_ns)
        actions = tuple(self._faulty.step(Tick(), t_ns))
        if refusal := self._faulty.refusals.get(number):
            return _json({"refused": refusal, "number": number}, 409)._replace(actions=actions)
        return _json({"started": number})._replace(actions=actions)

    def _command(self, query: dict[str, str], body: str, t_ns: int) -> AdminAnswer:
        command = command_of(_document(body), self._core)
        if isinstance(command, SetState):
            self._faulty.operator_sets(command.symbol)
        answer = self._core.operate(command, t_ns)
        if isinstance(answer, Refused):
            return _json({"refused": answer.reason.name, "why": answer.reason.value}, 409)
        actions = tuple(self._faulty.step(Tick(), t_ns))
        return AdminAnswer(200, json.dumps({"done": type(command).__name__}), JSON, actions)


def _pieces(rows: Sequence[tuple[int, Record]]) -> Iterator[str]:
    for start in range(0, len(rows), TRUTH_ROWS_A_TURN):
        turn = rows[start : start + TRUTH_ROWS_A_TURN]
        yield "".join(json.dumps(record_fields(*row)) + "\n" for row in turn)


def _document(body: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequestError("the body is no JSON") from None
    if not isinstance(document, dict):
        raise BadRequestError("the body is no JSON object")
    return document


def _whole(query: dict[str, str], name: str, default: int, least: int) -> int:
    text = query.get(name, str(default))
    try:
        value = int(text)
    except ValueError:
        raise BadRequestError(f"{name}: a whole number, not {text!r}") from None
    if value < least:
        raise BadRequestError(f"{name}: at least {least}")
    return value


def _json(document: dict[str, Any], status: int = 200) -> AdminAnswer:
    return AdminAnswer(status, json.dumps(document) + "\n")
