"""What the commands share: how a result, a progress bar and a warning are shown."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")]


class progress_bar:
    """A progress bar on stderr; silent with --json or without a terminal."""

    def __init__(self, verb: str, is_silent: bool) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=is_silent or not sys.stderr.isatty(),
        )
        self._verb = verb

    def __enter__(self) -> Any:
        self._bar.start()
        task = self._bar.add_task(self._verb, total=1.0)
        return lambda done: self._bar.update(task, completed=done)

    def __exit__(self, *exc_info: object) -> None:
        self._bar.stop()


def warn(text: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold yellow]warning:[/] {escape(text)}")


_said: list[bool] = []  # that the last line of standard output is there


def has_said() -> bool:
    return bool(_said)


def print_json(result: dict[str, Any]) -> None:
    _said.append(True)
    sys.stdout.write(json.dumps(result, default=str) + "\n")


def print_result(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    from engine.view import print_result as print_view

    print_view(result)


def print_figures(result: dict[str, Any], as_json: bool) -> None:
    """A bench's result."""
    if as_json:
        print_json(result)
        return
    from engine.view import print_bench

    print_bench(result)
