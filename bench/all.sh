#!/usr/bin/env bash
# Every figure of docs/performance.md in one run of six minutes: ./bench/all.sh [DIR]
# DIR keeps the hub of hex.pm's size between runs; else it is made anew, which takes a minute.
# Needs nginx and wrk. Run it on a machine that does nothing else.
set -uo pipefail
cd "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 1
python=${PYTHON:-python3}
kept=${1:-}
ulimit -n "$(ulimit -Hn)"

# Bounded: one that hangs must not keep the others from being measured.
measure() {
  local title=$1 seconds=$2
  shift 2
  printf '\n== %s\n' "$title"
  timeout --kill-after=45 "$seconds" "$python" -m "$@" || printf 'failed: %s\n' "$*"
}

printf '%s, %s processors, %s, load %s\n' "$(date -u +%FT%TZ)" "$(nproc)" \
  "$("$python" -V)" "$(cut -d' ' -f1-3 /proc/loadavg)"
measure "Requests beside nginx, with one process and with two" 420 bench.http --rounds 3
measure "Durable publishes, one node and three" 240 bench.publish --nodes 1 3
# shellcheck disable=SC2086 # no argument when there is none
measure "A hub of hex.pm's size" 420 bench.size $kept
measure "Ten thousand idle connections" 120 bench.idle
measure "Two minutes of mixed load at 70 %" 240 bench.soak --minutes 2
