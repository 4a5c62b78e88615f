"""`make fuzz`: coverage-guided fuzzing by libFuzzer, under ASan and UBSan; docs/fuzzing.md.

Builds the safe build with clang's instrumentation into build/fuzz, then runs each target for its
share of the time, one process. Goes on from the corpus that the last run left. What it did is
written to --out; exit code 1 when something was found.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "fuzz"
KEPT = ROOT / "tests" / "data" / "fuzz"
SANITIZE = "-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined"
CFLAGS = f"-O1 -g1 -fno-omit-frame-pointer {SANITIZE}"
# Share of the time, and the longest input: a core's day is worth more time than a number.
TARGETS = {
    "core": (13, 512), "binance": (4, 2_048), "bybit": (4, 2_048), "book": (5, 1_024),
    "journal": (2, 512), "frames": (1, 512), "number": (1, 64),
}  # fmt: skip
ENVIRONMENT = {
    "PYTHONMALLOC": "malloc",  # every Python object is then a block that ASan knows
    "PYTHONHASHSEED": "0",
    # libFuzzer stands before ASan: its counters' entry points are the ones that are wanted.
    "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=8:verify_asan_link_order=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}
STATS = {"number_of_executed_units": "executions", "peak_rss_mb": "peak_rss_mb"}


def main() -> int:
    asked = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    asked.add_argument("--minutes", type=float, default=5.0, help="wall time over all targets")
    asked.add_argument("--target", default="all", choices=["all", *TARGETS])
    asked.add_argument("--seed", type=int, default=0, help="of libFuzzer; 0: a new one")
    asked.add_argument("--out", type=Path, default=ROOT / "build" / "fuzz.json")
    asked.add_argument("--append", action="store_true", help="add to what is in --out")
    asked.add_argument("--reproduce", type=Path, help="run this file through --target once")
    asked.add_argument("--keep", action="store_true", help="renew tests/data/fuzz at the end")
    args = asked.parse_args()
    names = list(TARGETS) if args.target == "all" else [args.target]
    clang = Clang()
    build(clang)
    if args.reproduce:
        if args.target == "all":
            asked.error("--reproduce needs --target")
        return child(clang, args.target, [str(args.reproduce.resolve())]).returncode
    shares = sum(TARGETS[name][0] for name in names)
    results = {}
    for name in names:
        seconds = max(1, round(args.minutes * 60 * TARGETS[name][0] / shares))
        print(f"==> {name}: {seconds} s", flush=True)
        results[name] = fuzz(clang, name, seconds, args.seed)
        print(f"    {json.dumps(results[name])}", flush=True)
        if args.keep:
            keep(clang, name)
    findings = sum(len(result["findings"]) for result in results.values())
    write(args.out, clang, results, args.append)
    print(f"{findings} findings; {args.out}")
    return 1 if findings else 0


class Clang:
    """The compiler, and its runtime libraries; a way out for who has none."""

    def __init__(self) -> None:
        self.path = os.environ.get("FUZZ_CC", "clang")
        remedy = "on Debian: apt-get install clang llvm libclang-rt-14-dev"
        if shutil.which(self.path) is None:
            raise SystemExit(f"make fuzz needs clang, which is not there ({remedy})")
        self.version = self._say("--version").splitlines()[0]
        folder = Path(self._say("-print-runtime-dir").strip())
        libraries = []
        for name, kind in (("asan", "so"), ("fuzzer_no_main", "a")):
            # By target triple the folder says the machine, else the name does.
            names = [f"libclang_rt.{name}{end}.{kind}" for end in (f"-{platform.machine()}", "")]
            found = [folder / each for each in names if (folder / each).exists()]
            if not found:
                raise SystemExit(f"make fuzz needs {folder}/{names[0]} ({remedy})")
            libraries += found[:1]
        self.asan, self.fuzzer = libraries

    def _say(self, what: str) -> str:
        said = subprocess.run([self.path, what], check=True, capture_output=True, text=True)
        return said.stdout


def build(clang: Clang) -> None:
    """The instrumented modules, the sources beside them, and libFuzzer as a library."""
    print("==> Compiling the instrumented build (minutes the first time)", flush=True)
    cache = "ccache " if shutil.which("ccache") else ""
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", BUILD,
         "--build-temp", ROOT / "build" / "fuzz-temp", "-j", "1"],
        cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
        env=os.environ | {
            "CC": f"{cache}{clang.path}", "LDSHARED": f"{clang.path} -shared",
            "FASTCORE_SAFE": "1", "FASTCORE_CFLAGS": CFLAGS,
        },
    )  # fmt: skip
    subprocess.run([ROOT / "deploy" / "mirror.sh", BUILD.relative_to(ROOT)], cwd=ROOT, check=True)
    subprocess.run(
        [clang.path, "-shared", "-o", BUILD / "libfuzzer.so", "-Wl,--whole-archive", clang.fuzzer,
         "-Wl,--no-whole-archive", "-lstdc++", "-lpthread", "-lm"],
        check=True,
    )  # fmt: skip


def child(
    clang: Clang, target: str, args: list[str], log_name: str = ""
) -> subprocess.CompletedProcess[str]:
    """libFuzzer on a target, at a low priority; what it says goes to a log, and is returned."""
    log = BUILD / f"{log_name or target}.log"
    with log.open("w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.child", target, *args],
            cwd=BUILD, check=False, stdout=out, stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.nice(10),
            env=os.environ | ENVIRONMENT | {
                "LD_PRELOAD": f"{BUILD / 'libfuzzer.so'}:{clang.asan}",
                "TICKMAKER_LIBFUZZER": str(BUILD / "libfuzzer.so"),
            },
        )  # fmt: skip
    said = log.read_text(errors="replace")
    if done.returncode:
        print(said[-6_000:])
    return subprocess.CompletedProcess(done.args, done.returncode, said, "")


def lay_seeds(target: str) -> tuple[Path, Path]:
    """(folder of seeds, dictionary), written anew."""
    from tests.fuzz.seeds import seeds, words

    folder = BUILD / "seeds" / target
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for index, seed in enumerate(seeds(target)):
        (folder / f"{index:03}").write_bytes(seed)
    dictionary = BUILD / "seeds" / f"{target}.dict"
    spelt = ["".join(f"\\x{byte:02x}" for byte in word) for word in words(target)]
    dictionary.write_text("".join(f'"{word}"\n' for word in spelt))
    return folder, dictionary


def fuzz(clang: Clang, target: str, seconds: int, seed: int) -> dict[str, Any]:
    """Run one target for its time; what it did. A crash ends its time: it is to be fixed first."""
    seeds, dictionary = lay_seeds(target)
    corpus, found = BUILD / "corpus" / target, BUILD / "findings" / target
    for folder in (corpus, found, KEPT / target):
        folder.mkdir(parents=True, exist_ok=True)
    earlier = set(found.iterdir())
    begin_s = time.monotonic()
    said = child(clang, target, [
        f"-max_total_time={seconds}", f"-max_len={TARGETS[target][1]}",
        *[f"-dict={dictionary}"][: dictionary.stat().st_size],
        f"-seed={seed}", f"-artifact_prefix={found}/", "-print_final_stats=1", "-timeout=30",
        "-rss_limit_mb=3072", "-use_value_profile=1", "-reload=0", "-len_control=0",
        str(corpus), str(seeds), str(KEPT / target),
    ]).stdout  # fmt: skip
    figures = {name: int(count) for name, count in re.findall(r"stat::(\w+):\s+(\d+)", said)}
    coverage = re.findall(r"#\d+\s+(\w+)\s+cov: (\d+) ft: (\d+) corp: (\d+)/", said)
    loaded = re.search(r"Loaded \d+ modules\s+\((\d+) inline", said)
    begun = [int(cov) for what, cov, *_ in coverage if what == "INITED"]
    new = sorted(path.name for path in found.iterdir() if path not in earlier)
    return {
        "seconds": round(time.monotonic() - begin_s),
        **{name: figures.get(told) for told, name in STATS.items()},
        "edges": int(coverage[-1][1]) if coverage else None,
        "edges_at_start": begun[0] if begun else None,
        "features": int(coverage[-1][2]) if coverage else None,
        "corpus": int(coverage[-1][3]) if coverage else None,
        "edges_of_all_modules": int(loaded[1]) if loaded else None,
        "findings": new,
    }


def keep(clang: Clang, target: str) -> None:
    """The fewest inputs that reach every edge that the corpus reaches: the regression tests."""
    small = BUILD / "small" / target
    shutil.rmtree(small, ignore_errors=True)
    small.mkdir(parents=True)
    child(clang, target, [
        "-merge=1", "-use_counters=0", f"-max_len={TARGETS[target][1]}", str(small),
        str(KEPT / target), str(BUILD / "seeds" / target), str(BUILD / "corpus" / target),
    ], f"{target}-merge")  # fmt: skip
    inputs = list(small.iterdir())
    if not inputs:
        return  # the merge failed, and its log was shown: keep what there is
    for path in (KEPT / target).glob("[0-9a-f]" * 40):
        path.unlink()  # a finding's input has a name of its own, and stays
    for path in inputs:
        shutil.copy(path, KEPT / target / path.name)


def write(out: Path, clang: Clang, results: dict[str, Any], is_added: bool) -> None:
    """The figures of each run of each target, and their sums."""
    targets: dict[str, list[dict[str, Any]]] = {}
    if is_added and out.exists():
        targets = json.loads(out.read_text())["targets"]
    for name, result in results.items():
        targets.setdefault(name, []).append(result)
    runs = [run for told in targets.values() for run in told]
    document = {
        "what": "libFuzzer on the safe build under ASan and UBSan, one process",
        "day": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "compiler": clang.version,
        "python": sysconfig.get_python_version(),
        "flags": CFLAGS,
        "minutes": round(sum(run["seconds"] for run in runs) / 60, 1),
        "executions": sum(run["executions"] or 0 for run in runs),
        "findings": sum(len(run["findings"]) for run in runs),
        "targets": targets,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    raise SystemExit(main())
