"""What every test may ask for, and the rule on which build is under test.

TICKMAKER_DATA   folder of recorded market data; none ships with the project.
TICKMAKER_BUILD  "release" or "safe": what the caller means to test; a mismatch stops the run.
"""

import os
from pathlib import Path

import pytest
import support_data
from hypothesis import settings
from support_data import DATA

import fastcore

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
    return [f"build under test: {BUILD}", f"recorded data: {DATA if DATA.is_dir() else 'none'}"]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Recorded market data; see support_data."""
    return support_data.data_dir()
