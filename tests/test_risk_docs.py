"""docs/gate.md and docs/halts.md say what the code does, of every code, reason and key."""

from pathlib import Path

import pytest

from bench import halt_plots, risk_docs
from fastcore.account import LIMITS
from fastcore.gate import CODES
from fastcore.halts import REASONS, SETTINGS
from fastcore.types import Halt

DOCS = Path(__file__).resolve().parents[1] / "docs"
SVG_BYTES_MAX = 60_000


@pytest.mark.parametrize("name", risk_docs.PAGES)
def test_a_page_is_what_the_command_writes(name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == risk_docs.PAGES[name](), "run `python -m bench.risk_docs`"


def test_the_tables_leave_nothing_out() -> None:
    gate, halts = risk_docs.gate(), risk_docs.halts()
    assert set(risk_docs.WHY) == {name for name, _ in CODES.values()}
    assert set(REASONS) == {bit for bit in Halt if bit}
    assert all(f"| `{name}` |" in gate for name, _ in CODES.values())
    assert all(f"| `{key}` |" in gate for key in LIMITS)
    assert all(f"| `{bit.name}` |" in halts for bit in Halt if bit)
    assert all(f"| `{key}` |" in halts for key in SETTINGS)


def test_every_picture_is_there_small_and_named_in_the_page(data_dir: Path) -> None:
    page = risk_docs.halts()
    for name, text in halt_plots.draw(data_dir).items():
        assert f"({name})" in page
        assert len(text) < SVG_BYTES_MAX
        assert (DOCS / name).read_text(encoding="utf-8") == text, (
            "run `python -m bench.halt_plots DATA`"
        )


def test_each_halt_that_is_drawn_is_in_force_for_a_part_of_its_picture(data_dir: Path) -> None:
    touches, trades, frames = halt_plots.read(data_dir / halt_plots.TAPE, halt_plots.SPAN_S)
    shade = "#f6c6c0"
    for drawn in (
        halt_plots.spread(touches),
        halt_plots.toxicity(trades),
        halt_plots.repeated_fills(trades),
        halt_plots.one_sided_fills(trades),
    ):
        assert shade in drawn
    run = halt_plots.CoreRun(frames)
    run.run()
    for watch in run.watches:
        spans = watch.close(halt_plots.CORE_S)
        assert spans, watch.reason
        assert sum(end - start for start, end in spans) < halt_plots.CORE_S / 2
    assert run.core.numbers()["denies"][0] > 50
