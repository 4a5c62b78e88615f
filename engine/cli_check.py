"""`tickmaker check CONFIG`: whether a configuration would start, and can be kept."""

import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

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
    from engine.venues.hosts import host_of

    loaded = load_config(
        config, run_tag=secrets.token_hex(4), mask_seed=1, with_credentials=not offline
    )
    if not offline and not as_json:
        hosts = dict.fromkeys(host_of(account.rest_url) for account in loaded.config.accounts)
        Console(stderr=True).print(f"asking {', '.join(hosts)} ...", highlight=False)
    result = check_offline(loaded) if offline else check_online(loaded)
    if as_json:
        print_json(result)
    else:
        _show(result)
    raise typer.Exit(EXIT_OK if result["is_kept"] else EXIT_USAGE)


def _show(result: dict[str, Any]) -> None:
    from engine.report.terminal import cell_text

    console = Console(highlight=False, soft_wrap=True)
    for kind in ("accounts", "instruments"):
        for row in result[kind]:
            told = (
                f"{key.replace('_', ' ')} {cell_text(value)}"
                for key, value in row.items() if value is not None
            )  # fmt: skip
            console.print(f"{kind[:-1]}: {', '.join(told)}", markup=False)
    keys = [str(row["key"]) for row in result["instruments"]]
    if result["plan"] is not None:
        console.print("\n".join(_plan_lines(_alike_rows(result["plan"]["rows"], keys))))
    for problem in _alike(result["problems"], keys):
        console.print(f"[bold red]problem:[/] {escape(problem)}")
    for warning in _alike(result["warnings"], keys):
        console.print(f"[bold yellow]warning:[/] {escape(warning)}")
    if result["is_kept"]:
        asked = "by documented limits; no venue was asked" if result["is_offline"] else "it starts"
        console.print(f"[bold green]ok[/]: it can be kept ({asked})")


def _alike(texts: Iterable[str], keys: Sequence[str]) -> list[str]:
    """What is said of many instruments in the same words, once: the first of them, and how many
    more there are."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, _, what = text.partition(": ")
        found.setdefault(f": {what}" if name in keys else text, []).append(name)
    return [f"{_and_more(names)}{what}" if what.startswith(": ") else what
            for what, names in found.items()]  # fmt: skip


def _alike_rows(rows: Iterable[dict[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        of = "" if row["of"] in keys else row["of"]
        found.setdefault((row["what"], of, row["wanted"], row["there_is"]), []).append(row)
    return [one[0] | {"of": _and_more([row["of"] for row in one])} for one in found.values()]


def _and_more(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _plan_lines(rows: list[dict[str, Any]]) -> list[str]:
    """A table as wide as it needs to be: a name that is cut names nothing."""
    cells = [("", "of", "wanted", "there is")]
    cells += [
        (row["what"], row["of"], _number(row["wanted"]), _number(row["there_is"])) for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        f"{what:<{widths[0]}}  {of:<{widths[1]}}  {wanted:>{widths[2]}}  {there_is:>{widths[3]}}"
        for what, of, wanted, there_is in cells
    ]
    styles = ["dim", *("" if row["is_kept"] else "bold red" for row in rows)]
    return [
        f"[{style}]{escape(line)}[/]" if style else escape(line)
        for style, line in zip(styles, lines, strict=True)
    ]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
