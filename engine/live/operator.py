"""What a person may tell a running engine: halt, resume, new strategy parameters, stop."""

from collections.abc import Callable, Sequence
from typing import Any

from engine.errors import EXIT_USAGE, TickmakerError
from engine.live.instrument import LiveInstrument
from engine.live.page import full
from engine.live.stage import Stage
from fastcore.core_stats import halt_names
from fastcore.types import Command


class Operator:
    """The control socket's requests."""

    def __init__(
        self, stage: Stage, instruments: Sequence[LiveInstrument], stop: Callable[[], None],
        status: Callable[[], dict[str, Any]],
    ) -> None:  # fmt: skip
        self._stage = stage
        self._instruments = instruments
        self._stop = stop
        self._status = status

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """TickmakerError for what can't be done."""
        do = request.get("do")
        if do == "halt":
            return self._command(request, Command.HALT)
        if do == "resume":
            return self._command(request, Command.RESUME)
        if do == "params":
            return self._params(request)
        if do == "status":
            if request.get("instrument"):
                return {"status": full(self._one(request))}
            return {"status": self._status()}
        if do == "stop":
            self._stop()
            return {}
        raise TickmakerError(
            f"Unknown request {do!r}", "known: halt, resume, params, status, stop", EXIT_USAGE
        )

    def _command(self, request: dict[str, Any], command: Command) -> dict[str, Any]:
        chosen = self._chosen(request)
        for instrument in chosen:
            self._stage.hot.command(instrument.number, command)
        self._stage.emit("operator", command=command.name, count=len(chosen))
        return {"state": {i.key: halt_names(i.bits) for i in chosen}}

    def _params(self, request: dict[str, Any]) -> dict[str, Any]:
        instrument = self._one(request)
        params = instrument.set_params(request.get("set"))
        self._stage.emit("operator", command="PARAMS", set=request["set"], **instrument.where)
        return {"params": params}

    def _chosen(self, request: dict[str, Any]) -> Sequence[LiveInstrument]:
        return [self._one(request)] if request.get("instrument") else self._instruments

    def _one(self, request: dict[str, Any]) -> LiveInstrument:
        """By key, or by symbol where that is enough."""
        name = request.get("instrument")
        found = [i for i in self._instruments if name in (i.key, i.symbol)]
        if name is None and len(self._instruments) == 1:
            found = list(self._instruments)
        if len(found) != 1:
            keys = ", ".join(instrument.key for instrument in self._instruments[:10])
            raise TickmakerError(
                f"Expected one of the run's instruments, was {name!r}", f"it has {keys}",
                EXIT_USAGE,
            )  # fmt: skip
        return found[0]
