#!/bin/sh
# A load test as a gate: make load, hold the run against a stored baseline, leave what a pipeline shows.
#
#     sh gate.sh test LOCUST-ARGUMENTS...    load, then compare with $BASELINE if there is one
#     sh gate.sh renew                       the run that `test` made becomes $BASELINE
#
#     OUT        where everything is left (load-test): results/, report.html, junit.xml, summary.md, compare.html
#     BASELINE   a folder with a run's run.json and summary.json (load-test-baseline)
#     COMPARE    more options of `tokenswarm compare`, e.g. "--margin 10%"
#
# Exit code: that of the run, if it is not 0: 1 requests failed, 2 configuration, 3 a service level was missed, 4 the
# run is not valid, 5 results are missing. Else that of the comparison: 0 no regression, 3 regression, 6 inconclusive, 2
# the runs may not be compared. docs/pipelines.md says what to do about each.
set -eu
OUT=${OUT:-load-test}
BASELINE=${BASELINE:-load-test-baseline}

fail() {
    echo "gate.sh: error: $1" >&2
    exit 2
}

# The one run directory; nothing if there is none.
run_directory() {
    for found in "$OUT"/results/*/; do
        if [ -f "${found}run.json" ]; then
            printf '%s\n' "${found%/}"
        fi
    done
}

# The run's tables and report, as far as there are any.
show() {
    cp "$1/report.html" "$OUT/report.html"
    tokenswarm report "$1" --markdown >"$OUT/summary.md" || [ $? -ge 3 ] # 3 to 5: what the run has said already
}

compare() {
    if [ ! -f "$BASELINE/summary.json" ]; then
        echo "No baseline in \`$BASELINE\` yet: nothing was compared. \`gate.sh renew\` makes this run one." |
            tee -a "$OUT/summary.md"
        return 0
    fi
    code=0
    # COMPARE is several words.
    # shellcheck disable=SC2086
    tokenswarm compare "$BASELINE" "$1" --markdown --html "$OUT/compare.html" ${COMPARE:-} >"$OUT/compare.md" || code=$?
    cat "$OUT/compare.md"
    cat "$OUT/compare.md" >>"$OUT/summary.md"
    return "$code"
}

test_() {
    [ ! -e "$OUT/results" ] || fail "$OUT/results is there already: each test has a folder of its own; remove it, or set OUT"
    mkdir -p "$OUT"
    result=0 # kept, for whatever it is there is something to show
    locust --headless --results-dir "$OUT/results" --junit "$OUT/junit.xml" "$@" || result=$?
    run=$(run_directory)
    if [ ! -f "$run/summary.json" ]; then # it ended before load, or could not write: it has said why
        exit "$((result ? result : 5))"
    fi
    show "$run"
    compared=0
    case $result in
    0 | 1 | 3) compare "$run" || compared=$? ;; # the others have nothing to compare
    esac
    exit "$((result ? result : compared))"
}

# Two small files, without a request's record: they can be kept in a cache, as an artefact, or in the repository.
renew() {
    run=$(run_directory)
    [ -n "$run" ] || fail "there is no run in $OUT/results; make one with \`gate.sh test\`"
    mkdir -p "$BASELINE"
    cp "$run/run.json" "$run/summary.json" "$BASELINE/"
    echo "baseline: $run"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
test) test_ "$@" ;;
renew) renew ;;
*) fail "say test or renew" ;;
esac
