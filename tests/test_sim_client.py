"""Scripted clients on the venues that the engine does not trade: the exchange's own promises."""

import json
from typing import Any

import pytest

from engine.exchange.accounts import Account
from engine.exchange.face import WsSend
from engine.sim import client as scripted
from engine.sim.client import run_client
from engine.sim.outcome import Scenario
from engine.sim.schedule import CLIENT_KINDS, Plan, WireFault, swarm

VENUES = ("binance_spot", "bybit")
NOTHING = Plan((), ())


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("seed", [1, 5, 30, 56])
def test_the_exchange_keeps_its_promises_in_a_swarm(venue: str, seed: int) -> None:
    """Seeds 30 and 56 of Bybit: a late answer for a connection that has been closed meanwhile."""
    scenario = Scenario(venue, seconds=30.0)
    outcome = run_client(seed, swarm(seed, scenario.seconds, venue), scenario)
    assert outcome.breaches == []
    assert outcome.figures["orders"] > 10


@pytest.mark.parametrize("venue", VENUES)
def test_without_faults_every_request_is_answered_and_every_fill_told(venue: str) -> None:
    outcome = run_client(3, NOTHING, Scenario(venue, seconds=30.0))
    assert outcome.breaches == []
    figures = outcome.figures
    assert figures["requests"] == figures["answers"] > figures["refused"] > 0
    assert figures["fills"] > 10
    assert figures["messages_up"] > 20


@pytest.mark.parametrize("venue", VENUES)
def test_a_run_is_a_function_of_its_seed(venue: str) -> None:
    scenario = Scenario(venue, seconds=10.0)
    digests = [run_client(seed, NOTHING, scenario).digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def test_cuts_are_followed_by_new_connections() -> None:
    cut = WireFault.model_validate({"kind": "cut", "at": "5s", "what": "user"})
    outcome = run_client(1, Plan((), (cut,)), Scenario("bybit", seconds=15.0))
    assert outcome.breaches == []
    assert outcome.figures["reconnects"] == 2  # one of each account


def test_a_swarm_may_draw_every_kind() -> None:
    drawn = {f.kind for seed in range(80) for f in swarm(seed, 60.0, "bybit").venue}
    assert drawn == set(CLIENT_KINDS)


# -- LIES OF THE EXCHANGE ---


@pytest.mark.parametrize("venue", VENUES)
def test_money_that_leaks_is_found(venue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Account.add

    def leaking(self: Account, asset: str, change_e8: int) -> None:
        honest(self, asset, change_e8 - 1)

    monkeypatch.setattr(Account, "add", leaking)
    breaches = run_client(3, NOTHING, Scenario(venue, seconds=10.0)).breaches
    assert any(" make " in breach for breach in breaches), breaches


def lying(change: Any, monkeypatch: pytest.MonkeyPatch, venue: str) -> list[str]:
    """Breaches of a run whose face's actions pass through `change`."""
    make = scripted.make_face

    class Liar:
        def __init__(self, face: Any) -> None:
            self._face = face

        def __getattr__(self, name: str) -> Any:
            return getattr(self._face, name)

        def step(self, event: Any, t_ns: int) -> Any:
            return [said for action in self._face.step(event, t_ns) for said in change(action)]

    monkeypatch.setattr(scripted, "make_face", lambda name, core: Liar(make(name, core)))
    return run_client(3, NOTHING, Scenario(venue, seconds=20.0)).breaches


def is_fill(action: Any) -> bool:
    return isinstance(action, WsSend) and (
        '"x":"TRADE"' in action.text or '"topic":"execution"' in action.text
    )


@pytest.mark.parametrize("venue", VENUES)
def test_a_fill_that_is_not_reported_is_found(
    venue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaches = lying(lambda action: [] if is_fill(action) else [action], monkeypatch, venue)
    assert any("were reported" in breach for breach in breaches), breaches


@pytest.mark.parametrize("venue", VENUES)
def test_a_second_answer_is_found(venue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(action: Any) -> list[Any]:
        return [action, action] if hasattr(action, "request") else [action]

    breaches = lying(twice, monkeypatch, venue)
    assert any("a second answer" in breach for breach in breaches), breaches


def test_a_wrong_total_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def richer(action: Any) -> list[Any]:
        if not hasattr(action, "request") or '"balances"' not in action.body:
            return [action]
        document = json.loads(action.body)
        document["balances"][0]["free"] += "1"
        return [action._replace(body=json.dumps(document))]

    breaches = lying(richer, monkeypatch, "binance_spot")
    assert any("told as" in breach for breach in breaches), breaches
