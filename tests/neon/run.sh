#!/bin/sh
# run.sh CMAKE BUILD_FOLDER HIGHWAY_INCLUDE: builds crossed/ and runs it under qemu-user. Exit status 77 where that cannot be, with the reason.
set -eu
cmake=$1 build=$2 highway=$3 compiler=aarch64-linux-gnu-g++ emulator=qemu-aarch64
here=$(cd "$(dirname "$0")" && pwd)

skip() {
    echo "skipped: $1"
    exit 77
}
[ "$(uname -m)" != aarch64 ] || skip "this processor has NEON: conformance-instruction-sets runs it"
command -v "$emulator" >/dev/null || emulator=$emulator-static
command -v "$emulator" >/dev/null || skip "qemu-aarch64 is not installed (package qemu-user)"
command -v "$compiler" >/dev/null || skip "$compiler is not installed (package g++-aarch64-linux-gnu)"

"$cmake" -S "$here/crossed" -B "$build" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER="$compiler" \
    -DHIGHWAY_INCLUDE="$highway"
"$cmake" --build "$build" --parallel 2
"$emulator" "$build/conformance-neon"
