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

stage() {
    "$python" -m pytest "$@"
    code=$?
    case $code in
        5) ;;
        0 | 1) [ "$status" -eq 1 ] || status=$code ;;
        *) exit "$code" ;;  # Ctrl-C, or nothing that pytest understands
    esac
}

marked() {  # the files that have such tests: the others need not be read again
    grep -rl --include='test_*.py' "mark\.$1" tests
}

beside="--dist loadfile --no-loadscope-reorder"
# shellcheck disable=SC2086  # words
stage -n 4 $beside -m "not calm and not alone" "$@"
if [ $# -eq 0 ]; then
    # shellcheck disable=SC2046,SC2086  # names of files, without spaces
    stage -n 2 $beside -m calm $(marked calm)
    # shellcheck disable=SC2046
    stage -m alone $(marked alone)
else
    # shellcheck disable=SC2086
    stage -n 2 $beside -m calm "$@"
    stage -m alone "$@"
fi
exit "$status"
