"""Compile the Cython modules. Every other fact about the project is in pyproject.toml.

Environment:
    FASTCORE_SAFE=1     bounds checks and aborting assertions: changes no result, and is what
                        tests and fuzzers run besides the release build.
    FASTCORE_CFLAGS     replaces the optimiser's flags, e.g. "-O3 -g -march=native".
    FASTCORE_ANNOTATE   any value: Cython's annotated HTML beside each generated C file.
    FASTCORE_COMPILE=0  install without compiling: the modules are already built in place.
"""

import os
import shlex
from pathlib import Path

from setuptools import Extension, setup

SAFE = os.environ.get("FASTCORE_SAFE") == "1"
COMPILE = os.environ.get("FASTCORE_COMPILE") != "0"
CFLAGS = [
    "-ffp-contract=off",  # no fused multiply-add: a replay elsewhere gives the same doubles
    "-fno-strict-aliasing",
    *shlex.split(os.environ.get("FASTCORE_CFLAGS", "-O3 -g0")),
]
HEADERS = sorted(map(str, [*Path("fastcore").rglob("*.h"), *Path("engine").rglob("*.h")]))


def extension(path: Path) -> Extension:
    return Extension(
        ".".join(path.with_suffix("").parts),
        [str(path)],
        include_dirs=["fastcore"],
        define_macros=[("FASTCORE_SAFE", "1")] if SAFE else [("CYTHON_WITHOUT_ASSERTIONS", "1")],
        extra_compile_args=CFLAGS,
        depends=HEADERS,
    )


def extensions() -> list[Extension]:
    from Cython.Build import cythonize

    sources = sorted(path for room in ("fastcore", "engine") for path in Path(room).rglob("*.pyx"))
    return cythonize(
        [extension(path) for path in sources],
        build_dir="build/cython-safe" if SAFE else "build/cython",
        nthreads=os.cpu_count() or 1,
        annotate="FASTCORE_ANNOTATE" in os.environ,
        compiler_directives={
            "language_level": 3,
            "boundscheck": SAFE,
            "initializedcheck": SAFE,
            "wraparound": False,
            "cdivision": True,  # never by mode: it changes results for negative operands
            "embedsignature": True,
            "show_performance_hints": not SAFE,
        },
    )


setup(ext_modules=extensions() if COMPILE else [])
