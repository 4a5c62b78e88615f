"""What every test may ask for, and the rule on which build is under test.

TICKMAKER_DATA   folder of recorded market data; none ships with the project.
TICKMAKER_BUILD  "release" or "safe": what the caller means to test; a mismatch stops the run.
"""

import os
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import support_data
from hypothesis import settings
from support_data import DATA

import fastcore

BUILD = "safe" if fastcore.SAFE else "release"

# Files whose subject is no compiled code, or is run on both builds elsewhere: `make safe` leaves
# them out (ARGS="-m ''" takes them in). Single tests carry the mark themselves.
ONCE = (
    "test_advice", "test_architecture", "test_as_tables", "test_bench*", "test_calibration",
    "test_check_command", "test_children", "test_config_*", "test_demo_user",
    "test_exchange_admin", "test_exchange_bybit_*", "test_exchange_core", "test_exchange_docs",
    "test_exchange_f*", "test_exchange_money", "test_exchange_orders", "test_exchange_s*",
    "test_exchange_venue", "test_gateway_account", "test_gateway_budget",
    "test_gateway_deadman", "test_gateway_keeper", "test_gateway_listing", "test_gateway_pace",
    "test_gateway_rest", "test_hedger", "test_hedging_driver", "test_live_control",
    "test_live_driver", "test_live_ends", "test_live_hedging*", "test_live_late",
    "test_live_parts", "test_live_takeover", "test_ofi_exam", "test_paper_run", "test_planner",
    "test_reconcile*", "test_recorder_docs", "test_recorder_opening", "test_recorder_retention",
    "test_report", "test_report_page", "test_reports_table", "test_risk_docs", "test_router",
    "test_run_docs", "test_run_view", "test_signals_docs", "test_sim_judges",
    "test_sim_scale", "test_source",
    "test_spot_*", "test_usdm_*", "test_user_docs", "test_user_errors", "test_venue_*",
    "test_venue_bybit*", "test_view",
)  # fmt: skip
# Files that mostly wait come first, so that no worker ends with them alone. The demos share a
# worker: each is four processes, and two at a time are more than two cores carry in real time.
FIRST = ("test_demo", "test_demo_user", "test_session", "test_sync_tapes", "test_user_core")
TOGETHER = ("test_demo.py", "test_demo_user.py")

# Run by other people's clients under an interpreter of their own: make ccxt. With processes of
# their own, and time: make drills.
collect_ignore = ["ccxt", "drills"]

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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if any(fnmatch(item.path.stem, pattern) for pattern in ONCE):
            item.add_marker(pytest.mark.once)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.stem not in FIRST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Callable[..., Any]) -> Any:
    """One file is one worker's, as many files make something slow once for all their tests."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0].rpartition("/")[2]
            return "demos" if file in TOGETHER else file

    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [f"build under test: {BUILD}", f"recorded data: {DATA if DATA.is_dir() else 'none'}"]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Recorded market data; see support_data."""
    return support_data.data_dir()
