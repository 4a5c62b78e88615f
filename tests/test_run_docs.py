"""docs/run.md says what a configuration may hold, of every key, and what a start-up does."""

import re
import tomllib
from pathlib import Path

from bench import run_docs
from engine import errors

ROOT = Path(__file__).resolve().parents[1]


def test_the_page_is_what_the_command_writes() -> None:
    written = run_docs.PAGE.read_text(encoding="utf-8")
    assert written == run_docs.page(), "run `python -m bench.run_docs`"


def test_the_page_has_every_key_of_every_example() -> None:
    page = run_docs.page()
    documents = [tomllib.loads(path.read_text()) for path in (ROOT / run_docs.EXAMPLES).iterdir()]
    for document in documents:
        for name in ("account", "instrument"):
            for table in document[name]:
                for key, value in table.items():
                    is_plain = key in ("ws_url", "params", "signals")
                    is_table = isinstance(value, dict) and not is_plain
                    assert (f"[{name}.{key}]" if is_table else f"| `{key}` |") in page
    assert "| `exposure_e8_max` |" in page


def test_every_key_has_a_meaning() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.*) \| (.*) \|$", run_docs.page())
    assert len(rows) > 80
    assert [key for key, kind, meaning in rows if not kind or not meaning] == []


def test_every_step_is_one_that_the_engine_says() -> None:
    sources = [*(ROOT / "engine" / "live").glob("*.py"), ROOT / "engine/gateway/parent.py"]
    said = "".join(path.read_text() for path in sources)
    assert [step for step in run_docs.STEPS if step not in said] == []
    steps = set(re.findall(r"step\(\s*\"([^\"]+)\"", said)) | set(
        re.findall(r"say_step\(\"([^\"]+)\"", said)
    )
    assert steps <= set(run_docs.STEPS), "a step without a row"


def test_every_exit_code_is_told() -> None:
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert set(run_docs.EXITS) == codes
