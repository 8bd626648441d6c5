#!/usr/bin/env bash
# Start, stop and see nodes that run from this checkout, and have them join and leave clusters.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/cluster.sh COMMAND

  start            run a node in the foreground; Ctrl-C stops it
  start --detach   run it in the background, return when it answers;
                   its hexhub.pid and hexhub.log are in its data directory
  stop             stop the node called NODE_NAME
  stop --all       stop every node that runs from this checkout
  join NAME@HOST[:CLUSTER_PORT] [--force --discard NODE_NAME]
                   join the cluster of that node: the node of NODE_NAME or PORT,
                   with neither every node of this checkout that is not yet a
                   member there, one by one. A node that holds anything a person
                   made is refused, unless --force --discard names it: its own
                   data is then gone
  leave            the node of NODE_NAME or PORT leaves its cluster
  status [--json]  show the nodes that run from this checkout;
                   exit code 0: all healthy, 1: one is not, 3: none runs
  help             this text

Settings come from the environment: PORT (4000), NODE_NAME (hex_hub1),
DATA_DIR (data/NODE_NAME), HEXHUB_HOST (127.0.0.1), HEXHUB_URL and more;
.venv/bin/hexhub config show lists them all.
TEXT
}

wrong_usage() {
  say "error: $1"
  usage >&2
  exit 2
}

# nodes COMMAND [OPTION]: the part that is written in Python; it needs no installed library.
nodes() {
  local python="$VENV/bin/python"
  [ -x "$python" ] || python=$(find_python) || exit 1
  cd -- "$ROOT"
  exec "$python" -m scripts.nodes "$@"
}

command=${1:-help}
[ $# -eq 0 ] || shift
if [ "$command" = join ]; then
  case "$#:${2:-}:${3:-}" in
    1::) ;;
    4:--force:--discard) ;;
    *) wrong_usage "join takes NAME@HOST[:CLUSTER_PORT], and perhaps --force --discard NODE_NAME" ;;
  esac
  nodes join "$@"
fi
[ $# -le 1 ] || wrong_usage "one option at most"
case "$command ${1:-}" in
  "start ")
    ensure_installed
    exec "$VENV/bin/hexhub" serve
    ;;
  "start --detach")
    ensure_installed
    nodes start
    ;;
  "stop " | "stop --all") nodes stop ${1+"$1"} ;;
  "leave ") nodes leave ;;
  "status " | "status --json") nodes status ${1+"$1"} ;;
  "help " | "--help " | "-h ") usage ;;
  "start "* | "stop "* | "leave "* | "status "* | "help "*) wrong_usage "$command has no option $1" ;;
  *) wrong_usage "there is no command $command" ;;
esac
