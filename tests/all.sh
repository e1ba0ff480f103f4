#!/bin/sh
# All tests, as `make test` runs them: nearly all side by side, a module in one process; then, two at a time, those by the clock
# that want a calm machine (`calm`). More processes than cores, for most of a run is waiting.
# $1: Python; the rest goes to pytest, both times.
python=$1
shift
export TOKENSWARM_REQUIRE_REAL=1
unset PYTHONDONTWRITEBYTECODE  # a thousand processes begin here: a quarter of the suite's time would go into compiling
beside="--dist loadfile --no-loadscope-reorder"
# shellcheck disable=SC2086  # words
"$python" -m pytest -n 4 $beside -m "not calm" "$@"
first=$?
[ "$first" -gt 1 ] && [ "$first" -ne 5 ] && exit "$first"  # Ctrl-C, or nothing that pytest understands; 5: none were chosen
# shellcheck disable=SC2046  # names of files, without spaces
[ $# -eq 0 ] && set -- $(grep -rl --include='test_*.py' 'mark\.calm' tests)  # the others need not be read again
# shellcheck disable=SC2086  # words
"$python" -m pytest -n 2 $beside -m calm "$@"
second=$?
[ "$second" -eq 5 ] && [ "$first" -ne 5 ] && second=0
[ "$second" -ne 0 ] && exit "$second"
[ "$first" -eq 1 ] && exit 1
exit 0
