#!/bin/sh
# All tests, as `make test` runs them: first those that may go on side by side, then one after another those of real runs by the clock.
# $1: Python; the rest goes to pytest, both times.
python=$1
shift
export TOKENSWARM_REQUIRE_REAL=1
"$python" -m pytest -n 3 --dist loadfile -m beside "$@"
first=$?
[ "$first" -gt 1 ] && [ "$first" -ne 5 ] && exit "$first"  # Ctrl-C, or nothing that pytest understands; 5: none were chosen
"$python" -m pytest -m "not beside" "$@"
second=$?
[ "$second" -eq 5 ] && [ "$first" -ne 5 ] && second=0
[ "$second" -ne 0 ] && exit "$second"
[ "$first" -eq 1 ] && exit 1
exit 0
