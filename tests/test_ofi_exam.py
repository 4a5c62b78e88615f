"""The order-flow exam: an independent plain-Python fit, the figures it must give, its plot."""

import itertools
import math
import xml.etree.ElementTree as ET

import pytest

from bench import ofi_exam
from bench.captures import load
from tests.reference.signals import touch_flow
from tests.support_data import ROOT, recorded

# symbol, window: N, R squared, slope, OLS s.e., White s.e.; slopes in ticks a base unit
PINNED = {
    ("btcusdt", 1): (344, 0.379749593, 1.953963868, 0.135032512, 0.244585815),
    ("btcusdt", 10): (34, 0.521421851, 2.173748947, 0.368142718, 0.460982516),
    ("ethusdt", 1): (344, 0.554586281, 0.146004675, 0.007075399, 0.009686051),
    ("ethusdt", 10): (34, 0.506829943, 0.125011341, 0.021799254, 0.020351228),
}


@pytest.fixture(scope="module")
def answers():
    return list(ofi_exam.examine(recorded("binance_usdm")))


def test_exam_gives_the_figures(answers):
    assert [(a.symbol, a.window_s) for a in answers] == list(PINNED)
    for answer in answers:
        count, *figures = PINNED[answer.symbol, answer.window_s]
        fit = answer.fit
        assert fit.points == count
        got = [fit.r_squared, fit.slope, fit.slope_error, fit.slope_error_white]
        assert got == pytest.approx(figures, abs=1e-6)


def test_exam_agrees_with_plain_sums(answers):
    """The same from touches one by one, windows by a loop, the fit by its textbook sums."""
    touches = load(recorded("binance_usdm") / "btcusdt_20240808.gz", "0.10", "0.001").touches
    rows = touches.tolist()
    start, window = rows[0][4], 10**9
    ends, flow, flows = [], 0.0, []
    for old, new in itertools.pairwise(rows):
        while new[4] >= start + (len(ends) + 1) * window:
            ends.append(0.5 * (old[0] + old[2]))
            flows.append(flow / 1000)
            flow = 0.0
        flow += touch_flow(tuple(new[:4]), tuple(old[:4]))
    mids = [0.5 * (rows[0][0] + rows[0][2]), *ends]
    y = [b - a for a, b in zip(mids, ends, strict=False)]
    n, sx, sy = len(y), math.fsum(flows), math.fsum(y)
    sxx = math.fsum(x * x for x in flows) - sx * sx / n
    sxy = math.fsum(a * b for a, b in zip(flows, y, strict=True)) - sx * sy / n
    syy = math.fsum(v * v for v in y) - sy * sy / n
    fit = answers[0].fit
    assert (fit.points, n) == (344, 344)
    assert fit.slope == pytest.approx(sxy / sxx, rel=1e-9)
    assert fit.r_squared == pytest.approx(sxy * sxy / (sxx * syy), rel=1e-9)


def test_document_shows_the_exam_as_it_is_today(answers):
    text = (ROOT / "docs" / "signals.md").read_text(encoding="utf-8")
    assert ofi_exam.table(answers) in text
    assert ofi_exam.plot(answers) == (ROOT / "docs" / "ofi_exam.svg").read_text(encoding="utf-8")


def test_plot_is_a_picture_with_a_dot_a_window(answers):
    picture = ET.fromstring(ofi_exam.plot(answers))
    kinds = [element.tag.split("}")[1] for element in picture.iter()]
    assert kinds.count("circle") == 2 * 344
    wide, high = map(float, picture.attrib["viewBox"].split()[2:])
    for dot in picture.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 < float(dot.attrib["cx"]) < wide
        assert 0 < float(dot.attrib["cy"]) < high
