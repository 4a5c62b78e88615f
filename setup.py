"""Compile the Cython modules. Every other fact about the project is in pyproject.toml.

FASTCORE_SAFE=1 builds with bounds checks and aborting assertions: it changes no result, and is
what tests and fuzzers run besides the release build. FASTCORE_CFLAGS overrides the optimiser's flags.
"""

import os
import shlex
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SAFE = os.environ.get("FASTCORE_SAFE") == "1"
# -ffp-contract=off: no fused multiply-add, so a replay elsewhere gives the same doubles.
CFLAGS = ["-ffp-contract=off", "-fno-strict-aliasing", *shlex.split(os.environ.get("FASTCORE_CFLAGS", "-O3 -g0"))]


def extension(path: Path) -> Extension:
    return Extension(
        ".".join(path.with_suffix("").parts),
        [str(path)],
        include_dirs=["fastcore"],
        define_macros=[("FASTCORE_SAFE", "1")] if SAFE else [("CYTHON_WITHOUT_ASSERTIONS", "1")],
        extra_compile_args=CFLAGS,
    )


SOURCES = sorted([*Path("fastcore").rglob("*.pyx"), *Path("engine").rglob("*.pyx")])

setup(
    ext_modules=cythonize(
        [extension(path) for path in SOURCES],
        build_dir="build/cython-safe" if SAFE else "build/cython",
        nthreads=os.cpu_count() or 1,
        annotate="FASTCORE_ANNOTATE" in os.environ,
        compiler_directives={
            "language_level": 3,
            "boundscheck": SAFE,
            "initializedcheck": SAFE,
            "wraparound": False,
            "cdivision": True,
            "embedsignature": True,
        },
    )
)
