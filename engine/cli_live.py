"""Commands of a live engine: run it, and tell it things while it runs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli_output import JsonFlag, print_json
from engine.errors import EXIT_USAGE, TickmakerError

Run = Annotated[Path, typer.Argument(help="The run's folder.")]
Instrument = Annotated[
    str | None, typer.Option(help="One of the run's, by key or symbol; all without it.")
]


def run(
    config: Annotated[Path, typer.Argument(help="TOML; see docs/run.md and deploy/examples.")],
    duration: Annotated[
        str | None, typer.Option("--for", help="90s, 15m, 1h; without: until it is stopped.")
    ] = None,
    paper: Annotated[
        bool,
        typer.Option(
            "--paper",
            help="Live feed, simulated fills: no order leaves this host, no key is read. The "
            "addresses may be production's: only their public market data are asked for.",
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Trade on the venues and accounts of a configuration, until told to stop."""
    from engine.running import RunOptions, run_engine, seconds_of

    seconds = None if duration is None else seconds_of(duration)
    report, code = run_engine(RunOptions(config, seconds, as_json, paper))
    if as_json:
        print_json(report)
    raise typer.Exit(code)


def halt(run: Run, instrument: Instrument = None, as_json: JsonFlag = False) -> None:
    """Pull the quotes of a running engine, and keep them pulled until `resume`."""
    _ask(run, {"do": "halt", "instrument": instrument}, as_json)


def resume(run: Run, instrument: Instrument = None, as_json: JsonFlag = False) -> None:
    """Clear what an operator may clear: halt, and the latched reasons."""
    _ask(run, {"do": "resume", "instrument": instrument}, as_json)


def params(
    run: Run,
    changes: Annotated[list[str], typer.Argument(help="name=number, one or more.")],
    instrument: Instrument = None,
    as_json: JsonFlag = False,
) -> None:
    """Set parameters of a running strategy; journaled. Limits can't be changed."""
    wanted: dict[str, float] = {}
    for text in changes:
        name, equals, value = text.partition("=")
        try:
            wanted[name] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise TickmakerError(
                f"Expected name=number, was {text!r}", "for example half_spread_ticks=3",
                EXIT_USAGE,
            )  # fmt: skip
    _ask(run, {"do": "params", "instrument": instrument, "set": wanted}, as_json)


def _ask(run: Path, request: dict[str, Any], as_json: bool) -> None:
    from engine.live.control import ask

    answer = ask(run, request)
    if as_json:
        print_json(answer)
        return
    from engine.run_view import plain_value

    for key, reasons in answer.get("state", {}).items():
        print(f"{key}: {', '.join(reasons) or 'free to quote'}")
    for name, value in answer.get("params", {}).items():
        print(f"{name} = {plain_value(value)}")


def add_to(app: typer.Typer) -> None:
    for command in (run, halt, resume, params):
        app.command()(command)
