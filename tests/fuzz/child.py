"""One libFuzzer process on one target: run.py starts it with the sanitizer's runtime loaded.

libFuzzer's own loop runs; the callback hands its bytes to the target. Coverage is that of the
compiled modules alone: Python itself is not instrumented.
"""

import ctypes
import gc
import os
import sys
import traceback

LIBRARY = os.environ["TICKMAKER_LIBFUZZER"]
CALLBACK = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)


def main() -> None:
    import fastcore
    from tests.fuzz.targets import TARGETS

    if not fastcore.SAFE:
        raise SystemExit(f"{fastcore.__file__} is not the safe build")
    target = TARGETS[sys.argv[1]]
    gc.disable()  # nothing here makes circles; a collection's edges would be an input's by chance

    def on_input(address: int | None, size: int) -> int:
        try:
            target(ctypes.string_at(address, size) if address else b"")
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os.abort()  # libFuzzer keeps the input and says where it is
        return 0

    # A merge starts this very command again, by a shell.
    itself = f"{sys.executable} -m tests.fuzz.child {sys.argv[1]}"
    args = [itself.encode(), *map(os.fsencode, sys.argv[2:])]
    argv = (ctypes.c_char_p * (len(args) + 1))(*args, None)
    library = ctypes.PyDLL(LIBRARY)
    library.LLVMFuzzerRunDriver(
        ctypes.byref(ctypes.c_int(len(args))), ctypes.byref(ctypes.pointer(argv)),
        CALLBACK(on_input),
    )  # fmt: skip


main()
