"""docs/ledger.md says what is so: its views exist, its SQL runs, and every view is in it."""

import re
import sqlite3
from pathlib import Path

from engine.recorder.follow import catch_up
from tests.support_journal import JournalBuilder, rows, write_run
from tests.support_sources import ROOT

TEXT = (ROOT / "docs" / "ledger.md").read_text()
OWN = {"v_spans"}  # other views are made of it


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
