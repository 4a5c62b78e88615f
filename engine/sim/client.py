"""A seeded scripted client of a venue that the engine does not trade yet, in virtual time.

Both accounts of the exchange place, amend and cancel, in good form and in bad, over REST and over
WebSockets that come and go; faults of the venue as in any schedule, and cuts of the wire. What is
checked is the exchange: its books add up (audit.py), its face never falters, every request is
answered once, and, where no fault may lose them, every fill is reported and every total is told.
"""

import hashlib
import json
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from engine import clock
from engine.exchange.agents.settings import settings_of
from engine.exchange.core import Core
from engine.exchange.face import (
    Action,
    Event,
    HttpAnswer,
    HttpRequest,
    Log,
    Tick,
    WsAccept,
    WsClose,
    WsClosed,
    WsDrop,
    WsOpen,
    WsSend,
    WsText,
)
from engine.exchange.faults import Faulty
from engine.exchange.faults_schedule import Schedule
from engine.exchange.instruments import E8, Instrument, catalogue
from engine.exchange.keys import Key
from engine.exchange.market import AgentMarket
from engine.exchange.stack import make_core, make_face
from engine.exchange.terms import OPEN_STATUSES
from engine.exchange.truth import FillRecord, MoneyRecord, OrderRecord
from engine.sim.audit import Audit
from engine.sim.dialects import Dialect, Place, Wish, dialect_of
from engine.sim.loop import UTC_START_NS
from engine.sim.outcome import SYMBOLS, Outcome, Scenario, paced
from engine.sim.schedule import Plan

S = 1_000_000_000
WISHES_PER_S = 8.0
TEXT_STATUSES = (403,)  # Bybit's machine in front: "access too frequent", no JSON
MEDIAN_WORTH = 100.0  # of an order, in the quote asset
MINDED = 40  # ids of orders that a client remembers
VERBS = ("place",) * 20 + ("cancel",) * 8 + ("amend",) * 6 + (
    "cancel_all", "open_orders", "balances",
)  # fmt: skip
NONSENSE = ("", "-1", "0", "1e5", "0.000000001", "99999999999", "NaN", "x", "١")


@dataclass
class _Client:
    """One account's side."""

    account: int
    key: Key
    links: dict[str, int] = field(default_factory=dict)  # role -> connection
    ids: list[str] = field(default_factory=list)
    fills_told: int = 0
    last_balances: dict[str, str] = field(default_factory=dict)
    last_open: int = -1


def run_client(seed: int, plan: Plan, scenario: Scenario) -> Outcome:
    """One run; nothing of it depends on anything but its arguments."""
    started_ns = clock.real_monotonic_ns()
    run = _Run(seed, plan, scenario)
    run.whole()
    outcome = run.outcome()
    outcome.real_s = (clock.real_monotonic_ns() - started_ns) / 1e9
    return outcome


class _Run:
    def __init__(self, seed: int, plan: Plan, scenario: Scenario) -> None:
        self.seed = seed
        self.plan = plan
        self.scenario = scenario
        self.t_ns = UTC_START_NS
        self.dice = Random(f"sim client/{seed}")
        listings = [catalogue(scenario.venue)[key] for key in SYMBOLS[scenario.venue]]
        self.instruments: list[Instrument] = [listing.instrument for listing in listings]
        markets = [
            AgentMarket(listing, seed, self.t_ns,
                        settings=paced(settings_of(listing), scenario.pace))
            for listing in listings
        ]  # fmt: skip
        self.core: Core = make_core(scenario.venue, markets, seed)
        schedule = Schedule(seed=seed, fault=plan.venue)  # type: ignore[arg-type]
        self.face = Faulty(make_face(scenario.venue, self.core), schedule)
        self.dialect: Dialect = dialect_of(scenario.venue)
        self.clients = [
            _Client(account, keys.keys[0]) for account, keys in enumerate(self.core.keys)
        ]
        self.breaches: list[str] = []
        self.digest = hashlib.sha256()
        self.counts: dict[str, int] = dict.fromkeys(
            ("requests", "answers", "refused", "messages_down", "messages_up", "reconnects"), 0
        )
        self._number = 0
        self._roles: dict[int, tuple[_Client, str]] = {}
        self._asked: dict[int, tuple[_Client, str]] = {}  # HTTP without an answer yet
        self._is_calm = not plan.venue and not plan.wire

    # -- TIME ---

    def whole(self) -> None:
        end_ns = self.t_ns + int(self.scenario.seconds * S)
        cuts = sorted(
            (UTC_START_NS + fault.at_ns, fault.what)
            for fault in self.plan.wire if fault.kind == "cut"
        )  # fmt: skip
        while self.t_ns < end_ns:
            self._run_until(self.t_ns + int(self.dice.expovariate(WISHES_PER_S) * S))
            while cuts and cuts[0][0] <= self.t_ns:
                self._cut(cuts.pop(0)[1])
            client = self.dice.choice(self.clients)
            self._connect_missing(client)
            self._wish(client)
        self._take_stock()

    def _run_until(self, t_ns: int) -> None:
        while (due_ns := self.face.next_due_ns()) <= t_ns:
            self.t_ns = max(self.t_ns, due_ns)
            self._step(Tick())
        self.t_ns = t_ns

    def _venue_ns(self) -> int:
        """These clients keep in step with the venue's clock, whatever it does."""
        return self.t_ns + self.face.skew_ns

    # -- WHAT CLIENTS DO ---

    def _wish(self, client: _Client) -> None:
        dice, instrument = self.dice, self.dice.choice(self.instruments)
        verb = dice.choice(VERBS)
        wish = Wish(verb, instrument, self._terms(client, verb, instrument),
                    20_000 if dice.random() < 0.02 else 0)  # fmt: skip
        trade = client.links.get("trade")
        if dice.random() < 0.02:
            self._garbage(client)
        elif trade is not None and verb in ("place", "cancel", "amend") and dice.random() < 0.5:
            self._say(trade, self.dialect.text(wish, client.key, self._venue_ns()))
        else:
            self._ask(client, wish)

    def _terms(self, client: _Client, verb: str, instrument: Instrument) -> dict[str, str]:
        """Mostly sensible; sometimes one of them is not."""
        dice = self.dice
        bid, _, ask, _ = self.core.markets[instrument.key].touch()
        is_buy = dice.random() < 0.5
        away = round(dice.gauss(8.0, 6.0))
        px_ticks = max(1, (bid - away if is_buy else ask + away) if bid and ask else 1)
        worth_e8 = dice.lognormvariate(0.0, 0.8) * MEDIAN_WORTH * E8
        lots = max(1, round(worth_e8 / (px_ticks * instrument.notional_e8)))
        if verb == "place":
            self._number += 1
            name = f"c{client.account}-{self._number}"
            client.ids = [*client.ids[-MINDED:], name]
        else:
            name = dice.choice(client.ids[-6:]) if client.ids else "none"
        terms = {
            "id": name, "side": "buy" if is_buy else "sell",
            "px": instrument.px.text(px_ticks), "qty": instrument.qty.text(lots),
            "kind": dice.choice(("limit", "limit", "limit", "limit", "post", "post", "market")),
            "tif": dice.choice(("GTC", "GTC", "GTC", "GTC", "IOC", "FOK")),
        }  # fmt: skip
        if dice.random() < 0.08:
            terms[dice.choice(("id", "px", "qty", "tif"))] = dice.choice(NONSENSE)
        return terms

    def _garbage(self, client: _Client) -> None:
        text = self.dice.choice(("", "{", "[]", "null", '{"op":7}', '{"id":{}}', "\x00" * 9))
        conn = client.links.get(self.dice.choice(("trade", "market", "user")))
        if conn is not None:
            self._say(conn, text)

    def _ask(self, client: _Client, wish: Wish) -> None:
        http = self.dialect.http(wish, client.key, self._venue_ns())
        self._number += 1
        self.counts["requests"] += 1
        self._asked[self._number] = (client, wish.verb)
        self._step(HttpRequest(self._number, *http))

    def _say(self, conn: int, text: str) -> None:
        self.counts["messages_up"] += 1
        self._step(WsText(conn, text))

    def _connect_missing(self, client: _Client) -> None:
        for role in ("market", "user", "trade"):
            if role not in client.links:
                self._connect(client, role)

    def _connect(self, client: _Client, role: str) -> None:
        place: Place
        if role == "market":
            place = self.dialect.market(self.instruments)
        else:
            make = self.dialect.user if role == "user" else self.dialect.trade
            place = make(client.key, self._venue_ns())
        self._number += 1
        conn = self._number
        self._roles[conn] = (client, role)
        self._step(WsOpen(conn, place.target, {}))
        if client.links.get(role) == conn:
            for text in place.greetings:
                self._say(conn, text)

    def _cut(self, role: str) -> None:
        for client in self.clients:
            conn = client.links.get(role)
            if conn is not None:
                self._lose(conn)

    def _lose(self, conn: int) -> None:
        client, role = self._roles.pop(conn)
        if client.links.get(role) == conn:
            del client.links[role]
        self.counts["reconnects"] += 1
        self._step(WsClosed(conn))

    # -- WHAT COMES BACK ---

    def _step(self, event: Event) -> None:
        self._take(self.face.step(event, self.t_ns))

    def _take(self, actions: list[Action]) -> None:
        ended: list[int] = []
        for action in actions:
            self.digest.update(repr(action).encode())
            if isinstance(action, WsSend):
                self._hear(action)
            elif isinstance(action, HttpAnswer):
                self._take_answer(action)
            elif isinstance(action, WsAccept):
                client, role = self._roles[action.conn]
                client.links[role] = action.conn
            elif isinstance(action, WsClose | WsDrop):
                ended.append(action.conn)
            elif isinstance(action, Log) and action.is_error:
                self.breaches.append(f"the face faltered: {action.text}")
        for conn in ended:
            if conn in self._roles:
                self._lose(conn)

    def _hear(self, action: WsSend) -> None:
        self.counts["messages_down"] += len(action.conns)
        for conn in action.conns:
            client, role = self._roles.get(conn, (None, ""))
            if client is None:
                self.breaches.append(f"a message to connection {conn}, which is gone")
            elif self._is_calm and role == "user":
                client.fills_told += self.dialect.fills_in(action.text)

    def _take_answer(self, answer: HttpAnswer) -> None:
        asked = self._asked.pop(answer.request, None)
        self.counts["answers"] += 1
        if asked is None:
            self.breaches.append(f"a second answer to request {answer.request}")
            return
        client, verb = asked
        try:
            document = json.loads(answer.body)
        except ValueError:
            if answer.status not in TEXT_STATUSES and answer.status < 500:
                self.breaches.append(f"{verb}: HTTP {answer.status} with no JSON: {answer.body}")
            return
        is_good = answer.status == 200 and (
            not isinstance(document, dict) or document.get("retCode", 0) == 0
        )
        self.counts["refused"] += not is_good
        if is_good and verb == "balances":
            client.last_balances = self.dialect.balances_in(answer.body)
        elif is_good and verb == "open_orders":
            client.last_open = self.dialect.orders_in(answer.body)

    # -- THE END ---

    def _take_stock(self) -> None:
        """Totals as the venue tells them, against the truth. Faults that outlive the run end
        here: what they would do to the answers is no failure of the exchange."""
        self._take(self.face.end_all(self.t_ns))
        truth = self.core.truth
        totals: dict[tuple[int, str], int] = {}
        for record in truth.of(MoneyRecord):
            totals[record.account, record.asset] = record.total_e8
        status = {record.order_id: record for record in truth.of(OrderRecord)}
        fills = truth.of(FillRecord)
        for client in self.clients:
            client.last_balances, open_orders = {}, 0
            self._ask(client, Wish("balances", self.instruments[0], {}))
            for instrument in self.instruments:
                client.last_open = 0
                self._ask(client, Wish("open_orders", instrument, {}))
                open_orders += client.last_open
            self._compare(client, totals, open_orders, list(status.values()))
            happened = sum(fill.account == client.account for fill in fills)
            if self._is_calm and client.fills_told != happened:
                self.breaches.append(
                    f"account {client.account}: {happened} fills happened, "
                    f"{client.fills_told} were reported"
                )
        if self._is_calm and self._asked:
            self.breaches.append(f"{len(self._asked)} requests were never answered")

    def _compare(
        self, client: _Client, totals: dict[tuple[int, str], int], told_open: int,
        orders: list[OrderRecord],
    ) -> None:  # fmt: skip
        name = f"account {client.account}"
        for asset, text in client.last_balances.items():
            true_e8 = totals.get((client.account, asset), 0)
            if Decimal(text) * E8 != true_e8:
                self.breaches.append(f"{name}: {asset} is {true_e8}e-8, told as {text}")
        if not client.last_balances:
            self.breaches.append(f"{name}: its balances are not to be had at the end")
        truly_open = sum(
            order.account == client.account and order.status in OPEN_STATUSES for order in orders
        )
        if told_open != min(truly_open, told_open if told_open >= 50 else truly_open):
            self.breaches.append(f"{name}: {truly_open} orders are open, {told_open} are told")

    def outcome(self) -> Outcome:
        audit = Audit({one.key: one for one in self.instruments})
        orders = set()
        for number, record in self.core.truth.since(0):
            self.digest.update(f"{number}{record!r}".encode())
            audit.on_truth(record)
            if isinstance(record, OrderRecord):
                orders.add(record.order_id)
        outcome = Outcome(self.seed, self.plan.texts(), virtual_s=self.scenario.seconds)
        outcome.breaches = [*self.breaches[:20], *audit.breaches]
        outcome.digest = self.digest.hexdigest()
        outcome.figures = {
            "orders": len(orders),
            "fills": len(self.core.truth.of(FillRecord)),
            **self.counts,
        }
        return outcome
