# Sourced by tests/run.sh and examples/quickstart.sh: installs packages, runs a long command with its output in a log and its progress on the
# terminal, and ends what it runs when the script is stopped. Defines functions, which read $project (the repository's root), and three variables;
# the shell's settings and traps stay as they are until the script calls end_on_signals.
# shellcheck shell=bash disable=SC2154

doing=         # what a signal would stop, in words
child_group=   # process group of the command that attended() runs
ticker=        # process that shows the progress

# complain MESSAGE...: one line each on stderr; its status is 1.
complain() { printf '%s\n' "$@" >&2; return 1; }

# into LOG COMMAND...: so that a redirection holds for COMMAND alone, and not for the trap that may interrupt the wait for it.
into() { local log=$1; shift; "$@" >"$log" 2>&1; }

# attended COMMAND...: runs COMMAND, which may be a function, in a process group of its own and waits. A shell heeds a signal during a wait, not
# while a command runs in its foreground. Its status is COMMAND's.
attended() {
    local status=0
    set -m
    "$@" </dev/null &
    child_group=$!
    set +m
    wait "$child_group" || status=$?
    child_group=
    return "$status"
}

# end_on_signals: from now on SIGINT and SIGTERM end what attended() runs, at once and whole, then the script, with a line on what was stopped.
end_on_signals() {
    trap 'stopped INT 130' INT
    trap 'stopped TERM 143' TERM
}

# stopped SIGNAL STATUS
stopped() {
    local tenths
    trap '' INT TERM
    [ -z "$ticker" ] || kill "$ticker" 2>/dev/null || true
    if [ -n "$child_group" ]; then
        kill -TERM -- "-$child_group" 2>/dev/null || true
        for ((tenths = 0; tenths < 50; ++tenths)); do
            kill -0 -- "-$child_group" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL -- "-$child_group" 2>/dev/null || true
    fi
    printf '\nStopped by SIG%s%s.\n' "$1" "${doing:+ during: $doing}" >&2
    exit "$2"
}

# build_jobs: as many as there are processors, but one a 1.5 GiB of free memory, since that is what the largest file needs with a sanitizer.
build_jobs() {
    local processors by_memory
    processors=$(nproc)
    by_memory=$(awk '/^MemAvailable:/ { print int($2 / 1572864) }' /proc/meminfo)
    [ "${by_memory:-1}" -ge 1 ] || by_memory=1
    echo $((processors < by_memory ? processors : by_memory))
}

# progress LABEL LOG: until it is killed, says how long LABEL has run and how far its log is: in place on a terminal, else one dot every 10 s.
# Leaves no process behind, also when its owner dies: a pause that outlives the script would keep its output open.
progress() {
    local label=$1 log=$2 owner=$$ seconds=0 pause done_of
    trap 'kill "$pause" 2>/dev/null; exit 0' TERM
    while kill -0 "$owner" 2>/dev/null; do
        sleep 1 &
        pause=$!
        wait "$pause"
        seconds=$((seconds + 1))
        if [ -t 1 ]; then
            done_of=$(tail -c 2000 "$log" 2>/dev/null | grep -oE '^\[[0-9]+/[0-9]+\]|^ *[0-9]+/[0-9]+ Test' | tail -n 1 | tr -d '[] Test' || true)
            printf '\r  %-52s %4d s  %-11s' "$label" "$seconds" "$done_of"
        elif [ $((seconds % 10)) -eq 0 ]; then
            printf '.'
        fi
    done
}

# show_failure LOG: what failed of a build (ninja's FAILED blocks) or of the tests (ctest's *** blocks); else a compiler's, CMake's or
# apt-get's errors; else the log's last lines.
show_failure() {
    {
        awk '/^FAILED: / { on = 1 } /\*\*\*(Failed|Timeout|Exception|Not Run)/ { on = 1 } /^\[[0-9]+\/[0-9]+\]/ { on = 0 }
            /^ *[0-9]+\/[0-9]+ Test .* Passed/ || /^ +Start +[0-9]+:/ { on = 0 } on && ++lines <= 150 { print } END { exit lines == 0 }' "$1" ||
            grep -m 40 -E -A 3 ': error: |^CMake Error|^E: ' "$1" || tail -n 40 "$1"
    } | sed 's/^/    /' >&2
    printf '  The whole log: %s\n' "$1" >&2
}

# quietly LABEL LOG COMMAND...: runs COMMAND with its output in LOG; shows LABEL, progress and how long it took; when it fails, shows why.
# Its status is COMMAND's.
quietly() {
    local label=$1 log=$2 started=$SECONDS status=0
    shift 2
    doing="$label (log: $log)"
    mkdir -p "$(dirname "$log")"
    : >"$log"
    printf '  %-52s' "$label"
    progress "$label" "$log" &
    ticker=$!
    attended into "$log" "$@" || status=$?
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    ticker='' doing=''
    [ ! -t 1 ] || printf '\r  %-52s' "$label"
    if [ "$status" -eq 0 ]; then
        printf ' %4d s  %-11s\n' $((SECONDS - started)) 'done'
    else
        printf ' %4d s  %-11s\n' $((SECONDS - started)) FAILED
        show_failure "$log"
    fi
    return "$status"
}

# missing_packages GROUP...: "PACKAGE WHAT FOR" of each package of these groups that is not installed.
missing_packages() {
    local group package why
    while read -r group package why; do
        [[ " $* " == *" $group "* ]] || continue
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s %s\n' "$package" "$why"
    done < <(grep -v '^#' "$project/tests/packages.txt")
}

# as_root COMMAND...: through sudo, unless already root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# install_packages LOG GROUP...: installs with apt-get what is missing of these groups, and says what and why. No network when nothing is missing.
# When it cannot, says what to do and has status 1.
install_packages() {
    local log=$1 missing names package why
    shift
    command -v apt-get >/dev/null ||
        complain "This script installs with apt-get, which is not here. Install what tests/packages.txt lists by your own means, then use --no-install." ||
        return
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || { echo "  All packages are installed."; return 0; }
    names=$(awk '{ printf "%s ", $1 }' <<<"$missing")
    while read -r package why; do printf '  + %-20s %s\n' "$package" "$why"; done <<<"$missing"
    if [ "$(id -u)" -ne 0 ]; then
        local by_hand="As root: apt-get update && apt-get install --no-install-recommends ${names% }"
        command -v sudo >/dev/null || complain "Not root, and there is no sudo." "$by_hand" "Then use --no-install." || return
        sudo -v || complain "sudo refused." "$by_hand" "Then use --no-install." || return
    fi
    local apt=(as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -o DPkg::Lock::Timeout=120)
    # A list that cannot be fetched is a warning to apt-get, whose status is then 0.
    if ! quietly "apt-get update" "$log" "${apt[@]}" update; then
        echo "  Going on with the package lists that are here."
    elif grep -qE '^W: (Failed to fetch|Some index files failed)|Temporary failure resolving' "$log"; then
        echo "  Not every package list could be fetched (is the network up?). Going on with the lists that are here."
    fi
    # shellcheck disable=SC2086 # names is a list of words
    quietly "apt-get install" "$log" "${apt[@]}" install -y --no-install-recommends $names ||
        complain "apt-get could not install: ${names% }" \
            "Is the network up? On Ubuntu these packages are in the component 'universe' (add-apt-repository universe)." \
            "Once they are installed by other means, use --no-install."
}
