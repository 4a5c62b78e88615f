"""The command line. Each command parses, calls one function of its room, and prints.

`--json` puts one JSON object on the last line of standard output, of an error, too ("error",
"remedy", "exit_code"). Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 unsafe and refused,
4 killed or latched, 130 interrupted before anything was begun.
"""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from engine import cli_live
from engine.cli_bench import bench_app
from engine.cli_check import check
from engine.cli_output import (
    JsonFlag,
    has_said,
    print_json,
    print_result,
    progress_bar,
    warn,
)
from engine.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, TickmakerError

app = typer.Typer(
    help="Tickmaker: market making with a compiled hot path.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
tape_app = typer.Typer(help="Import and check recorded market data.", no_args_is_help=True)
runs_app = typer.Typer(help="What runs left behind.", no_args_is_help=True)
app.add_typer(tape_app, name="tape")
app.add_typer(runs_app, name="runs")
app.add_typer(bench_app, name="bench")
app.command()(check)
cli_live.add_to(app)

Strategy = Annotated[str, typer.Option(help="A built-in one, or my_file.py:function.")]
RunsDir = Annotated[Path, typer.Option(help="Where run folders are made.")]


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(min=1.0, help="How long to quote, seconds.")] = 30.0,
    tape: Annotated[
        Path | None, typer.Option(help="Serve this recorded tape or raw capture instead.")
    ] = None,
    strategy: Strategy = "spread",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the market.")] = 7,
    runs: RunsDir = Path("runs"),
    as_json: JsonFlag = False,
) -> None:
    """Trade against a local exchange through real sockets, and watch."""
    from engine.demo import DemoOptions, run_demo
    from engine.strategies import end_remedy

    options = DemoOptions(
        seconds=seconds, tape=tape, strategy=strategy, seed=seed, runs_dir=runs, as_json=as_json
    )
    report, code = run_demo(options)
    if as_json:
        print_json(report)
    if "STRATEGY" in report["state"].split("+"):
        raise TickmakerError(
            "The strategy failed until it was halted: it quoted nothing for the rest of the demo",
            "The first failure is told above. " + end_remedy(report["state"]),
        )
    raise typer.Exit(code)


@tape_app.command("import")
def tape_import(
    files: Annotated[list[Path], typer.Argument(help="Raw captures, in order (a day roll).")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The tape to write (.tape.arrow).")],
    symbol: Annotated[str | None, typer.Option(help="Needed when files hold several.")] = None,
    tick: Annotated[str | None, typer.Option(help="Tick size; inferred when absent.")] = None,
    lot: Annotated[str | None, typer.Option(help="Lot size; inferred when absent.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Turn raw venue captures into one tape."""
    from engine.tape.importer import import_files

    with progress_bar("importing", as_json) as advance:
        summary = import_files(files, out, symbol=symbol, tick=tick, lot=lot, progress=advance)
    print_result(summary, as_json)


@tape_app.command("capture")
def tape_capture(
    url: Annotated[str, typer.Argument(help="WebSocket address, streams included.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write; .gz compresses.")],
    send: Annotated[
        list[str] | None, typer.Option(help="A message to send first (Bybit's subscribe).")
    ] = None,
    snapshot: Annotated[str, typer.Option(help="REST address of the book (Binance).")] = "",
    seconds: Annotated[float, typer.Option(min=0.0, help="0: until it is interrupted.")] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="A file that is there.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Record a venue's market data, every frame as it comes."""
    from engine.gateway.capture import run

    result = run(
        url, out, send=send or [], snapshot_url=snapshot, seconds=seconds,
        is_overwriting=overwrite,
    )  # fmt: skip
    print_result(result, as_json)


@tape_app.command("verify")
def tape_verify(
    tape: Annotated[Path, typer.Argument(help="A tape, or a raw capture.")],
    symbol: Annotated[str | None, typer.Option(help="Needed when it holds several.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Rebuild the book and hold it against the venue's own best bid and ask."""
    from engine.tape.verify import verify_tape

    with progress_bar("verifying", as_json) as advance:
        result = verify_tape(tape, progress=advance, symbol=symbol)
    print_result(result, as_json)
    clean = result["update_id_gaps"] == 0 and result["crossed"] == 0
    raise typer.Exit(EXIT_OK if clean else EXIT_FAILED)


@app.command()
def replay(
    tape: Annotated[Path, typer.Argument(help="A tape (see `tape import`), or a raw capture.")],
    strategy: Strategy = "spread",
    latency_us: Annotated[
        float, typer.Option(min=0.0, help="One way to the venue and back, microseconds each.")
    ] = 500.0,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    runs: RunsDir = Path("runs"),
    as_json: JsonFlag = False,
) -> None:
    """Run the same core over a tape in process, with simulated matching."""
    from engine.replay.run import replay_tape
    from engine.strategies import end_remedy, refused_calls

    with progress_bar("replaying", as_json) as advance:
        report = replay_tape(
            tape,
            strategy=strategy,
            seed=seed,
            latency_us=latency_us,
            runs_dir=runs,
            progress=advance,
        )
    print_result(report, as_json)
    refused, failure = refused_calls(report), report.get("strategy_failure")
    if refused:
        warn(refused + (f"; the first: {failure}" if failure else ""))
    if report["state"] != "RUNNING":
        raise TickmakerError(
            f"The replay ended halted ({report['state']}): quotes were pulled for the rest of it",
            end_remedy(report["state"], str(tape)),
        )


@app.command()
def verify(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    as_json: JsonFlag = False,
) -> None:
    """Replay a run's journal: are the orders byte for byte the same?"""
    from engine.replay.verify import verify_run

    with progress_bar("verifying", as_json) as advance:
        result = verify_run(run, progress=advance)
    print_result(result, as_json)
    if not as_json and not result["signatures_checked"]:
        print("signatures_checked no: the run's key is not at hand, so messages were compared "
              "without their signatures")
    if not as_json and result["cut_off"]:
        print("cut_off: the engine was killed while it wrote that. Nothing that was sent is "
              "missing: an order's record is whole before the order leaves")
    raise typer.Exit(EXIT_OK if result["identical"] else EXIT_FAILED)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    as_json: JsonFlag = False,
) -> None:
    """Build report.json and report.html of a run again, from its ledger."""
    from engine.report.build import build_report

    print_result(build_report(run), as_json)


@runs_app.command("tidy")
def runs_tidy(
    folder: Annotated[
        Path | None, typer.Argument(help="Where run folders are; the same as --runs.")
    ] = None,
    runs: RunsDir = Path("runs"),
    keep_days: Annotated[
        float | None, typer.Option(min=0.0, help="Drop journals of runs that ended before.")
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(min=0, help="Keep to this many bytes, the oldest go first.")
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Do it; else only what would go is told.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Drop raw journals of old runs. Ledgers and reports stay, and what an account's next run
    starts from, and what still runs; a run without its journal can't be verified any more."""
    from engine.clock import wall_ns
    from engine.recorder.retention import tidy

    result = tidy(
        folder or runs, wall_ns(), keep_days=keep_days, bytes_max=max_bytes, is_dry=not delete
    )
    kept = [row for row in result["journals"] if row["kept_because"]]
    if as_json:
        print_json(result)
    else:
        rows = [
            {"run": Path(row["run_dir"]).name, "bytes": row["bytes"], "dropped": row["dropped"]}
            for row in result["journals"]
        ]
        print_result({**result, "journals": rows}, as_json)
    for row in kept:
        warn(f"{row['run_dir']} keeps its journal: {row['kept_because']}")
    raise typer.Exit(EXIT_FAILED if kept else EXIT_OK)


@app.command(
    add_help_option=False,  # the exchange lists its own options
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def exchange(context: typer.Context) -> None:
    """Run the local exchange; with --json its ready line holds its (worthless) keys."""
    from engine.exchange.__main__ import main as exchange_main

    raise typer.Exit(exchange_main(context.args))


@app.command()
def sim(
    seeds: Annotated[str, typer.Option(help="A..B, both included.")] = "1..20",
    venue: Annotated[str, typer.Option(help="binance_usdm, binance_spot or bybit.")] = (
        "binance_usdm"
    ),
    schedule: Annotated[
        str, typer.Option(help="`swarm` (random faults a seed), `none`, or a TOML file.")
    ] = "swarm",
    seconds: Annotated[float, typer.Option(help="Of virtual time, each seed.")] = 60.0,
    strategy: Annotated[
        str, typer.Option(help="A built-in one (spread).", show_default=False)
    ] = "",
    pace: Annotated[float, typer.Option(help="Of the agents; 1: a liquid market's.")] = 0.05,
    only: Annotated[str, typer.Option(help="Numbers of the faults to keep, as 0,3.")] = "",
    jobs: Annotated[int, typer.Option(help="Processes.")] = 1,
    instruments: Annotated[
        int, typer.Option(help="Of the account; 0: a few, by the seed.")
    ] = 0,
    hours: Annotated[float, typer.Option(help="Instead of --seconds.")] = 0.0,
    as_json: JsonFlag = False,
) -> None:
    """Run the engine against the exchange in virtual time, seed after seed, and check both."""
    from engine.sim.command import SimOptions, simulate, story
    from engine.sim.outcome import Scenario
    from engine.sim.workers import ending_on_sigterm

    scenario = Scenario(venue, hours * 3_600.0 or seconds, strategy, pace, instruments)
    with ending_on_sigterm(), progress_bar("simulating", as_json) as advance:
        result = simulate(SimOptions(seeds, scenario, schedule, only, jobs), progress=advance)
    if not as_json:
        print("\n".join(story(result)))
    print_result(result, as_json)
    raise typer.Exit(EXIT_FAILED if result["failed"] else EXIT_OK)


def main() -> None:
    """Entry point of the `tickmaker` command."""
    try:
        app()
    except TickmakerError as e:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"[bold red]error:[/] {escape(e.what)}")
        if e.remedy:
            console.print(f"  {escape(e.remedy)}")
        if "--json" in sys.argv and not has_said():
            print_json({"error": e.what, "remedy": e.remedy, "exit_code": e.exit_code})
        sys.exit(e.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(EXIT_INTERRUPTED)
    except OSError as e:
        # Standard output is gone or full; what is not ours to mend is said in one line.
        with contextlib.suppress(OSError):
            sys.stderr.write(f"error: {e.strerror or e}\n")
        os._exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
