"""Opens each connection that an account would have, and closes it again: `tickmaker check` finds
a wrong WebSocket address or a refused logon before a run does. Nothing is sent on them but what
a start says first."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from engine.config import AccountConfig
from engine.errors import TickmakerError
from engine.gateway.greeting import greet
from engine.gateway.handshake import upgrade
from engine.gateway.rest import RestClient
from engine.gateway.tls import client_context
from engine.venues import adapter as adapter_of
from engine.venues.base import Adapter, ConnPlan, Instrument

TIMEOUT_S = 5.0


async def problems_of(
    account: AccountConfig, credential: tuple[str, str], rest: RestClient,
    instruments: Sequence[Instrument],
) -> list[str]:  # fmt: skip
    """One text for each connection that did not come up; `rest` knows the venue's clock."""
    # Without the switch: one that hangs on the stream would fire when this is closed.
    adapter = adapter_of(account.model_copy(update={"dead_man_s": 0}), *credential)
    problems = []
    for name, plan in [
        *await _private_plans(adapter, rest), *_market_plans(adapter, instruments)
    ]:  # fmt: skip
        try:
            await _try(account, f"{name} connection", plan)
        except TickmakerError as error:
            remedy = f"{error.remedy[:1].upper()}{error.remedy[1:]}"
            problems.append(f"{account.name}: ws_url: {error.what}. {remedy}.")
    return problems


async def _private_plans(adapter: Adapter, rest: RestClient) -> list[tuple[str, ConnPlan]]:
    asking = adapter.user_token()
    token = "" if asking is None else await rest.call(asking)
    utc_ms = rest.utc_ns() // 1_000_000
    return [("TRADE", adapter.trade_plan(utc_ms)), ("USER", adapter.user_plan(token, utc_ms))]


def _market_plans(
    adapter: Adapter, instruments: Sequence[Instrument]
) -> Iterator[tuple[str, ConnPlan]]:
    """One a kind of instrument; the others' connections are like it."""
    for _, alike in groupby(sorted(instruments, key=lambda one: one.venue), lambda one: one.venue):
        yield "MARKET", adapter.market_plan(list(alike)[:1])


async def _try(account: AccountConfig, what: str, plan: ConnPlan) -> None:
    tls = client_context(account.ca_file) if plan.url.startswith("wss:") else None
    upgraded = await upgrade(plan.url, what, TIMEOUT_S, tls)
    if plan.texts or plan.answers:
        upgraded = await greet(upgraded, plan, what, TIMEOUT_S)
    upgraded.sock.close()
