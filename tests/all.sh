#!/bin/sh
# All tests, as `make test` runs them: nearly all side by side, a module in one process; then, one after another, those by the
# clock that want the machine for themselves (`alone`). More processes than cores, for most of a run is waiting.
# $1: Python; the rest goes to pytest, both times.
python=$1
shift
export TOKENSWARM_REQUIRE_REAL=1
unset PYTHONDONTWRITEBYTECODE  # a thousand processes begin here: a quarter of the suite's time would go into compiling
"$python" -m pytest -n 5 --dist loadfile --no-loadscope-reorder -m "not alone" "$@"
first=$?
[ "$first" -gt 1 ] && [ "$first" -ne 5 ] && exit "$first"  # Ctrl-C, or nothing that pytest understands; 5: none were chosen
# shellcheck disable=SC2046  # names of files, without spaces
[ $# -eq 0 ] && set -- $(grep -rl --include='test_*.py' 'mark\.alone' tests)  # the others need not be read again
"$python" -m pytest -m alone "$@"
second=$?
[ "$second" -eq 5 ] && [ "$first" -ne 5 ] && second=0
[ "$second" -ne 0 ] && exit "$second"
[ "$first" -eq 1 ] && exit 1
exit 0
