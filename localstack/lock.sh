#!/bin/sh
# Writes requirements.txt, exact versions with hashes for Python 3.11 to 3.13, from requirements.in.
# `sh localstack/lock.sh UV`; UV is the command of uv, `make localstack-lock` gives it.
set -eu
uv=$1
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
{
    printf '[project]\nname = "localstack-here"\nversion = "0"\nrequires-python = ">=3.11,<3.14"\ndependencies = [\n'
    grep -v '^#' requirements.in | sed 's/.*/    "&",/'
    printf ']\n[tool.uv]\nenvironments = ["python_full_version < '"'3.14'"' and sys_platform != '"'win32'"'"]\n'
} > "$scratch/pyproject.toml"
"$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    --no-annotate --output-file "$scratch/locked.txt" "$scratch/pyproject.toml"
# What holds for every environment named above need not be said at each package.
# tailer has no wheel, and only `localstack logs` uses it; Windows is served by Docker.
sed -E "s/ ; python_full_version < '3\.14'[^\\\\]*/ /" "$scratch/locked.txt" |
    awk '/^[a-z0-9]/ { keep = !/^tailer==/ && !/win32/ } keep' > requirements.txt
