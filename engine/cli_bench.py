"""`tickmaker bench ...`: each command measures through one module of bench/ and prints."""

import os
from pathlib import Path
from typing import Annotated

import typer

from engine.cli_output import JsonFlag, print_figures, progress_bar
from engine.errors import EXIT_USAGE, TickmakerError

bench_app = typer.Typer(help="Measure latency and throughput.", no_args_is_help=True)


@bench_app.command("core")
def bench_core(
    tape: Annotated[
        Path | None,
        typer.Option(help="A raw capture, or a tape; else BTCUSDT of TICKMAKER_DATA."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    out: Annotated[Path | None, typer.Option(help="Also write the result here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """In process: raw frame to signed order, per order-causing frame and per stage."""
    from bench.core import run

    print_figures(run(tape or _shared_capture(), rounds=rounds, out=out), as_json)


@bench_app.command("book")
def bench_book(
    tape: Annotated[
        Path | None,
        typer.Option(help="A raw capture, or a tape; else BTCUSDT of TICKMAKER_DATA."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    peers: Annotated[
        bool, typer.Option(help="Also measure other books; installs them under build/peers.")
    ] = True,
    out: Annotated[Path | None, typer.Option(help="Also write the result here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """In process: a level into the book and the touch out of it, ours beside other books."""
    from bench.book import run

    capture = tape or _shared_capture()
    with progress_bar("measuring", as_json) as advance:
        result = run(capture, rounds=rounds, out=out, with_peers=peers, progress=advance)
    print_figures(result, as_json)
    if peers and result["peers"] is None:
        raise TickmakerError(
            str(result["peers_note"]),
            "The result holds our own figures only. Make a package index reachable, or leave the"
            " peers out: --no-peers.",
        )


@bench_app.command("parts")
def bench_parts(
    tape: Annotated[
        Path | None, typer.Option(help="A raw capture; else BTCUSDT of TICKMAKER_DATA.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 9,
    peers: Annotated[
        bool, typer.Option(help="Also measure other decoders; installs them under build/peers.")
    ] = True,
    out: Annotated[Path | None, typer.Option(help="Also write the result here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """In process: decode, signals, strategies, gate, a call each; ours beside other decoders."""
    from bench.parts import run

    result = run(tape or _shared_capture(), rounds=rounds, peers=peers, out=out)
    print_figures(result, as_json)
    if result["peers_problem"]:
        raise typer.Exit(1)


@bench_app.command("soak")
def bench_soak(
    tape: Annotated[
        Path | None, typer.Option(help="A raw capture; else BTCUSDT of TICKMAKER_DATA.")
    ] = None,
    events: Annotated[int, typer.Option(min=1, help="Frames to feed at least.")] = 50_000_000,
    strategy: Annotated[str, typer.Option(help="A built-in one.")] = "spread",
    out: Annotated[Path | None, typer.Option(help="Also write the result here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """In process: allocations and memory while millions of frames go through one core."""
    from bench.soak import run

    result = run(tape or _shared_capture(), events=events, strategy=strategy, out=out)
    print_figures(result, as_json)
    if result["allocations"]:
        raise typer.Exit(1)


@bench_app.command("sim")
def bench_sim(
    seconds: Annotated[float, typer.Option(min=5.0, help="Of virtual time, calm.")] = 600.0,
    seeds: Annotated[int, typer.Option(min=1, help="Of the swarm.")] = 200,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Processes of the swarm.")] = 1,
    hours: Annotated[
        float, typer.Option(min=0.0, help="Instead: so long with many instruments.")
    ] = 0.0,
    instruments: Annotated[int, typer.Option(min=1, max=200, help="With --hours.")] = 50,
    venue: Annotated[str, typer.Option(help="With --hours.")] = "binance_usdm",
    out: Annotated[Path | None, typer.Option(help="Also write the result here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """In process: the simulator's speed against real time, and seeds an hour; or a day."""
    from bench.sim import DAY_PACE, run, run_day

    if hours:
        result = run_day(hours, instruments, venue, DAY_PACE, out)
        print_figures(result, as_json)
        raise typer.Exit(bool(result["breaches"]))
    with progress_bar("measuring", as_json) as advance:
        result = run(seconds, seeds, rounds, jobs, out, advance)
    print_figures(result, as_json)


@bench_app.command("recorder")
def bench_recorder(
    rate: Annotated[int, typer.Option(min=1, help="Order events a second, of all cores.")] = 5_000,
    seconds: Annotated[float, typer.Option(min=1.0)] = 20.0,
    cores: Annotated[int, typer.Option(min=1, max=200)] = 10,
    out: Annotated[Path | None, typer.Option(help="Also write the result here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Two processes: journals at a steady rate, and how far behind them the ledger is."""
    from bench.recorder import run

    print_figures(run(rate, seconds, cores, out), as_json)


@bench_app.command("capacity")
def bench_capacity(
    counts: Annotated[
        str, typer.Option(help="Instruments, comma-separated.")
    ] = "10,50,100,200,400",
    rate: Annotated[int, typer.Option(min=1, help="Messages a second and instrument.")] = 20,
    seconds: Annotated[float, typer.Option(min=0.5, help="Of a window.")] = 5.0,
    rounds: Annotated[int, typer.Option(min=1)] = 2,
    recorder_at: Annotated[
        int, typer.Option(min=0, help="Instruments beside the recorder; 0: leave that out.")
    ] = 200,
    out: Annotated[Path | None, typer.Option(help="Also write the result here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Over loopback: tick to order of one engine with more and more instruments."""
    from bench.capacity import run

    try:
        wanted = [int(count) for count in counts.split(",")]
    except ValueError:
        raise TickmakerError(
            f"--counts is {counts!r}", "Pass numbers, as 10,50,200.", EXIT_USAGE
        ) from None
    print_figures(run(wanted, rate, seconds, rounds, recorder_at, out), as_json)


@bench_app.command("matching")
def bench_matching(
    events: Annotated[int, typer.Option(min=1, help="Orders a round.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    out: Annotated[Path | None, typer.Option(help="Also write the result here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """In process: orders into the local exchange's book; place, cancel, shrink, take."""
    from bench.matching import run

    print_figures(run(events=events, rounds=rounds, out=out), as_json)


@bench_app.command("agents")
def bench_agents(
    hours: Annotated[int, typer.Option(min=2, help="Of the market's time.")] = 24,
    out: Annotated[Path | None, typer.Option(help="Also write the result here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """In process: a day of the agents' market, as fast as it goes; memory after each hour."""
    from bench.agents_day import run

    print_figures(run(hours=hours, out=out), as_json)


@bench_app.command("tape")
def bench_tape(
    tape: Annotated[
        Path | None,
        typer.Option(help="A raw capture, or a tape; else BTCUSDT of TICKMAKER_DATA."),
    ] = None,
    venue: Annotated[str, typer.Option(help="Whose recording it is.")] = "binance_usdm",
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    out: Annotated[Path | None, typer.Option(help="Also write the result here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """The local exchange serving a recording: in process and over sockets, times its pace."""
    from bench.tape_serving import run

    print_figures(run(tape or _shared_capture(), venue, rounds=rounds, out=out), as_json)


@bench_app.command("wire")
def bench_wire(
    rounds: Annotated[int, typer.Option(min=5)] = 5,
    messages: Annotated[int, typer.Option(min=1000, help="Messages a round and client.")] = 20_000,
    rate: Annotated[int, typer.Option(min=100, help="Messages per second.")] = 5_000,
    out: Annotated[Path | None, typer.Option(help="Also write the result here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Over loopback: round trip of ours, a C busy-poll client and plain `websockets`."""
    from bench.wire import run

    print_figures(run(rounds=rounds, messages=messages, rate=rate, out=out), as_json)


@bench_app.command("exchange")
def bench_exchange(
    orders: Annotated[int, typer.Option(min=300, help="Orders of the throughput run.")] = 15_000,
    rate: Annotated[int, typer.Option(min=100, help="Orders per second, for latency.")] = 1_000,
    out: Annotated[Path | None, typer.Option(help="Also write the result here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Over loopback: orders a second, order to answer, and messages a second of the load pump."""
    from bench.exchange import run

    print_figures(run(orders=orders, rate=rate, out=out), as_json)


def _shared_capture() -> Path:
    """The capture that the project's own figures are measured on."""
    folder = os.environ.get("TICKMAKER_DATA", "../shared/data")
    capture = Path(folder, "binance_usdm", "btcusdt_20240808.gz")
    if not capture.is_file():
        raise TickmakerError(
            f"No capture at {capture}",
            "Name one: tickmaker bench core --tape FILE (make bench TAPE=FILE), or set"
            " TICKMAKER_DATA.",
            EXIT_USAGE,
        )
    return capture
