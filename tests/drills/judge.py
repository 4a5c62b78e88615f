"""Does the ledger hold what happened, exactly? By SQL and the exchange's truth; nothing of the
engine's own belief-making is imported.

What is held against the truth, over all runs of a drill, from the last one back to the first:
- every fill of the account is in the ledgers once, with that side, price, quantity, fee, maker
  flag and, where the run placed it, client id;
- the last run's opening and fills add up to the account's position;
- every order of ours at the venue has its intent in the ledger of the run that its client id
  names, with that side, and was placed there once;
- the last run believes in no open order, and its orders ended as the truth says;
- nothing of ours is open at the venue.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from field import Exchange, Place, is_ours

SIDES = {"BUY": 0, "SELL": 1}
# fastcore.types.OrderState by what a truth record calls it.
STATES = {"FILLED": 5, "CANCELED": 6, "REJECTED": 7, "EXPIRED": 8, "EXPIRED_IN_MATCH": 8}
STRANGER, EARLIER, OURS = 2, 1, 0


class Ledger:
    """One run's."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        path = run_dir / "ledger.sqlite"
        assert path.exists(), f"{run_dir} has no ledger"
        self._db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        self._db.row_factory = sqlite3.Row

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in self._db.execute(query, values)]

    def events(self, kind: str) -> list[dict[str, Any]]:
        found = self.rows("SELECT * FROM engine_events WHERE kind = ? ORDER BY seq", kind)
        return [row | json.loads(row["detail"]) for row in found]

    def close(self) -> None:
        self._db.close()


@dataclass(frozen=True)
class Fill:
    side: int
    px_ticks: int
    qty_lots: int
    fee_e8: int
    fee_asset: str
    is_maker: bool


def compare(
    place: Place, exchange: Exchange, run_dirs: Sequence[Path], *, strangers_open: int = 0
) -> None:
    """AssertionError names each thing that differs. All runs have ended."""
    truth = [
        row for row in exchange.truth()
        if row.get("account") == 0 and row.get("symbol") == place.book
    ]  # fmt: skip
    ledgers = [Ledger(run_dir) for run_dir in run_dirs]
    try:
        problems = [
            *_fills(place, truth, _chain(ledgers)),
            *_positions(place, truth, exchange, ledgers),
            *_orders(place, truth, ledgers),
            *_open(place, exchange, strangers_open),
        ]
    finally:
        for ledger in ledgers:
            ledger.close()
    assert not problems, "\n".join(problems[:20])


def _chain(ledgers: Sequence[Ledger]) -> list[Ledger]:
    """The last run, the one whose end it began with, and so on. A run that was killed before its
    account was agreed on is nobody's beginning: the next one began where that one did."""
    by_name = {ledger.run_dir.name: ledger for ledger in ledgers}
    chain = [ledgers[-1]]
    while told := chain[-1].events("previous_run"):
        chain.append(by_name[Path(told[-1]["run_dir"]).name])
    for void in set(ledgers) - set(chain):
        assert not void.rows("SELECT * FROM orders"), f"{void.run_dir} traded, and nobody knows"
    return chain


# -- FILLS ---


def _fills(
    place: Place, truth: list[dict[str, Any]], ledgers: Sequence[Ledger]
) -> list[str]:
    problems = []
    happened = [row for row in truth if row["kind"] == "fill"]
    booked = [row for ledger in ledgers for row in ledger.rows("SELECT * FROM v_fills")]
    raw = {
        (index, row["seq"]): row
        for index, ledger in enumerate(ledgers) for row in ledger.rows("SELECT * FROM fills")
    }  # fmt: skip
    pairs = Counter((row["trade_id"], row["side"]) for row in raw.values())
    problems += [f"trade {key} is booked {n} times" for key, n in pairs.items() if n > 1]
    true = Counter(_true(row) for row in happened)
    ours = Counter(
        _believed(raw[index, row["seq"]], row["fee_asset_name"])
        for index, ledger in enumerate(ledgers) for row in ledger.rows("SELECT * FROM v_fills")
    )  # fmt: skip
    problems += [f"{n} of {fill} happened and are not booked" for fill, n in (true - ours).items()]
    problems += [f"{n} of {fill} are booked, never happened" for fill, n in (ours - true).items()]
    names = Counter(row["client_order_id"] for row in happened)
    named = Counter(row["client_id"] for row in booked if row["owner"] == "run")
    problems += [
        f"{n} fills of {name} are booked as the run's, {names[name]} happened"
        for name, n in named.items() if n > names[name]
    ]  # fmt: skip
    if not place.is_bybit:  # whose ids are texts, and numbers in the ledger
        ids = Counter((row["trade_id"], SIDES[row["side"]]) for row in happened)
        if ids != pairs:
            problems.append(f"trade ids: {ids - pairs} missing, {pairs - ids} too many")
    strangers = sum(not is_ours(row["client_order_id"]) for row in happened)
    told = sum(row["owner"] == "stranger" for row in booked)
    if told != strangers:
        problems.append(f"{strangers} fills are strangers', {told} are booked so")
    return problems


def _true(row: dict[str, Any]) -> Fill:
    return Fill(
        SIDES[row["side"]], row["px_ticks"], row["qty_lots"], row["fee_e8"], row["fee_asset"],
        bool(row["is_maker"]),
    )  # fmt: skip


def _believed(row: dict[str, Any], asset: str) -> Fill:
    return Fill(
        row["side"], row["px_ticks"], row["qty_lots"], row["fee_e8"], asset,
        bool(row["is_maker"]),
    )  # fmt: skip


# -- POSITION ---


def _positions(
    place: Place, truth: list[dict[str, Any]], exchange: Exchange, ledgers: Sequence[Ledger]
) -> list[str]:
    last = ledgers[-1]
    openings = last.rows("SELECT position_lots FROM openings ORDER BY seq DESC LIMIT 1")
    if not openings:
        return ["the last run has no opening"]
    fills = last.rows("SELECT side, qty_lots, fee_e8, fee_asset FROM fills")
    lots = openings[0]["position_lots"] + sum(
        row["qty_lots"] if row["side"] == 0 else -row["qty_lots"] for row in fills
    )
    account = exchange.account()
    if not place.is_spot:
        held = account["positions"].get(place.book, {"lots": 0})["lots"]
        return [] if held == lots else [f"position: {held} lots are held, the ledger says {lots}"]
    lot = Decimal(exchange.admin("/state")["markets"][place.book]["lot"])
    fees_e8 = sum(row["fee_e8"] for row in fills if row["fee_asset"] == 1)
    held_e8 = account["balances_e8"]["BTC"]
    believed_e8 = lots * int(lot * 10**8) - fees_e8
    # What an earlier run carried below a lot is not in the opening.
    if not 0 <= held_e8 - believed_e8 < int(lot * 10**8):
        return [f"position: {held_e8}e-8 are held, the ledger says {believed_e8}e-8"]
    return []


# -- ORDERS ---


def _orders(
    place: Place, truth: list[dict[str, Any]], ledgers: Sequence[Ledger]
) -> list[str]:
    problems = []
    placed = Counter[str]()
    ended: dict[str, dict[str, Any]] = {}
    for row in truth:
        if row["kind"] == "order" and is_ours(row["client_order_id"]):
            placed[row["client_order_id"]] += row["exec_type"] == "NEW"
            ended[row["client_order_id"]] = row
    rows = {row["client_id"]: row for ledger in ledgers for row in ledger.rows(
        "SELECT client_id, orders.* FROM v_orders JOIN orders USING (intent_id)")}  # fmt: skip
    problems += [f"order {name} was placed {n} times" for name, n in placed.items() if n > 1]
    last = {row["client_id"] for row in ledgers[-1].rows("SELECT client_id FROM v_orders")}
    for name, record in ended.items():
        row = rows.get(name)
        if row is None:
            if not _is_flattening(name):
                problems.append(f"order {name} was at the venue, its intent is in no ledger")
        elif row["side"] != SIDES[record["side"]]:
            problems.append(f"order {name} was a {record['side']}, the ledger says {row['side']}")
        elif name in last and not _ended_so(place, row, record):
            problems.append(
                f"order {name} ended {record['status']} with {record['cum_lots']} lots, the "
                f"ledger says state {row['state']} with {row['cum_qty_lots']}"
            )
    for row in ledgers[-1].rows("SELECT * FROM v_open"):
        problems.append(f"the ledger ends believing in {row['client_id']}: {row['state']}")
    return problems


def _ended_so(place: Place, row: dict[str, Any], record: dict[str, Any]) -> bool:
    state = STATES.get(record["status"])
    ends = {STATES["CANCELED"], STATES["EXPIRED"]}
    if place.is_bybit and {state, row["state"]} == ends:
        state = row["state"]  # it has one word, Cancelled, for both: post-only, a delisting
    return (row["state"], row["cum_qty_lots"]) == (state, record["cum_lots"])


def _is_flattening(client_id: str) -> bool:
    """Orders that close a position at shutdown leave over REST, after the cores."""
    return client_id.split("-")[1] in ("ff", "fe")


def _open(place: Place, exchange: Exchange, strangers: int) -> list[str]:
    rows = [row for row in exchange.open_orders() if row["symbol"] == place.book]
    ours = [row["client_order_id"] for row in rows if is_ours(row["client_order_id"])]
    problems = [f"order {name} is open at the venue" for name in ours]
    if len(rows) - len(ours) != strangers:
        problems.append(f"{len(rows) - len(ours)} strangers' orders are open, not {strangers}")
    return problems
