#!/usr/bin/env bash
# Builds rocforge as users get it (release, CPU) with warnings as errors, and runs every test.
#
#   tests/run.sh [--all] [--no-install] [--help]
#
#   --all         also: format, the quickstart, all tests under AddressSanitizer with UndefinedBehaviorSanitizer and under ThreadSanitizer, lint, and
#                 code for AMD's GPUs, compiled and inspected (no GPU is needed)
#   --no-install  installs nothing; a check whose program is missing is skipped and says so
#
# Debian 12 or Ubuntu 24.04; installs what tests/packages.txt lists (sudo only when not root). Writes into build/ and nowhere else. Ends with one
# line a stage and the count of tests; exit status 0 when nothing failed. A stage does not stop the next ones unless they need it.
set -uo pipefail
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$project/tests/steps.sh"
logs=$project/build/logs
all=no install=yes
tests_passed=0 tests_failed=0 tests_skipped=0 stages_failed=0
summary=()
end_on_signals

usage() { sed -n '2,11s/^# \{0,1\}//p' "$0"; }

for argument in "$@"; do
    case $argument in
        --all) all=yes ;;
        --no-install) install=no ;;
        -h | --help) usage; exit 0 ;;
        *) echo "run.sh: unknown argument '$argument'" >&2; usage >&2; exit 2 ;;
    esac
done

# stage NAME COMMAND...: runs COMMAND, which may set `note`, and keeps its result for the summary. Its status is COMMAND's.
stage() {
    local name=$1 started=$SECONDS result=passed
    shift
    note=
    printf '\n%s\n' "$name"
    "$@" || { result=FAILED; stages_failed=$((stages_failed + 1)); }
    summary+=("$(printf '%-16s %-8s %5d s  %s' "$name" "$result" $((SECONDS - started)) "$note")")
    [ "$result" = passed ]
}

# skip NAME REASON
skip() { summary+=("$(printf '%-16s %-8s %7s  %s' "$1" skipped - "$2")"); }

packages() {
    local groups=(build)
    [ "$all" = no ] || groups+=(check amd)
    install_packages "$logs/apt.log" "${groups[@]}"
}

# Every option is spelt out: the folder may have been configured by hand with other ones.
build() {
    quietly "Configuring $1" "$logs/$1-configure.log" cmake --preset "$1" -S "$project" \
        -DROCFORGE_WERROR=ON -DROCFORGE_TESTS=ON -DROCFORGE_EXAMPLES=ON -DCMAKE_EXPORT_COMPILE_COMMANDS=ON &&
        quietly "Building $1" "$logs/$1-build.log" cmake --build "$project/build/$1" --parallel "$(build_jobs)"
}

# run_tests PRESET: ctest, counted from what it prints: "96% tests passed, 2 tests failed out of 57", where skipped tests count as passed, and a list
# of those. ThreadSanitizer of gcc 12 needs addresses that a kernel's full randomisation does not leave free: hence setarch, where it is allowed.
run_tests() {
    local preset=$1 log=$logs/$1-tests.log status=0 ran failed skipped plain_addresses=()
    if [ "$preset" = tsan ] && setarch "$(uname -m)" -R true 2>/dev/null; then plain_addresses=(setarch "$(uname -m)" -R); fi
    quietly "Testing $preset" "$log" "${plain_addresses[@]}" \
        ctest --test-dir "$project/build/$preset" --parallel 2 --output-on-failure --no-tests=error --timeout 300 || status=1
    read -r failed ran < <(sed -nE 's/.* tests passed, ([0-9]+) tests? failed out of ([0-9]+)/\1 \2/p' "$log") || { failed=1 ran=1; }
    skipped=$(grep -cE '^[[:space:]]+[0-9]+ - .* \(Skipped\)$' "$log")
    grep -E '^[[:space:]]+[0-9]+ - .* \(Skipped\)$' "$log" | sed -E 's/^[[:space:]]+[0-9]+ - (.*) \(Skipped\)/  skipped: \1/'
    tests_passed=$((tests_passed + ran - failed - skipped))
    tests_failed=$((tests_failed + failed))
    tests_skipped=$((tests_skipped + skipped))
    note="$ran tests, $failed failed, $skipped skipped"
    return "$status"
}

# build_and_test PRESET
build_and_test() {
    if stage "$1 build" build "$1"; then stage "$1 tests" run_tests "$1"; else skip "$1 tests" "the build failed"; fi
}

# sources: every C and C++ file, and the kernels' .hip, each closed by a 0.
sources() { find "$project"/{core,sdk,kernels,plugins,examples,tests} -type f -regex '.*\.\([ch]\(pp\)?\|hip\)' -print0 | sort -z; }

# unformatted: the files that clang-format would change; fails when there is one.
unformatted() {
    local file clean=0
    while IFS= read -r -d '' file; do
        clang-format-14 "$file" | cmp -s - "$file" || { echo "clang-format-14 -i '${file#"$project/"}'"; clean=1; }
    done < <(sources)
    return "$clean"
}

format() { quietly "clang-format" "$logs/format.log" unformatted; }

# tidy BUILD FILE_PATTERN OPTION...: clang-tidy as BUILD compiles the files that match; a finding in a header is said once, without colours.
tidy() {
    local build=$1 files=$2
    shift 2
    run-clang-tidy-14 -quiet -j "$(build_jobs)" -p "$project/build/$build" -extra-arg=-Wno-unknown-warning-option "$@" "$files" 2>&1 |
        sed 's/\x1b\[[0-9;]*m//g' | awk '!/: error: / || !seen[$0]++'
}

# lint_sources: every file that is built outside tests and examples. Most of the time would go into headers of others, once a file: so all files of a
# target are read as one. The checks that judge only the file clang-tidy is given, not what it includes, run on each file that has something for
# them; one of these, bugprone-suspicious-include, is tests/rules/includes.py's business.
lint_sources() {
    local escaped rooms='(core|sdk|kernels|plugins)' status=0 named
    escaped=$(sed 's/[^[:alnum:]/_-]/\\&/g' <<<"$project")
    named=$(cd "$project" && grep -lrE --include=*.cpp '^ *(using [a-zA-Z0-9_:]+|namespace [a-zA-Z0-9_]+ = .*);' core sdk kernels plugins | paste -sd '|')
    tidy lint "^$escaped/(build/lint/)?$rooms/" -checks=-bugprone-suspicious-include || status=1
    tidy release "^$escaped/(${named//./\\.})$" '-checks=-*,misc-unused-using-decls,misc-unused-alias-decls' || status=1
    return "$status"
}

# Lint takes a minute: where no source has changed since its last clean run, that run's result stands.
lint() {
    local fingerprint stamp=$project/build/lint.sha256
    quietly "Configuring lint" "$logs/lint-configure.log" cmake --preset lint -S "$project" || return
    fingerprint=$({ sources | xargs -0 cat; cat "$project/.clang-tidy" "$project"/build/{lint,release}/compile_commands.json; } | sha256sum)
    if [ "$(cat "$stamp" 2>/dev/null)" = "$fingerprint" ]; then
        echo "  No source has changed since the last clean run."
        note="unchanged since its last clean run"
        return 0
    fi
    quietly "clang-tidy" "$logs/lint.log" lint_sources || return 1
    printf '%s\n' "$fingerprint" >"$stamp"
}

# checked NAME PROGRAM FUNCTION: a stage that needs PROGRAM.
checked() { if command -v "$2" >/dev/null; then stage "$1" "$3"; else skip "$1" "$2 is not installed"; fi; }

indented_quickstart() { "$project/examples/quickstart.sh" --no-install 2>&1 | sed 's/^/  /'; }
quickstart() {
    doing="examples/quickstart.sh"
    attended indented_quickstart
}

if [ "$install" = yes ]; then stage packages packages; else skip packages "--no-install"; fi
if [ "$all" = yes ]; then checked format clang-format-14 format; else skip format "only with --all"; fi
build_and_test release
if [ "$all" = yes ]; then
    stage quickstart quickstart
    build_and_test asan
    build_and_test tsan
    if [ -f "$project/build/release/compile_commands.json" ]; then
        checked lint run-clang-tidy-14 lint
    else
        skip lint "release was not configured"
    fi
else
    for name in quickstart "asan" "tsan" lint; do skip "$name" "only with --all"; done
fi

printf '\n%-16s %-8s %7s\n' stage result time
printf '%s\n' "${summary[@]}"
printf '\nStages failed: %d. Logs: %s\n\n' "$stages_failed" "$logs"
# A stage that failed without a test to its name counts as one, so that the last line never looks clean when something failed.
[ "$stages_failed" -eq 0 ] || [ "$tests_failed" -gt 0 ] || tests_failed=$stages_failed
printf '%d passed, %d failed, %d skipped\n' "$tests_passed" "$tests_failed" "$tests_skipped"
[ "$stages_failed" -eq 0 ]
