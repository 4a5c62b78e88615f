#!/usr/bin/env bash
# Resolve the newest allowed packages into the lock files; every file of a release is hashed, so
# one lock serves Python 3.11-3.13 on every platform. Names no index: pip's own setting decides.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
"$python" -m venv --clear build/lock
build/lock/bin/pip install --quiet pip-tools

# Fed by text, because an environment marker of an extra is lost otherwise.
wanted() {
    "$python" - "$@" <<'PY'
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
groups = {"run": project["dependencies"], **project["optional-dependencies"]}
print(*(line for group in sys.argv[1:] for line in groups[group]), sep="\n")
PY
}
resolve() {
    build/lock/bin/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras \
        --no-header --no-annotate --no-emit-options --no-emit-index-url --no-emit-find-links \
        --no-emit-trusted-host "$@" -
}
wanted run build | resolve --output-file deploy/requirements.lock
wanted run build dev | resolve --constraint deploy/requirements.lock --output-file deploy/requirements-dev.lock
wanted clients | resolve --output-file deploy/requirements-clients.lock
