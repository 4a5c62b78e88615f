"""One exchange a drill, and nothing left of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from field import PLACES, Field, field_of
from judge import compare


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        short = item.get_closest_marker("short")
        if short is not None and item.callspec.params["field"] in short.args:
            item.add_marker("quick")


@pytest.fixture(params=list(PLACES))
def field(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Field]:
    with field_of(PLACES[request.param], tmp_path) as found:
        yield found


@pytest.fixture
def judged(field: Field) -> Callable[..., None]:
    """Compare all runs of the drill with what happened."""

    def judge(*, strangers_open: int = 0) -> None:
        run_dirs = [engine.run_dir for engine in field.engines]
        compare(field.place, field.exchange, run_dirs, strangers_open=strangers_open)

    return judge
