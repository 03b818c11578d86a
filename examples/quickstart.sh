#!/usr/bin/env bash
# From a fresh clone to attention on real data, with one command: installs what is missing, builds the CPU parts, lists the backends, explains
# which would run and why not the others, then runs two layers of a real model and holds the result against the model's own.
#
#   examples/quickstart.sh [--no-install] [--help]
#
# Debian 12 or Ubuntu 24.04; sudo is used only when not root, for apt-get alone. Writes into build/ and nowhere else. A second run takes seconds.
set -euo pipefail
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$project/tests/steps.sh"
build=$project/build/release
results=$project/build/quickstart
install=yes

usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; }

for argument in "$@"; do
    case $argument in
        --no-install) install=no ;;
        -h | --help) usage; exit 0 ;;
        *) echo "quickstart.sh: unknown argument '$argument'" >&2; usage >&2; exit 2 ;;
    esac
done

end_on_signals

heading() { printf '\n%s\n' "$1"; }

# Configured as `cmake --preset release` and tests/run.sh configure it, so that neither rebuilds what was built here. Only where the compiler is
# another than GCC 12, with which warnings are known to be none, are they no errors: a newer one may know more of them.
build_cpu_parts() {
    local label=Building options=()
    mkdir -p "$results"
    if [ ! -f "$build/build.ninja" ]; then
        label="Building (minutes the first time, then seconds)"
        [ "$(echo __GNUC__ __clang__ | "${CXX:-c++}" -E -P -x c++ -)" = "12 __clang__" ] || options=(-DROCFORGE_WERROR=OFF)
        quietly "Configuring" "$results/configure.log" cmake --preset release -S "$project" "${options[@]}"
    fi
    quietly "$label" "$results/build.log" cmake --build "$build" --parallel "$(build_jobs)" --target rocforge-cli rocforge-cpu
}

# run_layer NAME: runs one capture through rocforge and prints how far the result is from the model's own.
run_layer() {
    local capture=$project/examples/data/$1.safetensors out=$results/$1.out.safetensors report=$results/$1.json status=0
    "$build/bin/rocforge" run --json "$capture" "$out" >"$report" 2>"$results/$1.log" || { cat "$results/$1.log" >&2; return 1; }
    python3 "$project/examples/data/compare.py" "$capture" "$out" "$report" >"$results/$1.txt" || status=$?
    sed "s/^/  $1  /" "$results/$1.txt"
    return "$status"
}

heading "1. Packages"
if [ "$install" = yes ]; then install_packages "$results/apt.log" build; else echo "  Not installed from here: --no-install."; fi

heading "2. Build"
build_cpu_parts

heading "3. The backends on this machine (rocforge list)"
"$build/bin/rocforge" list 2>&1 | sed 's/^/  /'

heading "4. Which runs the captured attention, and why not the others (rocforge explain)"
for dtype in f32 f16; do
    printf '  --q 2x12x147x32 --kv-lens --dtype %s\n' "$dtype"
    "$build/bin/rocforge" explain --q 2x12x147x32 --kv-lens --dtype "$dtype" 2>&1 | sed 's/^/    /'
done

heading "5. Two layers of all-MiniLM-L6-v2 on English text (rocforge run), against the model's own output"
status=0
for layer in minilm_layer0 minilm_layer5; do run_layer "$layer" || status=1; done
[ "$status" -eq 0 ] || complain "" "A result is missing or over its tolerance. Logs and outputs: $results"
printf '\nDone. What the data is: examples/data/README.md. Results: %s\n' "$results"
printf 'To call rocforge by its name: export PATH="%s:%sPATH"\n' "$build/bin" '$'
