#!/usr/bin/env bash
# Resolve the newest allowed packages into the lock files; every file of a release is hashed, so
# one lock serves Python 3.11-3.13 on every platform. Names no index: pip's own setting decides.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
"$python" -m venv --clear build/lock
build/lock/bin/pip install --quiet pip-tools
compile() {
    build/lock/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options "$@" pyproject.toml
}
compile --upgrade --extra build -o requirements.lock
compile --upgrade --extra build --extra dev -c requirements.lock -o requirements-dev.lock
