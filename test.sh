#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, runs the whole test suite, and ends with one line
# "N passed, N failed, N skipped". Exits non-zero if anything failed.
#
#   ./test.sh            all but the suites nightly and bench; under sanitizers what reads what
#                        others have written
#   ./test.sh nightly    the suite nightly; all unit tests under sanitizers; all built by clang:
#                        more than an hour on two cores
set -eu
cd "$(dirname "$0")"

case ${1-} in
'' | nightly) ;;
*)
    sed -n '3,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

./install-deps.sh "$@"

logs=()   # Meson's test logs
stages=() # --passed or --failed, and what

# stage WHAT COMMAND…: runs it quietly; what it said is shown if it fails.
stage() {
    local what=$1 start=$SECONDS said
    shift
    said=$(mktemp)
    if "$@" >"$said" 2>&1 </dev/null; then
        stages+=(--passed "$what")
        echo "$what: $((SECONDS - start)) s"
    else
        stages+=(--failed "$what")
        tail -n 100 "$said"
        echo "$what: failed after $((SECONDS - start)) s"
    fi
    rm -f "$said"
    [ "${stages[-2]}" = --passed ]
}

# configure FOLDER SETUP-WORDS…: for the first time or anew; warnings are errors.
configure() {
    local folder=$1 again=
    shift
    [ ! -f "$folder/build.ninja" ] || again=--reconfigure
    meson setup $again --werror "$@" "$folder"
}

# build FOLDER SETUP-WORDS…: configures, and compiles all.
build() { configure "$@" && meson compile -C "$1"; }

# run_tests LABEL FOLDER MESON-TEST-WORDS…: compiles what they need and is not there yet. Where that
# fails there is no log, which is a failure. One more than there are cores: some wait for seconds.
run_tests() {
    local label=$1 folder=$2 start=$SECONDS
    shift 2
    rm -f "$folder/meson-logs/testlog.json"
    # Its result is in the log, which is counted at the end.
    meson test -C "$folder" --num-processes $(($(nproc) + 1)) --print-errorlogs "$@" </dev/null || true
    logs+=("${label:+$label=}$folder/meson-logs/testlog.json")
    echo "${label:-tests}: $((SECONDS - start)) s"
}

if stage "build" build build; then
    if [ "${1-}" = nightly ]; then
        run_tests '' build --suite nightly
    else
        run_tests '' build --no-suite nightly --no-suite bench
    fi
fi

export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
sanitizers=(-Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1)
if [ "${1-}" = nightly ]; then
    if stage "build with sanitizers" build build-sanitized "${sanitizers[@]}"; then
        run_tests sanitized build-sanitized --suite unit --suite fuzz --suite sanitized
    fi
    # Its warnings do not depend on how well it optimizes.
    CC=clang stage "build by clang without a warning" build build-clang -Doptimization=0 || true
else
    if stage "set up with sanitizers" configure build-sanitized "${sanitizers[@]}"; then
        run_tests sanitized build-sanitized --suite sanitized
    fi
fi

exec tests/lib/summary.py "${logs[@]}" "${stages[@]}"
