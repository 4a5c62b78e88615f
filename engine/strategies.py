"""Strategies by name: a built-in one, or `path/to/file.py:function` of the user's own.

A user's file is compiled at start-up, before anything is connected: never at the first tick. What
was compiled is kept in the run folder, so that a run can be verified after the file has changed;
the core's configuration, which is the journal's first record, holds the hash of it.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import EXIT_USAGE, TickmakerError
from fastcore.core import Core
from fastcore.core_config import USER
from fastcore.strategy import BUILTINS
from fastcore.strategy_layout import CONSTANTS

if TYPE_CHECKING:  # numba takes a third of a second to import: only for those who need it
    from fastcore.user import UserStrategy

QUOTE = CONSTANTS["QUOTE"]
NOT_WARM = 2  # STRATEGY_NOT_WARM: a code of the built-in ones
_REMEDY = "docs/user_strategies.md shows how a strategy is written."


class Named(NamedTuple):
    """What `--strategy` said: the name for the core's configuration, and the file if any."""

    name: str
    file: Path | None


def named(text: str) -> Named:
    """TickmakerError when it is neither built in nor a function of a file that is there."""
    if text in BUILTINS and BUILTINS[text].needs_reference:
        raise TickmakerError(
            f"Strategy {text} quotes one instrument and hedges on another; there is only one here",
            "Choose another; fastcore.pair runs two cores as its legs.",
            EXIT_USAGE,
        )
    if text in BUILTINS:
        return Named(text, None)
    path, colon, function = text.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise TickmakerError(
            f"Unknown strategy {text!r}",
            f"Built in: {', '.join(sorted(BUILTINS))}. Your own: path/to/file.py:function.",
            EXIT_USAGE,
        )
    if not Path(path).is_file():
        raise TickmakerError(f"No strategy file at {path}", _REMEDY, EXIT_USAGE)
    return Named(USER + function, Path(path))


def compiled(name: str, file: Path) -> "UserStrategy":
    """The function `user:<name>` of `file`, compiled; TickmakerError in the user's own lines."""
    from fastcore.user import StrategyError, load

    try:
        return load(f"{file}:{name.removeprefix(USER)}")
    except StrategyError as error:
        raise TickmakerError(f"Strategy: {error}", _REMEDY, EXIT_USAGE) from None


def configured(core_config: dict[str, Any], user: "UserStrategy") -> dict[str, Any]:
    """The core's table with the parameters' defaults and the source's hash written out."""
    params = user.params | core_config["params"]
    return core_config | {"params": params, "strategy_sha256": user.source_sha256}


def copy_path(run_dir: Path, sha256: str) -> Path:
    """Where a run folder keeps the source of this hash; a run may have several."""
    return run_dir / "strategies" / f"{sha256}.py"


def keep(user: "UserStrategy", run_dir: Path) -> None:
    """A copy of the source that was compiled, beside the journals."""
    copy = copy_path(run_dir, user.source_sha256)
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(user.source.encode())


def of_run(run_dir: Path, core_config: dict[str, Any]) -> "UserStrategy | None":
    """The strategy that a run had, compiled again from its copy; None for a built-in one."""
    name = str(core_config.get("strategy", ""))
    if not name.startswith(USER):
        return None
    copy = copy_path(run_dir, str(core_config.get("strategy_sha256")))
    if not copy.is_file():
        raise TickmakerError(
            f"{copy} is missing: the run's strategy was the user's own",
            "Restore the file: a run can only be verified with the strategy that it had.",
        )
    if hashlib.sha256(copy.read_bytes()).hexdigest() != core_config.get("strategy_sha256"):
        raise TickmakerError(
            f"{copy} is not the file that ran: the journal holds another sha256",
            "Restore the file as it was.",
        )
    return compiled(name, copy)


def failure_text(user: "UserStrategy", core: Core) -> str:
    """Of the first call that was refused, in the user's own line; empty when none was."""
    from fastcore.user import why

    failed = core.failure()
    if failed is None:
        return ""
    params = user.param_values(core.config["params"])
    is_referenced = "reference" in core.config
    return f"the strategy failed: {why(user, failed[0], params, failed[1], is_referenced)}"


class OwnStrategy:
    """The strategy of a session that is not built in: compiled, kept, its first failure told."""

    def __init__(self, name: str, file: Path, run_dir: Path) -> None:
        self.user = compiled(name, file)
        self._is_told = False
        keep(self.user, run_dir)

    def first_failure(self, core: Core) -> dict[str, str] | None:
        """Once, what the function does in plain Python on the view that it failed on."""
        text = "" if self._is_told else failure_text(self.user, core)
        if not text:
            return None
        self._is_told = True
        return {"what": text, "remedy": "it quotes nothing then, and is halted when it goes on"}


# -- WHAT A RUN'S END MEANS ---


def aside(core: Core) -> dict[str, Any]:
    """`aside` of a core that is free to quote and wants nothing; nothing when it wants to."""
    code = core.numbers()["strategy_code"]
    if core.working_count or code == QUOTE:
        return {}
    is_own = str(core.config["strategy"]).startswith(USER)
    meaning = ": a signal is not warm yet" if code == NOT_WARM and not is_own else ""
    return {"aside": f"the strategy stands aside (code {code}{meaning})"}


def refused_calls(report: dict[str, Any]) -> str:
    """A sentence on the calls of the strategy that were refused; empty when none was."""
    count = report.get("nonsense") or 0
    if not count:
        return ""
    return f"{count:,} call{'s' * (count != 1)} of the strategy refused; it quoted nothing then"


def end_remedy(state: str, source: str = "") -> str:
    """What to do about a run that ended halted for these reasons."""
    reasons = state.replace("+", ",").split(",")
    if "STRATEGY" in reasons:
        return f"Correct the strategy and start again. {_REMEDY}"
    if source and {"BOOK", "FEED_STALE"} & set(reasons):
        return f"`tickmaker tape verify {source}` tells of gaps and crossed books."
    return "docs/halts.md says what raises and what clears each reason."
