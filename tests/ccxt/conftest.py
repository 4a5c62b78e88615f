"""Fixtures: an exchange a venue, clients of both accounts, and nothing left behind by a test."""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import ccxt
import pytest
from targets import TARGETS, Target
from trader import Trader
from venue import Venue, exchange

PATIENCE_S = 30.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keys are deleted last."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Several workers: one exchange's tests stay in one."""
    from xdist.scheduler import LoadScopeScheduling

    homes = {target.name: target.venue for target in TARGETS}

    class ByVenue(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, rest = nodeid.partition("::")
            return homes.get(rest.rpartition("[")[2].rstrip("]"), file)

    return ByVenue(config, log)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "last: spends what other tests need")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Coroutine tests run in a loop of their own; none may wait for ever."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    given = {name: pyfuncitem.funcargs[name] for name in names}

    async def run() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await pyfuncitem.obj(**given)

    asyncio.run(run())
    return True


@pytest.fixture(scope="session", params=TARGETS, ids=lambda target: target.name)
def target(request: pytest.FixtureRequest) -> Target:
    found: Target = request.param
    return found


@pytest.fixture(scope="session")
def venues() -> Iterator[dict[str, Venue]]:
    """Running exchanges by name; each starts when it is first wanted."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        class Lazy(dict[str, Venue]):
            def __missing__(self, name: str) -> Venue:
                self[name] = stack.enter_context(exchange(name))
                return self[name]

        yield Lazy()


@pytest.fixture(scope="session")
def venue(target: Target, venues: dict[str, Venue]) -> Venue:
    return venues[target.venue]


@pytest.fixture(scope="session")
def api(target: Target, venue: Venue) -> Any:
    """ccxt, the first account."""
    client = target.make(ccxt, venue, venue.keys(0))
    client.load_markets()
    return client


@pytest.fixture
def trader(target: Target, api: Any) -> Iterator[Trader]:
    """The first account with nothing open, before and after."""
    trader = Trader(target, api)
    yield trader
    trader.tidy()


@pytest.fixture(scope="session")
def other(target: Target, venue: Venue, api: Any) -> Trader:
    """The second account."""
    client = target.make(ccxt, venue, venue.keys(1))
    client.set_markets(api.markets)
    return Trader(target, client)
