#!/usr/bin/env bash
# Mirror the sources into the tree $1, beside the extension modules built there: same tests, other
# build. Compiled modules are never copied. Run from the project's root.
set -euo pipefail
tree=$1
mkdir -p "$tree"
find "$tree" -name '*.py' -delete # what is gone here must be gone there
tar --exclude='*.so' --exclude=__pycache__ --exclude=./build --exclude=./runs --exclude='./.venv*' \
    --exclude=./.git --exclude='*.egg-info' --exclude='./.*_cache' --exclude=./.hypothesis -cf - . | tar -xf - -C "$tree"
