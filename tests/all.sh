#!/bin/sh
# All tests, as `make test` runs them: nearly all side by side, a module in one process; then, two at a time, those by the clock
# that want a calm machine (`calm`); then one by one those that leave nothing of it to others (`alone`). More processes than
# cores, for most of a run is waiting.
# $1: Python; the rest goes to pytest, each time.
python=$1
shift
export TOKENSWARM_REQUIRE_REAL=1
unset PYTHONDONTWRITEBYTECODE  # a thousand processes begin here: a quarter of the suite's time would go into compiling
status=5  # nothing was chosen

beside="--dist loadfile --no-loadscope-reorder"

stage() {  # how many processes, whose mark; the rest goes to pytest
    processes=$1 mark=$2
    shift 2
    # shellcheck disable=SC2086  # words
    "$python" -m pytest -n "$processes" $beside -m "$mark" "$@"
    code=$?
    case $code in
        5) ;;
        0 | 1) [ "$status" -eq 1 ] || status=$code ;;
        *) exit "$code" ;;  # Ctrl-C, or nothing that pytest understands
    esac
}

few() {  # the same, of whose files the others need not be read again
    processes=$1 mark=$2
    shift 2
    # shellcheck disable=SC2046  # names of files, without spaces
    [ $# -eq 0 ] && set -- $(grep -rl --include='test_*.py' "mark\.$mark" tests)
    stage "$processes" "$mark" "$@"
}

stage 4 "not calm and not alone" "$@"
few 2 calm "$@"
few 0 alone "$@"
exit "$status"
