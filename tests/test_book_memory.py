"""The update path allocates nothing: every malloc of the process is counted while it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support_sources import ROOT

COUNTER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
static long count;
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
long allocations(void) { return __atomic_load_n(&count, __ATOMIC_SEQ_CST); }
static void one(void) { __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST); }
void *malloc(size_t size) { one(); return __libc_malloc(size); }
void *calloc(size_t n, size_t size) { one(); return __libc_calloc(n, size); }
void *realloc(void *old, size_t size) { one(); return __libc_realloc(old, size); }
"""

# The difference between many messages and few leaves what is done once for a call out of account.
BOOK = """
import ctypes, gc
from fastcore.book import Book
from fastcore.measure import repeat_depth, repeat_levels
allocations = ctypes.CDLL(None).allocations
gc.disable()
book = Book(256)
near = [([(1000 + i % 40, i % 3), (990 - i, 1)], [(1100 + i % 40, i % 3), (1200 + i, 1)])
        for i in range(400)]
walk = [([(1000 + 90 * i, 1)], [(1001 + 90 * i, 1), (1100 + 90 * (i - 1) , 0)])
        for i in range(400)]

def used(rounds):
    before = allocations()
    repeat_depth(book, near, rounds)
    repeat_depth(book, walk, rounds)
    repeat_levels(book, 0, 20, rounds)
    return allocations() - before

used(1)
print(used(1), used(200), allocations())
"""

SYNC = """
import ctypes, gc, sys
import numpy as np
from pathlib import Path
from engine.tape.format import Tape
from engine.tape.importer import import_files
from fastcore.rebuild import Rebuild
from tests.tape_captures import capture, write
allocations = ctypes.CDLL(None).allocations
folder = Path(sys.argv[1])

def used(steps):
    out = folder / f"{steps}.tape.arrow"
    import_files([write(folder / f"raw{steps}", capture(steps=steps))], out)
    (columns,) = Tape(out).batches()
    touches, rebuild = np.empty((10 * steps, 5), np.int64), Rebuild(0)
    gc.collect()
    gc.disable()
    before = allocations()
    count = rebuild.run(columns, touches)
    made = allocations() - before
    gc.enable()
    assert count > steps // 2, count
    return made

used(50)
print(used(50), used(2000), allocations())
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counter")
    source, library = folder / "counter.c", folder / "counter.so"
    source.write_text(COUNTER)
    command = ["gcc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    return library


@pytest.mark.parametrize("program", [BOOK, SYNC], ids=["book", "sync"])
def test_nothing_is_allocated_for_a_message(counter: Path, tmp_path: Path, program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": str(counter), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    few, many, ever = map(int, done.stdout.split())
    assert ever > 1000  # it does count
    assert many <= few
