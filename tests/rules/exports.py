"""What the built binaries show to the world: a plugin exports rocforge_plugin_v1 alone, librocforge.so exactly the functions that rocforge.h declares,
and nothing needs a GPU runtime at load time (one binary serves machines with and without one). A plugin, device code included, stays a file that is
sent and kept without a thought. Reads symbol tables; loads nothing.

usage: exports.py ROOT LIBRARY PROGRAM PLUGIN_FOLDER | exports.py --self-test C_COMPILER"""
import pathlib
import re
import subprocess
import sys
import tempfile

import header

ENTRY = "rocforge_plugin_v1"
PLUGIN_BYTES = 20 * 1000 * 1000
GPU_RUNTIME = re.compile(r"lib(amdhip|hip|hsa|rocm|amd_comgr|cuda|cudart|nvrtc|nvidia|OpenCL|ze_loader)")


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def exported(binary):
    symbols = [line.split()[-2:] for line in output("nm", "-D", "--defined-only", binary).splitlines() if line.strip()]
    return {name.split("@")[0] for kind, name in symbols if kind != "A"}  # A: the name of a symbol version


def needed(binary):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-dW", binary))


def different(binary, want):
    have = exported(binary)
    return [f"{binary}: exports {name}" for name in sorted(have - want)] + [f"{binary}: does not export {name}" for name in sorted(want - have)]


def check_plugin(binary):
    return different(binary, {ENTRY}) + check_needed(binary) + check_size(binary)


def check_library(binary, header_text):
    return different(binary, set(header.functions(header_text))) + check_needed(binary)


def check_size(binary, most=PLUGIN_BYTES):
    size = pathlib.Path(binary).stat().st_size
    return [f"{binary}: {size} bytes; a plugin has at most {most}"] if size > most else []


def check_needed(binary):
    return [f"{binary}: needs the GPU runtime {name} at load time" for name in needed(binary) if GPU_RUNTIME.match(name)]


def check(root, library, program, plugin_folder):
    plugins = sorted(pathlib.Path(plugin_folder).glob("rocforge-*.so"))
    violations = [] if plugins else [f"{plugin_folder}: holds no rocforge-*.so: nothing was checked"]
    violations += check_library(library, (pathlib.Path(root) / header.ROCFORGE_H).read_text(encoding="utf-8")) + check_needed(program)
    for plugin in plugins:
        violations += check_plugin(str(plugin))
    return violations


def self_test(compiler):
    """Builds libraries that break each rule and sees that it is named; one that breaks none stays unnamed."""
    header_text = "ROCFORGE_API int rocforge_a(void);\nROCFORGE_API int\n rocforge_b(void);\n"
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        def library(name, source, *flags):
            path = f"{folder}/{name}.so"
            subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", path, "-x", "none", *flags], input=source, text=True, check=True)
            return path
        runtime = library("runtime", "int hipInit(void) { return 0; }", "-Wl,-soname,libamdhip64.so.6")
        entry = f"int {ENTRY}(void) {{ return 0; }}\n"
        host = "int rocforge_a(void) { return 0; }\nint rocforge_b(void) { return 0; }\n"
        cases = [
            ("clean plugin", check_plugin(library("plugin", entry)), None),
            ("clean library", check_library(library("host", host), header_text), None),
            ("plugin with a second export", check_plugin(library("leak", entry + "int helper(void) { return 1; }")), "exports helper"),
            ("plugin without its entry", check_plugin(library("mute", "static int x;")), f"does not export {ENTRY}"),
            ("plugin linked to a GPU runtime", check_plugin(library("gpu", entry, "-Wl,--no-as-needed", runtime)), "needs the GPU runtime libamdhip64.so.6"),
            ("plugin of too many bytes", check_size(library("large", entry), 1000), "a plugin has at most 1000"),
            ("library with an undeclared export", check_library(library("more", host + "int rocforge_c(void) { return 0; }"), header_text),
             "exports rocforge_c"),
            ("library without a declared export", check_library(library("less", "int rocforge_a(void) { return 0; }"), header_text),
             "does not export rocforge_b"),
        ]
    for what, found, words in cases:
        if (words is None and found) or (words and not any(words in violation for violation in found)):
            wrong.append(f"planted '{what}': expected '{words}', got {found}")
    return wrong


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--self-test":
        result = self_test(sys.argv[2])
    elif len(sys.argv) == 5:
        result = check(*sys.argv[1:])
    else:
        sys.exit(__doc__)
    print(*result, sep="\n")
    sys.exit(1 if result else 0)
