"""docs/ledger.md says what is so: its views exist, its SQL runs, and every view is in it."""

import re
import sqlite3
from pathlib import Path

from engine.live.stage import UNLOGGED
from engine.recorder import events_log
from engine.recorder.follow import catch_up
from tests.support_journal import JournalBuilder, rows, write_run
from tests.support_sources import ROOT

TEXT = (ROOT / "docs" / "ledger.md").read_text()
OWN = {"v_spans"}  # other views are made of it
TELLERS = ("live/*.py", "gateway/*.py", "session.py", "recorder/events_log.py")  # of a session


def test_views_of_the_page_and_of_the_ledger_are_the_same(tmp_path: Path) -> None:
    catch_up(tmp_path)
    made = {row["name"] for row in rows(
        tmp_path, "SELECT name FROM sqlite_master WHERE type = 'view'")}  # fmt: skip
    assert made - OWN == set(re.findall(r"\bv_\w+", TEXT))


def test_every_query_of_the_page_runs_and_finds_something(tmp_path: Path) -> None:
    builder = JournalBuilder(tmp_path)
    write_run(builder)
    builder.close()
    catch_up(tmp_path)
    (block,) = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)
    queries = [query.strip() for query in block.split(";") if query.strip()]
    assert len(queries) == 5
    for query in queries:
        assert sqlite3.complete_statement(query + ";")
        found = rows(tmp_path, query.replace("2026-01-02T03:00", "2023").replace("2026", "2024"))
        assert found, query


def test_kinds_of_events_are_those_that_a_session_tells() -> None:
    (table,) = re.findall(r"(?ms)^    kind .*?\n\n?(?=\Z)", events_log.__doc__ or "")
    kinds = {
        kind for line in table.splitlines()[1:] if (named := re.match(r" {4}(\w[\w, ]*?)  ", line))
        for kind in named[1].split(", ")
    }  # fmt: skip
    sources = [path.read_text() for glob in TELLERS for path in (ROOT / "engine").glob(glob)]
    told = {kind for text in sources for kind in re.findall(
        r"""(?:emit|say)\(\s*"([a-z_]+)",""", text)}  # fmt: skip
    assert kinds == told - UNLOGGED
