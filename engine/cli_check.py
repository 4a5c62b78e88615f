"""`tickmaker check CONFIG`: whether a configuration would start, and can be kept."""

import asyncio
import secrets
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.cli_output import JsonFlag, print_json
from engine.errors import EXIT_OK, EXIT_USAGE

Offline = Annotated[
    bool, typer.Option("--offline", help="Ask no venue, and read no key: documented limits.")
]


def check(
    config: Annotated[Path, typer.Argument(help="A TOML file; see docs/run.md.")],
    offline: Offline = False,
    as_json: JsonFlag = False,
) -> None:
    """Say what a start-up would find, and whether the venues' limits allow it; change nothing.

    Exit codes: 0 it would start, 2 it would not, 3 it is refused as unsafe.
    """
    from engine.config_file import load_config
    from engine.live.check import check_offline, check_online

    loaded = load_config(
        config, run_tag=secrets.token_hex(4), mask_seed=1, with_credentials=not offline
    )
    result = check_offline(loaded) if offline else asyncio.run(check_online(loaded))
    if as_json:
        print_json(result)
    else:
        _show(result)
    raise typer.Exit(EXIT_OK if result["is_kept"] else EXIT_USAGE)


def _show(result: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for kind in ("accounts", "instruments"):
        for row in result[kind]:
            told = (f"{key} {value}" for key, value in row.items() if value is not None)
            console.print(f"{kind[:-1]}: {', '.join(told)}", markup=False)
    if result["plan"] is not None:
        console.print(_plan_table(result["plan"]["rows"]), crop=False)
    for problem in result["problems"]:
        console.print(f"[bold red]problem:[/] {escape(problem)}")
    if result["is_kept"]:
        asked = "by documented limits; no venue was asked" if result["is_offline"] else "it starts"
        console.print(f"[bold green]ok[/]: it can be kept ({asked})")


def _plan_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("", "of"):
        table.add_column(name, no_wrap=True)
    for name in ("wanted", "there is"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        style = "" if row["is_kept"] else "bold red"
        table.add_row(
            row["what"], row["of"], _number(row["wanted"]), _number(row["there_is"]), style=style
        )
    return table


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
