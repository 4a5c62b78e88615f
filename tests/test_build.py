"""The build under test is the one that was asked for."""

import os
import subprocess
import sys

import fastcore


def test_safe_says_which_build_this_is() -> None:
    assert fastcore.SAFE is (os.environ.get("TICKMAKER_BUILD", _found()) == "safe")


def test_core_comes_from_the_tree_that_holds_the_tests() -> None:
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    assert os.path.dirname(os.path.abspath(fastcore.__file__)) == os.path.join(root, "fastcore")


def test_core_imported_by_a_child_process_is_the_same_build() -> None:
    child = subprocess.run(
        [sys.executable, "-c", "import fastcore; print(fastcore.SAFE, fastcore.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.split() == [str(fastcore.SAFE), fastcore.__file__]


def _found() -> str:
    return "safe" if fastcore.SAFE else "release"
