"""Avellaneda-Stoikov's tables by the compiled formulas; and that a wrong formula is told."""

import json
import math
from pathlib import Path

import pytest

from bench import as_tables
from fastcore.strategy import avellaneda_stoikov_quotes


def test_published_tables_are_reproduced_within_sampling_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tables.json"
    assert as_tables.main(["--seed", "7", "--out", str(out)]) == 0
    assert "all within sampling error" in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert result["passed"]
    assert [(r["gamma"], r["strategy"]) for r in result["rows"]] == [
        (gamma, strategy) for gamma in (0.1, 0.01, 1.0) for strategy in ("inventory", "symmetric")
    ]
    assert as_tables.main(["--seed", "7", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result  # a seed is a result


def test_average_spread_is_the_papers_in_closed_form() -> None:
    for gamma in (0.01, 0.1, 1.0):
        exact = gamma * 4 / 2 * 1.005 + 2 / gamma * math.log(1 + gamma / 1.5)
        assert as_tables.average_spread(gamma) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize(
    ("skew", "width"),
    [(0.8, 1.0), (1.25, 1.0), (1.0, 0.95), (1.0, 1.05)],
    ids=["skews_less", "skews_more", "narrow", "wide"],
)
def test_a_wrong_formula_falls_outside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, skew: float, width: float
) -> None:
    def wrong(
        mid: float, held: float, gamma: float, sigma: float, kappa: float, left: float
    ) -> tuple[float, float, float]:
        quotes = avellaneda_stoikov_quotes(mid, held * skew, gamma, sigma, kappa, left)
        half = width * (quotes[2] - quotes[1]) / 2
        return quotes[0], quotes[0] - half, quotes[0] + half

    monkeypatch.setattr(as_tables, "avellaneda_stoikov_quotes", wrong)
    assert as_tables.main(["--seed", "7", "--out", str(tmp_path / "tables.json")]) == 1


def test_fewer_paths_widen_the_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    few, many = as_tables.run(100), as_tables.run(400)
    assert few["passed"]
    for row, other in zip(few["rows"], many["rows"], strict=True):
        for name in as_tables.COLUMNS:
            bounds = row["cells"][name], other["cells"][name]
            assert bounds[0]["long_bound"] > bounds[1]["long_bound"]
    with pytest.raises(SystemExit, match="2"):
        as_tables.main(["--paths", "1"])
    assert "--paths is 1: give a number above 1" in capsys.readouterr().err
