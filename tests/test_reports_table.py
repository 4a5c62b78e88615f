"""docs/reports.md: every report of the table has a test that is named after it, and the other way
round."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reports.md"
CLASSES = 14  # of reports: as many rows


def named_tests() -> dict[str, set[str]]:
    """What a test is called in the table, and the reports that end its name."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").glob("test_reports_*.py")):
        if path.name == Path(__file__).name:
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                name, *reports = node.name.split("__")
                assert reports, f"{node.name} is named after no report"
                found.setdefault(name, set()).update(reports)
    return found


def rows() -> list[tuple[set[str], list[str]]]:
    """(reports, tests) of each row."""
    told = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 3 or not cells[2].startswith("test_"):
            continue
        reports = set()
        for group in cells[1].split(";"):
            words = group.split()
            project = words[0].replace("-", "_")
            reports |= {f"{project}_{number.strip(',')}" for number in words[1:]}
        told.append((reports, re.findall(r"test_\w+", cells[2])))
    return told


def test_every_row_has_its_tests_and_every_report_one() -> None:
    tests = named_tests()
    table = rows()
    assert len(table) == CLASSES
    for reports, names in table:
        assert names
        assert not set(names) - tests.keys(), "the table names tests that are not there"
        assert set().union(*(tests[name] for name in names)) == reports


def test_every_named_test_is_in_the_table_once() -> None:
    told = [name for _, names in rows() for name in names]
    assert sorted(told) == sorted(named_tests())
