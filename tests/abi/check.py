"""The binary contract changes only with its version: what abidiff finds between the last released baseline and this build's anchor, and what the headers'
constants became, is an addition (wants a new RF_ABI_MINOR), or a break (wants a new RF_ABI_MAJOR, hence a new entry symbol); either wants an entry in
sdk/CHANGELOG-ABI.md. Layouts are compared by libabigail, so which compiler built the anchor does not matter.

    check.py ROOT ANCHOR.so CC        compares with the newest tests/abi/vX.Y
    check.py --self-test ROOT CC      changes copies of the headers and sees each change judged
    check.py --freeze ROOT ANCHOR.so  writes tests/abi/vX.Y for the version that the header states: once, when it is released. The host and the plugins
                                      there are the release's before; let them use what the new one adds
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "rules"))
import header  # noqa: E402

SKIPPED = 77
ADDITION, BREAK = "an addition", "a break"
HEADERS = ("sdk/include/rocforge/plugin.h", "sdk/include/rocforge/plugin.hpp", "sdk/include/rocforge/slots.h", "core/include/rocforge/rocforge.h",
           "core/include/rocforge/rocforge.hpp")

PROGRAMS = ("host.c", "plugin.c", "plugin.cpp")  # what ages.py runs of each release


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


def version_of(plugin_h):
    text = pathlib.Path(plugin_h).read_text(encoding="utf-8")
    return tuple(int(re.search(rf"#define RF_ABI_{part} (\d+)", text).group(1)) for part in ("MAJOR", "MINOR"))


def newest_baseline(root):
    """((major, minor), its folder)"""
    folders = {tuple(map(int, path.name[1:].split("."))): path for path in (root / "tests/abi").glob("v*.*")}
    return max(folders.items())


def judged(report):
    """[(ADDITION or BREAK, text)] of abidiff's report on leaf types. Only what is known to be an addition is one."""
    changes = []
    for block in re.split(r"\n(?=\S)", report):
        title, *lines = [line.strip() for line in block.split("\n") if line.strip()] or [""]
        added = re.match(r"\d+ Added functions?:", title)
        if "summary" in title or not lines:
            continue
        size = re.search(r"type size changed from (\d+) to", block)
        inserted = [int(at) for at in re.findall(r"', at offset (\d+) \(in bits\)", block)]
        grown = size and inserted and min(inserted) >= int(size.group(1)) and len(lines) == 2 + len(inserted)
        changes.append((ADDITION if added or grown else BREAK, block.strip()))
    return changes


def abi_changes(baseline, anchor):
    done = run("abidiff", "--leaf-changes-only", "--no-show-locs", baseline, anchor)
    if done.returncode & 3:  # 1: it failed, 2: it was called wrongly
        sys.exit(f"abidiff: {done.stdout}{done.stderr}")
    changes = judged(done.stdout)
    return changes if changes or not done.returncode & 12 else [(BREAK, done.stdout)]


def constants(include, cc):
    """{name: value} of what the headers under `include` name."""
    names = [name for part in ("plugin.h", "rocforge.h") for name in header.constants((include / "rocforge" / part).read_text(encoding="utf-8"))]
    lines = "".join(f'    printf("{name} %lld\\n", (long long)({name}));\n' for name in names)
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "constants.c"
        source.write_text(f"#include <rocforge/rocforge.h>\n#include <stdio.h>\nint main(void) {{\n{lines}    return 0;\n}}\n", encoding="utf-8")
        built = run(cc, "-std=c11", f"-I{include}", source, "-o", f"{folder}/constants")
        if built.returncode:
            sys.exit(built.stderr)
        return dict(line.split() for line in run(f"{folder}/constants").stdout.splitlines())


def constant_changes(old, new):
    changes = [(ADDITION, f"{name} is new") for name in new if name not in old]
    for name, value in old.items():
        if name not in new:
            changes.append((BREAK, f"{name} is gone"))
        elif new[name] != value and name != "RF_F_ALL":  # the union of the bits grows with them
            changes.append((BREAK, f"{name} was {value}, is {new[name]}"))
    return changes


def complaints(changes, released, version, changelog):
    """What is wrong about these changes since `released` in headers that call themselves `version`."""
    wrong = []
    needed = (released[0] + 1, 0) if any(kind == BREAK for kind, _ in changes) else (released[0], released[1] + 1)
    if changes and version < needed:
        wrong += [f"{kind} since {released[0]}.{released[1]}: {text}" for kind, text in changes]
        wrong.append(f"plugin.h calls itself {version[0]}.{version[1]}; this wants RF_ABI_MAJOR {needed[0]}, RF_ABI_MINOR {needed[1]}")
    if f"## {version[0]}.{version[1]}" not in changelog:
        wrong.append(f"sdk/CHANGELOG-ABI.md has no entry '## {version[0]}.{version[1]}'")
    return wrong


def nodes(map_text):
    """{(major, minor): {function}} of the library's symbol versions."""
    found = re.findall(r"ROCFORGE_(\d+)\.(\d+) \{(.*?)\}", re.sub(r"#[^\n]*", "", map_text), re.S)
    return {(int(major), int(minor)): set(re.findall(r"(rocforge_\w+);", body)) for major, minor, body in found}


def misplaced(versions, functions_by_version):
    """Each symbol version holds what its release added, no more and no less: a program is refused by a library that is too old for it."""
    wrong = []
    for version, functions in sorted(functions_by_version.items()):
        have = set().union(*(names for node, names in versions.items() if node <= version))
        name = f"ROCFORGE_{version[0]}.{version[1]}"
        wrong += [f"core/src/rocforge.map: {one} is not of {name}" for one in sorted(have - functions)]
        wrong += [f"core/src/rocforge.map: {name} lacks {one}" for one in sorted(functions - have)]
    return wrong


def functions_of(include):
    return set(header.functions((include / "rocforge/rocforge.h").read_text(encoding="utf-8")))


def gather(root, target):
    """The public headers under one include folder."""
    for name in HEADERS:
        (target / "rocforge").mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, target / "rocforge")
    return target


def check(root, anchor, cc):
    released, folder = newest_baseline(root)
    with tempfile.TemporaryDirectory() as temporary:
        include = gather(root, pathlib.Path(temporary))
        changes = abi_changes(folder / "anchor.abi", anchor) + constant_changes(constants(folder / "include", cc), constants(include, cc))
        version = version_of(include / "rocforge/plugin.h")
        by_version = {tuple(map(int, path.name[1:].split("."))): functions_of(path / "include") for path in (root / "tests/abi").glob("v*.*")}
        by_version[version] = functions_of(include)
        wrong = misplaced(nodes((root / "core/src/rocforge.map").read_text(encoding="utf-8")), by_version)
        return wrong + complaints(changes, released, version, (root / "sdk/CHANGELOG-ABI.md").read_text(encoding="utf-8"))


def freeze(root, anchor):
    major, minor = version_of(root / HEADERS[0])
    folder = root / f"tests/abi/v{major}.{minor}"
    if (folder / "anchor.abi").exists():
        sys.exit(f"{folder} is there: what is released stays as it is")
    _, before = newest_baseline(root)
    gather(root, folder / "include")
    shutil.copy(root / "tests/abi/anchor.c", folder)
    for program in PROGRAMS:
        if not (folder / program).exists():
            shutil.copy(before / program, folder)
    done = run("abidw", "--no-corpus-path", "--no-show-locs", "--no-comp-dir-path", "--out-file", folder / "anchor.abi", anchor)
    if done.returncode:
        sys.exit(done.stderr)
    baseline = folder / "anchor.abi"
    baseline.write_text(re.sub(r" path='[^']*/", " path='", baseline.read_text(encoding="utf-8")), encoding="utf-8")


# What is planted: (what, header, text, its replacement, how it must be judged)
PLANTS = (
    ("nothing", "plugin.h", "#ifndef ROCFORGE_PLUGIN_H", "#ifndef ROCFORGE_PLUGIN_H", None),
    ("two fields that change places", "plugin.h", "int64_t max_seq_q, max_seq_kv;", "int64_t max_seq_kv, max_seq_q;", BREAK),
    ("a field of another type", "plugin.h", "    float scale; ", "    uint32_t scale; ", BREAK),
    ("a field in the middle", "plugin.h", "    int64_t page_size;", "    int64_t late;\n    int64_t page_size;", BREAK),
    ("a field that is gone", "plugin.h", "    int64_t diagonal;\n", "", BREAK),
    ("a field at the end", "plugin.h", "    uint64_t workspace_limit_bytes;", "    uint64_t workspace_limit_bytes;\n    uint64_t late;", ADDITION),
    ("a slot with another argument", "plugin.h", "void (*plan_free)(rf_plan*);", "void (*plan_free)(rf_plan*, int);", BREAK),
    ("a slot at the end of an extension", "plugin.h", "} rf_graph_api;", "    void (*late)(rf_backend*);\n} rf_graph_api;", ADDITION),
    ("a function that returns something else", "rocforge.h", "ROCFORGE_API void rocforge_plan_release(", "ROCFORGE_API int rocforge_plan_release(", BREAK),
    ("a constant of another value", "plugin.h", "RF_NOT_FOUND = 8", "RF_NOT_FOUND = 9", BREAK),
    ("a feature bit", "plugin.h", "#define RF_F_ALL ((1ull << 21) - 1)", "#define RF_F_LATE (1ull << 21)\n#define RF_F_ALL ((1ull << 22) - 1)", ADDITION),
)


def self_test(root, cc):
    wrong = []
    released, folder = newest_baseline(root)
    before = constants(folder / "include", cc)
    for what, name, text, replacement, want in PLANTS:
        with tempfile.TemporaryDirectory() as temporary:
            include = pathlib.Path(temporary) / "include"
            shutil.copytree(folder / "include", include)
            path, anchor = include / "rocforge" / name, f"{temporary}/anchor.so"
            source = path.read_text(encoding="utf-8")
            if text not in source:
                wrong.append(f"'{what}': {name} has no '{text}'")
                continue
            path.write_text(source.replace(text, replacement, 1), encoding="utf-8")
            built = run(cc, "-g", "-O0", "-shared", "-fPIC", "-std=c11", "-fvisibility=hidden", "-Wl,-soname,librocforge-abi-anchor.so", f"-I{include}", folder / "anchor.c", "-o", anchor)
            if built.returncode:
                sys.exit(built.stderr)
            kinds = {kind for kind, _ in abi_changes(folder / "anchor.abi", anchor) + constant_changes(before, constants(include, cc))}
            if kinds != ({want} if want else set()):
                wrong.append(f"'{what}' was judged {sorted(kinds)}, wanted {want}")
    old, new = {"rocforge_a"}, {"rocforge_a", "rocforge_b"}
    for text, count in (("ROCFORGE_1.0 { global: rocforge_a; };\nROCFORGE_1.1 { global: rocforge_b; } ROCFORGE_1.0;", 0),
                        ("ROCFORGE_1.0 { global: rocforge_a; rocforge_b; };", 1), ("ROCFORGE_1.0 { global: rocforge_a; };", 1)):
        found = misplaced(nodes(text), {(1, 0): old, (1, 1): new})
        if len(found) != count:
            wrong.append(f"'{text}': {found}")
    with tempfile.TemporaryDirectory() as temporary:  # the next release, frozen in a copy
        copy = pathlib.Path(temporary)
        for part in ("tests/abi", "sdk/include", "core/include"):
            shutil.copytree(root / part, copy / part)
        plugin_h = copy / HEADERS[0]
        text = plugin_h.read_text(encoding="utf-8")
        plugin_h.write_text(re.sub(r"#define RF_ABI_MINOR \d+", f"#define RF_ABI_MINOR {released[1] + 1}", text), encoding="utf-8")
        run(cc, "-g", "-O0", "-shared", "-fPIC", "-std=c11", f"-I{gather(copy, copy / 'include')}", copy / "tests/abi/anchor.c", "-o", copy / "anchor.so")
        freeze(copy, copy / "anchor.so")
        version, frozen = newest_baseline(copy)
        missing = [name for name in ("anchor.abi", "anchor.c", "include/rocforge/plugin.h", *PROGRAMS) if not (frozen / name).exists()]
        if version != (released[0], released[1] + 1) or missing:
            wrong.append(f"freezing the next minor made {version} without {missing}")
    major, minor = released
    entry = f"## {major}.{minor}"
    for changes, version, changelog, count in (([], released, entry, 0), ([], released, "", 1), ([(ADDITION, "x")], released, entry, 2),
                                               ([(ADDITION, "x")], (major, minor + 1), f"## {major}.{minor + 1}", 0),
                                               ([(BREAK, "x")], (major, minor + 1), f"## {major}.{minor + 1}", 2),
                                               ([(BREAK, "x")], (major + 1, 0), f"## {major + 1}.0", 0)):
        found = complaints(changes, released, version, changelog)
        if len(found) != count:
            wrong.append(f"{changes} as {version}: {found}")
    return wrong


if __name__ == "__main__":
    if not shutil.which("abidiff"):
        print("abidiff (abigail-tools) is not installed")
        sys.exit(SKIPPED)
    if len(sys.argv) == 4 and sys.argv[1] == "--self-test":
        result = self_test(pathlib.Path(sys.argv[2]), sys.argv[3])
    elif len(sys.argv) == 4 and sys.argv[1] == "--freeze":
        result = freeze(pathlib.Path(sys.argv[2]), sys.argv[3]) or []
    elif len(sys.argv) == 4:
        result = check(pathlib.Path(sys.argv[1]), *sys.argv[2:])
    else:
        sys.exit(__doc__)
    print(*result, sep="\n")
    sys.exit(1 if result else 0)
