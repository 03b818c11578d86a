"""Every block of code in sdk/README.md is what it seems: `sh` blocks run in one shell, one after the other; a `text` block is part of what the `sh` block
before it printed; `c` and `cpp` blocks compile; a `cmake` block builds the `cpp` block before it; a `toml` block is a configuration that is accepted.

    guide.py TREE WORK PROJECT     TREE: an installed rocforge
"""
import pathlib
import re
import shutil
import sys

from installed import expect, on_path, run

KINDS = {"sh", "text", "c", "cpp", "cmake", "toml"}
WARNINGS = ("-Wall", "-Wextra", "-Wno-unused-function", "-Wno-unused-const-variable", "-Wno-missing-field-initializers", "-Werror")


def compiles(tree, work, kind, text):
    source = work / f"block.{kind}"
    preamble = "#include <rocforge/slots.h>\n" if kind == "c" else "#include <rocforge/plugin.hpp>\n"
    source.write_text(preamble + text, encoding="utf-8")
    run(*(("cc", "-std=c11") if kind == "c" else ("c++", "-std=c++20")), *WARNINGS, f"-I{tree}/include", "-fsyntax-only", source)


def builds(tree, work, cmake, cpp):
    folder = work / "by_cmake"
    folder.mkdir()
    (folder / "CMakeLists.txt").write_text(cmake, encoding="utf-8")
    (folder / "mine.cpp").write_text("#include <rocforge/plugin.hpp>\n" + cpp, encoding="utf-8")
    environment = on_path(tree)
    run("cmake", "-S", folder, "-B", folder / "build", env=environment)
    run("cmake", "--build", folder / "build", env=environment)
    listed = run(f"{tree}/bin/rocforge", "list", env={**environment, "ROCFORGE_PLUGIN_PATH": f"{folder}/build"})
    expect("mine" in listed and "refused" not in listed, listed)


def runs_in_order(tree, work, scripts):
    """One shell for all `sh` blocks, since each goes on where the one before stood. Gives what each printed."""
    fence = "---- block ----"
    text = "set -e\n" + f"\necho '{fence}'\n".join(scripts)
    return run("bash", "-c", text, cwd=work, env=on_path(tree)).split(fence)


def main(tree, work, project):
    tree, work = pathlib.Path(tree), pathlib.Path(work)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", (pathlib.Path(project) / "sdk/README.md").read_text(encoding="utf-8"), re.M | re.S)
    expect({kind for kind, _ in blocks} <= KINDS, f"a block of a kind that nothing checks: {sorted({kind for kind, _ in blocks} - KINDS)}")
    expect({kind for kind, _ in blocks} == KINDS, "the guide lost a kind of block, or this test its eyes")
    printed = iter(runs_in_order(tree, work, [text for kind, text in blocks if kind == "sh"]))
    said = cpp = ""
    for kind, text in blocks:
        if kind == "sh":
            said = next(printed)
        elif kind == "text":
            missing = [line for line in text.splitlines() if line.strip() not in said]
            expect(not missing, f"the guide shows {missing}, the program printed:\n{said}")
        elif kind == "cmake":
            builds(tree, work, text, cpp)
        elif kind == "toml":
            (work / "rocforge.toml").write_text(text, encoding="utf-8")
            told = run(f"{tree}/bin/rocforge", "config", "--config", work / "rocforge.toml", env=on_path(tree))
            expect("threads = 4" in told.replace('"', ""), told)
        else:
            compiles(tree, work, kind, text)
            cpp = text if kind == "cpp" else cpp
    # The guide's own count.
    source = run("cc", "-fpreprocessed", "-dD", "-E", "-P", work / "mine/mine.c")
    lines = sum(1 for line in source.split("\n") if line.strip())
    expect(f"in {lines} lines of C" in (pathlib.Path(project) / "sdk/README.md").read_text(encoding="utf-8"), f"the template has {lines} lines")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
