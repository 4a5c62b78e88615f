"""What every test may ask for, and the rule on which build is under test.

TICKMAKER_DATA   folder of recorded market data; none ships with the project.
TICKMAKER_BUILD  "release" or "safe": what the caller means to test; a mismatch stops the run.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

import fastcore

ROOT = Path(__file__).resolve().parents[1]
BUILD = "safe" if fastcore.SAFE else "release"

# The same examples on every machine, and no verdict on how fast that machine is.
settings.register_profile("tickmaker", derandomize=True, database=None, deadline=None)
settings.load_profile("tickmaker")


def pytest_configure(config: pytest.Config) -> None:
    wanted = os.environ.get("TICKMAKER_BUILD", BUILD)
    if wanted != BUILD:
        raise pytest.UsageError(
            f"the {wanted} build was to be tested, but {fastcore.__file__} is the {BUILD} build; "
            "run `make clean test`"
        )


def pytest_report_header(config: pytest.Config) -> list[str]:
    data = _data_dir()
    return [f"build under test: {BUILD}", f"recorded data: {data or 'none'}"]


def _data_dir() -> Path | None:
    named = os.environ.get("TICKMAKER_DATA")
    path = Path(named) if named else ROOT.parent / "shared" / "data"
    return path.resolve() if path.is_dir() else None


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Recorded market data. Absent: skips a person who has none, fails where it was promised."""
    path = _data_dir()
    if path is not None:
        return path
    what = "no recorded market data: set TICKMAKER_DATA to the folder that holds binance_usdm/"
    if os.environ.get("CI") or os.environ.get("TICKMAKER_DATA"):
        pytest.fail(what)
    pytest.skip(what)
