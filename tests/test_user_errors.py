"""What a user reads when a strategy can't be compiled: their own line, short, with a remedy."""

from pathlib import Path

import pytest
from support_user import PATH, user_file, user_strategy

from fastcore.signals import SIGNALS
from fastcore.strategy_layout import CONSTANTS
from fastcore.user import SIGNALS as SIGNAL_FIELDS
from fastcore.user import StrategyError, load, split
from fastcore.user.check import signal_of

# (declaration, body, the line quoted, what is said); the body begins at line 5.
BODIES = [
    ("", "x = view.signals.microprise\nreturn 1", 5,
     "view.signals has no field 'microprise': did you mean 'microprice_ticks'?"),
    ("", "x = view.bid[0]\nreturn 1", 5, "view has no field 'bid': did you mean"),
    ("", "y = 1\nx = view.bids[0].price\nreturn 1", 6, "view.bids[0] has no field 'price'"),
    ("params={'half_spread': 1.0}", "return int(params.half_spraed)", 5,
     "params has no field 'half_spraed': did you mean 'half_spread'?; parameters are declared"),
    ("params={'a': 1}", "i = view.bid_count\nreturn int(params[i])", 6, "read by name"),
    ("params={'a': 1}", "return int(params[1])", 5, "params[1] is past the end, 1 are there"),
    ("", "x = view.signals.ofi_norm\nreturn 1", 5,
     "view.signals.ofi_norm is always 0.0 here: declare it, @strategy(signals=['ofi'])"),
    ("signals=['ofi']", "x = view.signals.ewma_mean_ticks\nreturn 1", 5,
     "declare it, @strategy(signals=['ofi', 'ewma_z'])"),
    ("levels=2", "return view.asks[2].px_ticks", 5,
     "view.asks[2] is past the end, 2 are there: declare @strategy(levels=3)"),
    ("", "target.bids[8].px_ticks = 1\nreturn 1", 5, "target.bids[8] is past the end, 8 are"),
    ("state=2", "state[2] = 1\nreturn 1", 5,
     "state[2] is past the end, 2 are there: declare @strategy(state=3)"),
    ("", "view.position_lots = 3\nreturn 1", 5, "view is read-only"),
    ("", "view.now_ns += 3\nreturn 1", 5, "view is read-only"),
    ("params={'a': 1}", "params.a = 3\nreturn 1", 5, "params is read-only"),
    ("", "v = view\nv.position_lots = 3\nreturn 1", 6, "'position_lots' is read-only"),
    ("", "best = view.bids[0]\nbest.px_ticks = 3\nreturn 1", 6, "'px_ticks' is read-only"),
    ("", "prices = view.bids.px_ticks\nprices[0] = 3\nreturn 1", 6, "are read-only"),
    ("params={'a': 1}", "p = params\np.a = 3\nreturn 1", 6, "'a' is read-only"),
    ("", "view = 3\nreturn 1", 5, "`view` is an argument: use another name"),
    ("", "target.bids[0].px_ticks = view.asks[0].px_ticks - 0.5\nreturn 1", 5,
     "only whole numbers here: use quote_bid(target, px, qty)"),
    ("", "target.bid_count = 1.0\nreturn 1", 5, "only whole numbers here"),
    ("", "prices = target.bids.px_ticks\nprices[0] = 4.5\nreturn 1", 6, "only whole numbers here"),
    ("", "target.bids = view.bids\nreturn 1", 5, "set its fields one by one, or use quote_bid"),
    ("", "x = 1", 4, "f returns nothing: end it with `return QUOTE`"),
    ("", "return", 5, "return QUOTE, or STAND_ASIDE, not nothing"),
    ("", "if view.now_ns > 3:\n    return 1", 4, "f does not always return"),
    ("", "return 1.5", 4, "f must return QUOTE or STAND_ASIDE, was float64"),
    ("", "return 'quote'", 4, "f must return QUOTE or STAND_ASIDE"),
    ("", "print(view.now_ns)\nreturn 1", 5, "no printing inside a strategy"),
    ("", "x = open('file')\nreturn 1", 5, "a strategy opens no file"),
    ("", "import math\nreturn 1", 5, "import at the top of the file"),
    ("", "from math import pi\nreturn 1", 5, "import at the top of the file"),
    ("", "while True:\n    state[0] += 1\nreturn 1", 5, "a loop without an end"),
    ("", "yield 1", 5, "can't be a generator"),
    ("", "with state:\n    pass\nreturn 1", 5, "`with` is not possible here"),
    ("", "global PATH\nPATH = 1\nreturn 1", 5, "no global variables: keep numbers in `state`"),
    ("", "class A:\n    pass\nreturn 1", 5, "no classes inside a strategy"),
    ("", "x = f'{view.now_ns}'\nreturn 1", 5, "no text inside a strategy"),
    ("", "return f(view, params, state, target)", 5, "f can't call itself"),
    ("", "return int(np.random.random())", 5, "`np.random` inside a strategy: a run could not"),
    ("", "return int(time.time())", 5, "the time is view.now_ns"),
    ("", "return int(np.foobar(2))", 5, "numpy has no 'foobar'"),
    ("", "x = fooo + 1\nreturn 1", 5, "the name 'fooo' is not defined"),
    ("", "x = 'a' + view.now_ns\nreturn 1", 5, "'add' can't be done with these values"),
    ("", "x = 1\nif view.now_ns:\n    x = 'a'\nreturn len(x)", 8,
     "'x' is a number in one place and something else in another"),
    ("", "return view.now_ns.upper()", 5, "there is no 'upper' here"),
    ("", "quote_bid(target, 5)\nreturn 1", 5, "quote_bid takes (target, px, qty)"),
    ("", "take(target, BUY, 'a', 1, 0)\nreturn 1", 5, "take takes (target, side, px, qty, reas"),
    ("", "for name in ['a', 1]:\n    pass\nreturn 1", 5, ""),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "body", "line", "text"), BODIES)
def test_error_names_line_and_remedy(declared: str, body: str, line: int, text: str) -> None:
    with pytest.raises(StrategyError) as caught:
        user_strategy(body, declared)
    said = str(caught.value)
    assert said.startswith(f"{PATH}:{line}: ")
    assert text in said
    quoted = ["def f(view, params, state, target):", *body.splitlines()][line - 4]
    assert said.splitlines()[1].strip() == quoted.strip()
    assert len(said) < 420, "a wall of text"
    assert "Traceback" not in said
    assert caught.value.__cause__ is None


def test_error_points_at_the_word() -> None:
    with pytest.raises(StrategyError) as caught:
        user_strategy("if view.now_ns > 0:\n    µ = view.signals.microprise\nreturn 1")
    _, quoted, caret = str(caught.value).splitlines()
    assert quoted[caret.index("^") :].startswith("microprise")


def test_the_compilers_whole_text_is_kept_aside() -> None:
    with pytest.raises(StrategyError) as caught:
        user_strategy("x = 'a' + view.now_ns\nreturn 1")
    assert "No implementation of function" in caught.value.details
    assert "No implementation of function" not in str(caught.value)


DEF = "def f(view, params, state, target):\n    return 1\n"
FILES = [
    (f"@strategy\n{DEF}", "", "@strategy needs its brackets"),
    (f"@strategy(signals=['micro'])\n{DEF}", ":3:", "unknown signal 'micro'; there are ofi"),
    (f"@strategy(params={{'a': float('nan')}})\n{DEF}", ":3:", "params a must be a finite number"),
    (f"@strategy(params={{'A b': 1}})\n{DEF}", ":3:", "a parameter's name is lower case"),
    (f"@strategy(params={{f'p{{i}}': 1 for i in range(33)}})\n{DEF}", ":3:", "at most 32 params"),
    (f"@strategy(params=['a'])\n{DEF}", ":3:", "params is a table of names and their defaults"),
    (f"@strategy(state=33)\n{DEF}", ":3:", "state must be a whole number 0 .. 32, was 33"),
    (f"@strategy(state=True)\n{DEF}", ":3:", "state must be a whole number"),
    (f"@strategy(levels=0)\n{DEF}", ":3:", "levels must be a whole number 1 .. 10, was 0"),
    (f"@strategy(signal=['ofi'])\n{DEF}", ":3:", "unexpected keyword argument 'signal'"),
    ("@strategy()\ndef f(view, params, state):\n    return 1\n", ":4:",
     "f must take four arguments, (view, params, state, target), and no others"),
    ("@strategy()\ndef f(view, params, state, target, *more):\n    return 1\n", ":4:", "four"),
    ("@strategy()\ndef f(view, params, state, target=1):\n    return 1\n", ":4:", "four"),
    ("@strategy()\nasync " + DEF, ":3:", "@strategy goes above a plain function, once"),
    ("@strategy()\n@strategy()\n" + DEF, "", "@strategy goes above a plain function, once"),
    ("@strategy()\nclass f:\n    pass\n", "", "@strategy goes above a plain function"),
    ("f = strategy()(lambda v, p, s, t: 1)\n", ":3:", "@strategy goes above a plain function"),
    ("import sys\nsys.exit(3)\n", ":4:", "SystemExit while it was imported: 3"),
    ("@helper\ndef g(v):\n    return v.nope\n@strategy()\n"
     + DEF.replace("return 1", "return g(view)"), ":7:", "there is no field 'nope'"),
    ("@strategy(state=2)\n" + DEF.replace("return 1", "d = {1: 2}\n    return d[1]"), ":4:",
     "no dict or set"),
    (DEF, ":3:", "f is not a strategy: put @strategy(...) above it"),
    ("@strategy()\n" + DEF.replace("f(", "g("), ":", "no function 'f'; its strategies: g"),
    ("x = 1\n", ":", "no function 'f'; it has no @strategy at all"),
    ("f = 3\n", ":", "f is not a strategy"),
    ("def f(view:\n", ":3:", "syntax error: '(' was never closed"),
    ("import nowhere_at_all\n", ":3:", "a strategy is one file, and imports installed packages"),
    ("x = 1\ny = x / 0\n", ":4:", "ZeroDivisionError while it was imported"),
    ("def g(x):\n    return x\n@strategy()\n" + DEF.replace("return 1", "return g(1)"), ":7:",
     "'g' is a plain Python function: put @helper above it"),
    ("class A: pass\n@strategy()\n" + DEF.replace("return 1", "x = A()\n    return 1"), ":6:",
     "'A' can't be used inside a strategy"),
    ("from numpy.random import normal\n@strategy()\n"
     + DEF.replace("return 1", "return int(normal(0.0, 1.0))"), ":5:", "calls back into Python"),
    ("@helper\ndef g(x):\n    print(x)\n    return x\n@strategy()\n"
     + DEF.replace("return 1", "return g(1)"), ":8:", "calls back into Python"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "said"), FILES)
def test_a_file_that_cannot_be_used_is_explained(text: str, line: str, said: str) -> None:
    with pytest.raises(StrategyError) as caught:
        user_file(text)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{PATH}{line}" if line else "@strategy")
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    "spec", ["mine", "mine.py", "mine.py:", "mine.txt:f", "mine.py:a b", ":f"]
)
def test_a_spec_that_is_none_is_refused(spec: str) -> None:
    with pytest.raises(StrategyError, match=r"Expected path/to/file\.py:function"):
        split(spec)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match=r"nowhere\.py: no such file"):
        load(f"{tmp_path}/nowhere.py:f")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(StrategyError, match=r"folder\.py: can't be read: "):
        load(f"{tmp_path}/folder.py:f")
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9'\n")
    with pytest.raises(StrategyError, match=r"latin\.py: is not UTF-8"):
        load(f"{tmp_path}/latin.py:f")


def test_a_file_is_loaded_with_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"from fastcore.user import strategy\n@strategy(params={{'a': 2}})\n{DEF}")
    user = load(f"{path}:f")
    assert (user.name, user.path, user.source) == ("f", str(path), path.read_text())
    assert len(user.source_sha256) == 64
    assert (user.params, user.signal_mask, user.view_levels) == ({"a": 2.0}, 0, 1)
    assert user.param_values({"a": 5}) == [5.0]


def test_every_declarable_signal_fills_a_field() -> None:
    filled = {signal_of(field) for field in SIGNAL_FIELDS.names}
    assert set(SIGNALS) <= filled
    assert signal_of("mid_ticks") is None
    assert signal_of("ewma_mean_ticks") == "ewma_z"


def test_the_names_of_a_strategy_are_the_abis() -> None:
    assert (CONSTANTS["QUOTE"], CONSTANTS["STAND_ASIDE"], CONSTANTS["FAILED"]) == (1, 0, -1)
