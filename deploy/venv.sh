#!/usr/bin/env bash
# Create the virtual environment $1 with a Python that can build Tickmaker, or say what is missing.
# PYTHON=/path/to/python3 chooses one.
set -euo pipefail
venv=$1
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT

# Prints nothing if python $1 will do; else one line: what is missing, and the Debian/Ubuntu package.
missing() {
    local python=$1 name
    name=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || {
        echo "it does not run"; return; }
    case $name in
        3.11 | 3.12 | 3.13) ;;
        *) echo "it is Python $name; Tickmaker needs 3.11, 3.12 or 3.13 (apt install python3)"; return ;;
    esac
    "$python" -c 'import ensurepip, venv' 2>/dev/null || {
        echo "module venv or ensurepip is missing (apt install python$name-venv)"; return; }
    local include compiler
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
    [ -f "$include/Python.h" ] || {
        echo "header Python.h is missing from $include (apt install python$name-dev)"; return; }
    compiler=${CC:-$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("CC"))')}
    command -v "${compiler%% *}" >/dev/null || {
        echo "C compiler ${compiler%% *} is missing (apt install gcc libc6-dev)"; return; }
    echo '#include <Python.h>' >"$probe/probe.c"
    # shellcheck disable=SC2086  # the compiler may carry flags
    $compiler -I "$include" -c "$probe/probe.c" -o "$probe/probe.o" 2>"$probe/log" || {
        echo "C compiler ${compiler%% *} can't compile Python.h (apt install libc6-dev): $(grep -m1 error "$probe/log" || head -1 "$probe/log")"; }
}

reasons= seen=" "
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    python=$(command -v "$candidate") || continue
    real=$(readlink -f "$python")
    [[ $seen == *" $real "* ]] && continue
    seen+="$real "
    why=$(missing "$python")
    if [ -z "$why" ]; then
        echo "==> Creating $venv with $("$python" -VV | head -1) ($python)"
        "$python" -m venv --clear "$venv"
        exit 0
    fi
    reasons+="${reasons:+$'\n'}  $python: $why"
done
{
    echo "error: no Python here can build Tickmaker:"
    printf '%s\n' "${reasons:-  ${PYTHON:-python3} is not on the PATH}"
    echo "Install what is named above (on Debian or Ubuntu: apt install python3 python3-venv python3-dev gcc make),"
    echo "or choose another Python: make PYTHON=/path/to/python3 ..."
} >&2
exit 1
