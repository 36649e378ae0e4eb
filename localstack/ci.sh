#!/usr/bin/env bash
# LocalStack and the tests on it, on a new Debian machine: what is missing is installed, and nothing is left running.
# `localstack/ci.sh`, or its parts: `start`, which needs nothing of `make install`, `test` and `stop`.
# CI_LOCALSTACK_SECONDS bounds the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

start() {
    local missing=()
    command -v java > /dev/null || missing+=(openjdk-17-jre-headless)
    command -v npm > /dev/null || missing+=(npm)
    if [ ${#missing[@]} -gt 0 ]; then
        if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
            echo "Install ${missing[*]} first." >&2
            exit 1
        fi
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "${missing[@]}" > /dev/null
    fi
    make localstack
}

# LocalStack takes some 15 ms for a request: here it runs what the engine decides, and says in tests/engine_neutral.py what
# it does not. `make test-localstack` runs all.
run_tests() {
    local flags="-q -n 2 --dist loadfile --no-loadscope-reorder --skip-engine-neutral"
    # A job of its own, which ends with this script: `timeout` leaves the group in which a signal would reach it.
    set -m
    timeout --signal=INT "${CI_LOCALSTACK_SECONDS:-900}" make test-localstack PYTEST_FLAGS="$flags" &
    trap "kill $! 2> /dev/null; exit 143" TERM
    if ! wait $!; then
        make localstack-logs | tail -40
        exit 1
    fi
}

case "${1:-all}" in
    start) start ;;
    test) run_tests ;;
    stop) make localstack-stop ;;
    all)
        trap 'make localstack-stop' EXIT
        start
        run_tests
        ;;
    *)
        echo "Usage: localstack/ci.sh [start | test | stop]" >&2
        exit 2
        ;;
esac
