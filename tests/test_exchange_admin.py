"""Fault files and their refusals, the admin port's answers, docs that match the code."""

import json
from pathlib import Path
from typing import Any

import pytest
from support_exchange import accepted, place
from support_face import TinyFace
from support_sources import ROOT

from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.admin import PATHS, TRUTH_ROWS_A_TURN, Admin
from engine.exchange.book import Side
from engine.exchange.commands import DeleteKey
from engine.exchange.events import Refused
from engine.exchange.face import HttpRequest, Log, Tick, WsOpen, WsSend
from engine.exchange.faults import Faulty
from engine.exchange.faults_docs import tables
from engine.exchange.faults_file import parse_schedule, read_schedule
from engine.exchange.faults_schedule import CLASS_OF, KINDS, ONE, fault
from engine.exchange.keys import sign
from engine.exchange.terms import MarketState
from engine.exchange.truth import KEPT_SLACK, FaultRecord, KeyRecord

S = 1_000_000_000

# -- FILES ---

REFUSALS = {
    "kind": ('seed = 1\n[[fault]]\nkind = "dorp"', 3, "dorp", "'drop'"),
    "field": ('[[fault]]\nkind="drop"\nat="1s"\nprobablity = 1', 4, "probablity", "'probability'"),
    "second": ('[[fault]]\nkind = "drop"\n\n[[fault]]\nkind = "delist"\nfor = "1s"', 6, "for", ""),
    "value": ('[[fault]]\nkind = "drop"\nprobability = 2', 3, "less than or equal to 1", ""),
    "duration": ('[[fault]]\nkind = "drop"\nat = 3', 3, "text with a unit", ""),
    "unit": ('[[fault]]\nkind = "drop"\nat = "3 parsecs"', 3, "text with a unit", ""),
    "digits": ('[[fault]]\nkind = "drop"\nat = "' + "9" * 400 + 's"', 3, "text with a unit", ""),
    "too long": ('[[fault]]\nkind = "drop"\nat = "1001h"', 3, "longer than", ""),
    "negative": ('[[fault]]\nkind = "drop"\nfor = "-3s"', 3, "negative", ""),
    "busy": ('[[fault]]\nkind = "drop_all"\nevery = "1us"', 3, "oftener", ""),
    "no kind": ('[[fault]]\nat = "1s"', 1, "without a kind", "half_open"),
    "symbol": ('[[fault]]\nkind = "delist"\nsymbol = "BTCUSD"', 3, "BTCUSD", "'BTCUSDT'"),
    "top": ("seed = 1\nsede = 1", 2, "sede", "'seed'"),
    "toml": ('seed = 1\n[[fault]\nkind = "drop"', 2, "no TOML", ""),
    "no window": ('[[fault]]\nkind = "drop"\nfor = "0s"', 3, "no time to last", "docs"),
    "one bracket": ('seed = 1\n[fault]\nkind = "drop"', 2, "not an array", "[[fault]]"),
    "seed": ('# seed\nseed = "x"', 2, "seed: Input should be a valid integer", "docs/faults.md"),
    "nan": ('[[fault]]\nkind = "clock_drift"\nppm = nan', 3, "finite number", "docs"),
    "inline": ('fault = [{kind = "drop"},\n {kind = "dorp"}]', 2, "dorp", "'drop'"),
    "one line": ('seed=1\nfault=[{kind = "drop", stream = "{"}, {kind = "x"}]', 2, "'x'", "drop"),
    "in a string": (
        '[[fault]]\nkind = "drop"\nmatch = """\n[[fault]]\n"""\n#[[fault]]\n[[fault]]\nkind=""',
        3, "match", "stream, probability",
    ),
    "behind a string": (
        '[[fault]]\nkind = "drop"\nstream = """\n[[fault]]\n"""\n[[fault]]\nkind="dorp"',
        7, "dorp", "'drop'",
    ),
    "choice": ('[[fault]]\nkind = "drop"\nconn = "all"', 3, "'any'", ""),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_faulty_file_is_refused_with_line_reason_and_nearest_name(case: str) -> None:
    text, line, reason, remedy = REFUSALS[case]
    with pytest.raises(TickmakerError) as refused:
        parse_schedule(text, "f.toml", ["BTCUSDT"])
    assert refused.value.exit_code == EXIT_USAGE
    assert refused.value.what.startswith(f"f.toml:{line}: ")
    assert reason in refused.value.what
    assert remedy in refused.value.remedy


def test_file_that_is_not_there_and_one_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    for name in ("none.toml", "x.toml"):
        with pytest.raises(TickmakerError, match=name):
            read_schedule(tmp_path / name)


def test_example_is_read_and_the_docs_tell_every_kind_and_field() -> None:
    schedule = read_schedule(ROOT / "docs" / "faults.toml")
    assert len(schedule.fault) == 8
    assert schedule.fault[0].model_dump()["for_ns"] == 2 * S
    text = (ROOT / "docs" / "faults.md").read_text()
    assert text.endswith(tables()), "make the tables of docs/faults.md again: faults_docs.tables()"


def test_every_kind_has_a_class_and_defaults_that_are_valid() -> None:
    assert set(CLASS_OF) == set(KINDS)
    for kind in KINDS:
        assert ONE.validate_python({"kind": kind}).kind == kind


# -- ADMIN ---


class Rig:
    def __init__(self) -> None:
        self.face = TinyFace()
        self.faulty = Faulty(self.face)
        facts = {"connections": {"market": 1}, "counters": {"bugs": 0}}
        self.admin = Admin(self.faulty, lambda: facts)
        self.sent: list[WsSend] = []

    def __call__(self, method: str, target: str, body: Any = None, status: int = 200) -> Any:
        text = body if isinstance(body, str) else json.dumps(body) if body is not None else ""
        answer = self.admin.answer(method, target, text, S)
        assert answer.status == status, answer.body
        self.sent = [action for action in answer.actions if isinstance(action, WsSend)]
        if "ndjson" in answer.content_type:
            return [json.loads(line) for line in answer.body.splitlines()]
        return json.loads(answer.body)


def test_state_tells_accounts_orders_and_markets_and_no_key() -> None:
    rig = Rig()
    core = rig.faulty.core
    bid = core.markets["BTCUSDT"].touch()[0]
    order = accepted(core.step(place(0, Side.BUY, 10, bid, client_order_id="mine"), 1))
    state = rig("GET", "/state")
    assert state["accounts"][0]["open_orders"] == [
        {"order_id": order.order_id, "client_order_id": "mine", "symbol": "BTCUSDT",
         "side": "BUY", "px_ticks": bid, "qty_lots": 10, "cum_lots": 0}
    ]  # fmt: skip
    market = state["markets"]["BTCUSDT"]
    assert market["touch"]["bid"] == bid
    assert market["update_id"] == core.markets["BTCUSDT"].snapshot(1).update_id
    assert rig("GET", "/health")["ok"] is True
    everything = "".join(
        rig.admin.answer(method, path, "", S).body for method, path in PATHS if method == "GET"
    )
    for account in core.keys:
        for key in (*account.keys, account.ed25519, core.keyring.management):
            assert key.api_key not in everything
            assert key.secret not in everything


def test_truth_is_read_on_from_any_number() -> None:
    rig = Rig()
    core = rig.faulty.core
    for number in range(5):
        accepted(core.step(place(0, Side.BUY, 10 + number, 599_000), number))
    rows = rig("GET", "/truth")
    assert [row["number"] for row in rows] == list(range(len(core.truth)))
    part = rig("GET", "/truth?after=1&limit=2")
    assert part == rows[2:4]
    assert rig("GET", f"/truth?after={len(rows) - 1}") == []
    assert {"order", "money"} >= {row["kind"] for row in rows}


def test_long_truth_is_made_in_turns_and_says_how_to_go_on() -> None:
    rig = Rig()
    truth = rig.faulty.core.truth
    opening, sizes = len(truth), []
    for number in range(2_000):
        truth.add(FaultRecord(number, "drop", "hit", ""))
    rows, after = [], -1
    while True:
        answer = rig.admin.answer("GET", f"/truth?after={after}&limit=900", "", S)
        pieces = [answer.body, *(answer.more or ())]
        sizes += [piece.count("\n") for piece in pieces]
        page = [json.loads(line) for line in "".join(pieces).splitlines()]
        headers = dict(answer.headers)
        after = int(headers["Truth-Next"])
        if not page:
            break
        rows += page
    assert [row["number"] for row in rows] == list(range(opening + 2_000))
    assert headers == {
        "Truth-First": "0", "Truth-Length": str(len(rows)), "Truth-Next": str(len(rows) - 1)
    }  # fmt: skip
    assert max(sizes) == TRUTH_ROWS_A_TURN


def test_truth_without_a_file_keeps_its_last_records_only() -> None:
    rig = Rig()
    truth = rig.faulty.core.truth
    truth.kept_max = 1_000
    for number in range(20_000):
        truth.add(FaultRecord(number, "drop", "hit", ""))
    first = rig("GET", "/state")["truth_first"]
    assert len(truth) - 1_000 - KEPT_SLACK < first <= len(truth) - 1_000
    (row,) = rig("GET", "/truth?limit=1")
    assert row["number"] == first
    answer = rig.admin.answer("GET", "/truth?limit=1", "", S)
    assert dict(answer.headers)["Truth-First"] == str(first)


def test_book_is_the_markets_with_its_update_id() -> None:
    rig = Rig()
    book = rig("GET", "/book?symbol=BTCUSDT&limit=3")
    market = rig.faulty.core.markets["BTCUSDT"]
    assert book["update_id"] == market.snapshot(1).update_id
    assert [len(book["bids"]), len(book["asks"])] == [3, 3]
    assert market.instrument.px.units(book["bids"][0][0]) == market.touch()[0]
    assert "BTCUSDT" in rig("GET", "/book?symbol=X", status=400)["error"]


def test_command_changes_the_market_and_clients_hear_of_it() -> None:
    rig = Rig()
    rig.faulty.step(WsOpen(1, "/market", {}), 0)
    done = {"command": "SetState", "symbol": "BTCUSDT", "state": "halted"}
    assert rig("POST", "/command", done) == {"done": "SetState"}
    assert rig.faulty.core.state("BTCUSDT") is MarketState.HALTED
    assert [send.text for send in rig.sent] == ["BTCUSDT HALTED"]
    assert rig("POST", "/command", done, status=409)["refused"] == "NO_CHANGE"
    rig("POST", "/command", {"command": "SetRefusals", "is_revocation_refused": True})
    key = rig.faulty.core.keys[0].keys[0].api_key
    assert isinstance(rig.faulty.core.step(DeleteKey(key), S)[0], Refused)
    document = {"command": "Shock", "symbol": "BTCUSDT", "empty_side": "SELL", "for_ns": 5}
    assert rig.admin.answer("POST", "/command", json.dumps(document), S).status in (200, 409)


def test_command_changes_what_a_key_may_do() -> None:
    rig = Rig()
    key = rig.faulty.core.keys[1].keys[0]
    document = {"command": "SetKey", "account": 1, "permissions": ["read", "withdraw"],
                "ips": ["127.0.0.1"]}  # fmt: skip
    assert rig("POST", "/command", document) == {"done": "UpdateKey"}
    found = rig.faulty.core.keyring.find(key.api_key)
    assert found is not None
    assert (found.permissions, found.ips) == ({"read", "withdraw"}, ("127.0.0.1",))
    assert found.verifies("x", sign(key.secret, "x"))
    assert rig.faulty.core.keyring.find(rig.faulty.core.keys[1].keys[1].api_key) is not found
    told = rig.faulty.core.truth.of(KeyRecord)[-1]
    assert (told.account, told.permissions) == (1, ("read", "withdraw"))


def test_command_places_an_order_of_an_account() -> None:
    rig = Rig()
    core = rig.faulty.core
    document = {"command": "Place", "symbol": "BTCUSDT", "side": "buy", "qty_lots": 10,
                "px_ticks": core.markets["BTCUSDT"].touch()[0] - 5,
                "client_id": "tm-1"}  # fmt: skip
    assert rig("POST", "/command", document) == {"done": "Place"}
    (order,) = core.open_orders(0, "BTCUSDT")
    assert (order.client_order_id, order.leaves_lots) == ("tm-1", 10)
    assert rig("POST", "/command", document, status=409)["refused"] == "DUPLICATE_CLIENT_ID"
    error = rig("POST", "/command", document | {"account": 99}, status=400)["error"]
    assert "account: 0 to" in error


def test_fault_begins_at_once() -> None:
    rig = Rig()
    rig("POST", "/fault", {"kind": "throttled", "for": "5s"})
    (answer,) = rig.faulty.step(HttpRequest(1, "GET", "/order", "", "", {}), S + 1)
    assert answer.status == 429  # type: ignore[union-attr]
    assert [live["kind"] for live in rig("GET", "/faults")["live"]] == ["throttled"]
    assert rig("GET", "/faults")["hits"] == {"throttled": 1}


SHOCK = '{"command":"Shock","symbol":"BTCUSDT",%s}'


def test_fault_has_one_number_everywhere_and_a_refusal_is_told() -> None:
    rig = Rig()
    rig.faulty.step(Tick(), 0)
    rig("POST", "/fault", {"kind": "drop", "for": "5s"})

    def post(status: int) -> Any:
        answer = rig.admin.answer("POST", "/fault", '{"kind":"halt_instrument","for":"5s"}', S)
        assert answer.status == status
        texts = [action.text for action in answer.actions if isinstance(action, Log)]
        return json.loads(answer.body), texts

    assert post(200) == ({"started": 2}, ["fault 2 halt_instrument: begin (for 5s)"])
    rig("POST", "/fault", {"kind": "delist"})
    refused, texts = post(409)
    assert refused["number"] == 4
    assert texts[-1] == f"fault 4 halt_instrument: refused ({refused['refused']})"
    faults = rig("GET", "/faults")
    assert [(live["number"], live["kind"]) for live in faults["live"]] == [
        (1, "drop"), (2, "halt_instrument"),
    ]  # fmt: skip
    assert faults["refused"] == [{"number": 4, "why": refused["refused"]}]
    rows = [row for row in rig("GET", "/truth") if row["kind"] == "fault"]
    assert [(row["fault_number"], row["phase"]) for row in rows] == [
        (1, "begin"), (2, "begin"), (3, "begin"), (4, "begin"), (4, "refused"),
    ]  # fmt: skip


def test_a_halt_ends_when_the_last_who_wants_it_is_gone() -> None:
    """Two faults overlap; what the operator sets stays as he set it."""
    rig = Rig()
    rig.faulty.step(Tick(), 0)
    state = {"command": "SetState", "symbol": "BTCUSDT", "state": "HALTED"}

    def states(*times_s: float) -> list[str]:
        found = []
        for time_s in times_s:
            rig.faulty.step(Tick(), int(time_s * S))
            found.append(rig.faulty.core.state("BTCUSDT").name)
        return found

    rig("POST", "/fault", {"kind": "halt_instrument", "for": "2s"})  # at 1 s, as all below
    rig("POST", "/fault", {"kind": "halt_instrument", "for": "4s"})
    assert states(3.5, 4.9, 5) == ["HALTED", "HALTED", "TRADING"]
    rig("POST", "/command", state)
    rig("POST", "/fault", {"kind": "halt_instrument", "for": "2s"}, status=409)
    assert states(10) == ["HALTED"]
    rig("POST", "/command", state | {"state": "TRADING"})
    rig("POST", "/fault", {"kind": "halt_instrument", "for": "20s"})
    rig("POST", "/command", state, status=409)
    assert states(30) == ["HALTED"]


@pytest.mark.parametrize(
    ("method", "target", "body", "words"),
    [
        ("GET", "/nowhere", "", "no GET /nowhere"),
        ("POST", "/health", "", "no POST /health"),
        ("GET", "/truth?after=x", "", "whole number"),
        ("GET", "/truth?limit=0", "", "at least 1"),
        ("POST", "/fault", "{", "no JSON"),
        ("POST", "/fault", "[]", "no JSON object"),
        ("POST", "/fault", '{"kind":"dorp"}', "dorp"),
        ("POST", "/fault", '{"kind":"delist","symbol":"X"}', "BTCUSDT"),
        ("POST", "/command", '{"command":"Fly"}', "SetState"),
        ("POST", "/command", '{"command":["Fly"]}', "SetState"),
        ("POST", "/command", '{"command":"SetState"}', "symbol"),
        ("POST", "/command", '{"command":"SetState","symbol":"BTCUSDT","state":"X"}', "HALTED"),
        ("POST", "/command", '{"command":"SetTick","symbol":"BTCUSDT","factor":"2"}', "integer"),
        ("POST", "/command", '{"command":"SetTick","symbol":"BTCUSDT","factor":true}', "integer"),
        ("POST", "/command", '{"command":"Shock","symbol":"BTCUSDT","empty_side":7}', "BUY"),
        ("POST", "/command", '{"command":"SetRefusals","is_revocation_refused":1}', "bool"),
        ("POST", "/command", '{"command":"SetTick","symbol":"X","factor":2}', "BTCUSDT"),
        ("POST", "/command", '{"command":"SetTick","symbol":"BTCUSDT","factor":0}', "factor: gr"),
        ("POST", "/command", '{"command":"SetTick","symbol":"BTCUSDT"}', "needs 'factor'"),
        ("POST", "/command", '{"command":"SetRefusals","tick":2}', "has no 'tick'"),
        ("POST", "/command", '{"command":"SetRefusals","cancel_all_max":-1}', "cancel_all_max: g"),
        ("POST", "/command", '{"command":"Shock","symbol":"BTCUSDT"}', "wants ticks"),
        ("POST", "/command", SHOCK % '"ticks":1000000000000000', "half of the price"),
        ("POST", "/command", SHOCK % '"ticks":-1000000000000000', "half of the price"),
        ("POST", "/command", SHOCK % '"ticks":1e15', "ticks: a valid integer"),
        ("POST", "/command", SHOCK % '"spread_ticks":-1', "spread_ticks: greater"),
        ("POST", "/command", SHOCK % '"ticks":5,"for_ns":-1', "for_ns: greater"),
        ("POST", "/command", '{"command":"DeleteKey","api_key":"x"}', "SetState"),
        ("POST", "/command", '{"command":"SetKey","account":9,"permissions":[]}', "0 keys left"),
        ("POST", "/command", '{"command":"SetKey","account":0,"permissions":["fly"]}', "withdraw"),
    ],
)
def test_what_makes_no_sense_is_answered_in_words(
    method: str, target: str, body: str, words: str
) -> None:
    answer = Rig().admin.answer(method, target, body, S)
    assert answer.status == (404 if words.startswith("no ") and not body else 400)
    assert words in json.loads(answer.body)["error"]


def test_one_entry_by_name_is_what_a_file_would_say() -> None:
    text = '[[fault]]\nkind = "drop"\nfor = "2s"\nconn = "user"'
    assert parse_schedule(text, "x").fault == (fault("drop", for_="2s", conn="user"),)
