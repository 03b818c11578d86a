"""What is installed works from wherever it is carried to: the program, hosts built against it by CMake and by pkg-config, plugin projects that
`rocforge new` makes, the third-party example. Each step is one test; `setup` installs a build into a folder with a space in its name and moves it.

    installed.py setup BUILD TREE            installs BUILD, moves it to TREE, an absolute path
    installed.py packages BUILD WORK         makes the Debian packages of BUILD in WORK and looks into them
    installed.py STEP TREE WORK PROJECT      runs one step in the fresh folder WORK; PROJECT is the repository
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

SKIPPED = 77  # ctest's SKIP_RETURN_CODE


def run(*command, cwd=None, env=None, status=0):
    """The command's output; ends the test where its exit status is another."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode != status:
        sys.exit(f"{' '.join(words)}\nexit status {done.returncode}, wanted {status}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def expect(holds, text):
    if not holds:
        sys.exit(text)


def on_path(tree):
    """What a user's shell would have: CMake finds a package beside a program that is on PATH."""
    return {**os.environ, "PATH": f"{tree}/bin:{os.environ['PATH']}", "PKG_CONFIG_PATH": f"{tree}/lib/pkgconfig"}


def configure_and_build(source, build, tree, *options):
    environment = on_path(tree)
    environment.pop("CMAKE_GENERATOR", None)
    run("cmake", "-S", source, "-B", build, *options, env=environment)
    run("cmake", "--build", build, env=environment)


def sdk_alone(tree):
    """The component sdk by itself: no library, no program."""
    return pathlib.Path(tree).parent / "sdk alone"


def setup(build, tree):
    tree = pathlib.Path(tree)
    before = tree.parent / "before"
    for folder in (tree, before):
        shutil.rmtree(folder, ignore_errors=True)
    run("cmake", "--install", build, "--prefix", before)
    before.rename(tree)
    shutil.rmtree(sdk_alone(tree), ignore_errors=True)
    run("cmake", "--install", build, "--prefix", sdk_alone(tree), "--component", "sdk")
    for path in tree.rglob("*"):
        if path.is_file() and path.suffix in {".cmake", ".pc", ".toml"}:
            text = path.read_text(encoding="utf-8")
            expect(str(before) not in text and str(build) not in text, f"{path} names the folder that it was made in")


def runs(tree, work, project):
    program = f"{tree}/bin/rocforge"
    plugins = json.loads(run(program, "list", "--json").split("\n")[0])["plugins"]
    expect(any(each["path"] == f"{tree}/lib/rocforge/plugins/rocforge-cpu.so" and each["status"] == "loaded" for each in plugins), f"list: {plugins}")
    run(program, "run", f"{project}/examples/data/minilm_layer0.safetensors", f"{work}/out.safetensors", "--backend", "cpu")
    expect(f"{tree}/share/rocforge/defaults.toml" in run(program, "config", "--show-origin"), "the shipped defaults are not the tree's")
    soname = run("readelf", "-dW", f"{tree}/lib/librocforge.so")
    expect("[librocforge.so.1]" in soname, soname)
    expect(str(work) not in run("readelf", "-dW", program), "the program's run path is not relative")


def host_by_cmake(tree, work, project):
    (work / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.17)\nproject(host LANGUAGES CXX)\nset(CMAKE_CXX_STANDARD 20)\nfind_package(rocforge 1.0 REQUIRED)\n"
        f'add_executable(host "{project}/examples/host_cpp/attention.cpp")\ntarget_link_libraries(host PRIVATE rocforge::rocforge)\n', encoding="utf-8")
    configure_and_build(work, work / "build", tree)
    told = run(work / "build/host")
    expect("cpu ran, out[0] = 2.000" in told, told)


def host_by_pkgconfig(tree, work, project):
    if not shutil.which("pkg-config"):
        print("pkg-config is not installed")
        sys.exit(SKIPPED)
    flags = run("pkg-config", "--cflags", "--libs", "rocforge", env=on_path(tree))
    expect("/include" in flags and "-lrocforge" in flags, flags)
    # pkg-config writes spaces as a shell would want them: eval gives them back.
    run("sh", "-c", f"eval \"cc -std=c11 '{project}/examples/host_c/attention.c' $(pkg-config --cflags --libs rocforge) -o '{work}/host'\"", env=on_path(tree))
    told = run(work / "host", env={**os.environ, "LD_LIBRARY_PATH": f"{tree}/lib"})
    expect("backend cpu" in told, told)


def plugin_project(tree, work, language):
    """`rocforge new`, and the commands that it says come next."""
    program = f"{tree}/bin/rocforge"
    told = run(program, "new", "mine", work / "mine", *([f"--{language}"] if language != "c" else []), env=on_path(tree))
    for words in ("cd ", "cmake -B build && cmake --build build", "rocforge verify build/rocforge-mine.so"):
        expect(words in told, f"'{words}' is not among the next commands:\n{told}")
    left = [str(path) for path in (work / "mine").rglob("*") if path.is_file() and "my_backend" in path.name + path.read_text(encoding="utf-8")]
    expect(not left, f"my_backend is still named in {left}")
    configure_and_build(work / "mine", work / "mine/build", tree)
    return work / "mine/build/rocforge-mine.so"


def verify(tree, plugin):
    told = run(f"{tree}/bin/rocforge", "verify", plugin, env=on_path(tree))
    print(told)


def new_c(tree, work, _):
    plugin = plugin_project(tree, work, "c")
    source = run("cc", "-fpreprocessed", "-dD", "-E", "-P", work / "mine/mine.c")
    lines = [line for line in source.split("\n") if line.strip()]
    expect(len(lines) <= 60, f"a minimal backend in C has {len(lines)} lines of code, wanted at most 60")
    verify(tree, plugin)


def new_cpp(tree, work, _):
    verify(tree, plugin_project(tree, work, "cpp"))


def new_hip(tree, work, _):
    """Compiled and loaded, where there is hipcc; run nowhere that has no AMD GPU. Without hipcc the project says what it wants."""
    if not shutil.which("hipcc"):
        run(f"{tree}/bin/rocforge", "new", "mine", work / "mine", "--hip")
        told = run("cmake", "-S", work / "mine", "-B", work / "mine/build", env=on_path(tree), status=1)
        expect("mine needs the HIP compiler and runtime" in told, told)
        return
    plugin = plugin_project(tree, work, "hip")
    told = run(f"{tree}/bin/rocforge", "list", env={**on_path(tree), "ROCFORGE_PLUGIN_PATH": str(plugin.parent)})
    expect("mine" in told and "rocm" in told, told)


def new_refuses(tree, work, _):
    program = f"{tree}/bin/rocforge"
    (work / "full").mkdir()
    (work / "full/file").write_text("mine\n", encoding="utf-8")
    for words, status, why in ((("Mine", work / "a"), 2, "no backend name"), (("cpu", work / "a"), 2, "is installed"), (("mine", work / "full"), 5, "not empty"),
                               (("mine", work / "full/file"), 5, "no folder"), (("mine", work / "no/such"), 5, "does not exist"),
                               (("mine", f"{work}/no/../such"), 5, "does not exist"),
                               (("mine", work / "a", "--cpp", "--hip"), 2, "--cpp"),
                               (("mine", ""), 2, "DIR is empty")):
        told = run(program, "new", *words, status=status)
        expect(why in told, told)
    expect(sorted(path.name for path in work.rglob("*")) == ["file", "full"], "something was left behind")
    (work / "empty").mkdir()
    run(program, "new", "mine", ".", cwd=work / "empty")
    expect(not list((work / "empty").glob(".rocforge*")) and (work / "empty/mine.c").exists(), "an empty folder was not filled")


def new_places(tree, work, _):
    """DIR is where the system says it is, with the modes that mkdir gives, and the next commands take it back."""
    program = f"{tree}/bin/rocforge"
    (work / "a/b").mkdir(parents=True)
    (work / "link").symlink_to(work / "a/b")
    run(program, "new", "mine", f"{work}/link/../mine")
    expect((work / "a/mine/mine.c").exists() and not (work / "mine").exists(), "a '..' behind a link is another folder's")
    told = run(program, "new", "mine", "--", "-mine", cwd=work)
    expect("  cd -- -mine\n" in told, told)
    run("sh", "-c", 'umask 027 && "$0" new mine "$1" && umask 002 && "$0" new mine "$2"', program, work / "closed", work / "open")
    modes = [f"{(work / name).stat().st_mode & 0o777:o}" for name in ("closed", "open")]
    expect(modes == ["750", "775"], f"under the umasks 027 and 002 the folders have the modes {modes}")


def new_is_whole(tree, work, _):
    """A signal leaves nothing, whether DIR is new or empty: here that of a file over the limit, the first one written."""
    (work / "empty").mkdir()
    for folder in ("new", "empty"):
        run("bash", "-c", 'ulimit -c 0 && ulimit -f 0 && exec "$0" new mine "$1"', f"{tree}/bin/rocforge", work / folder, status=-signal.SIGXFSZ)
    left = [path.name for path in work.rglob("*")]
    expect(left == ["empty"], f"of a project that was not finished there are {left}")


def words(tree, _work, _project):
    """The completions offer what the program takes, and no more; the manual page names each command."""
    page = (pathlib.Path(tree) / "share/man/man1/rocforge.1").read_text(encoding="utf-8")
    complete = lambda *typed: run("bash", "-c", f"source '{tree}/share/bash-completion/completions/rocforge'; COMP_WORDS=({' '.join(typed)}); "
                                  f"COMP_CWORD={len(typed) - 1}; _rocforge; echo ${{COMPREPLY[@]}}").split()
    commands = [word for word in complete("rocforge", "''") if not word.startswith("-")]
    expect({"run", "list", "explain", "bench", "doctor", "config", "new"} <= set(commands), f"completions: {commands}")
    zsh, fish = (next((tree / "share").glob(place)).read_text(encoding="utf-8") for place in ("zsh/*/_rocforge", "fish/*/rocforge.fish"))
    for command in commands:
        told = run(f"{tree}/bin/rocforge", command, "--help")
        flags = complete("rocforge", command, "--")
        expect(all(flag in told for flag in flags) and "--config" in flags, f"{command}: {flags}")
        expect(f".SS rocforge {command}" in page and f"'{command}:" in zsh and f"-a {command} " in fish, f"{command} is missing")
    expect(complete("rocforge", "run", "--ca") == ["--causal"], "run --ca")


def third_party(tree, work, project):
    environment = {name: value for name, value in os.environ.items() if name != "CMAKE_GENERATOR"}
    run("cmake", "-S", f"{project}/examples/third_party_backend", "-B", work / "build", f"-DCMAKE_PREFIX_PATH={sdk_alone(tree)}",
        f"-DROCFORGE={tree}/bin/rocforge", env=environment)
    cache = (work / "build/CMakeCache.txt").read_text(encoding="utf-8")
    expect(f"rocforge-sdk_DIR:PATH={sdk_alone(tree)}" in cache, "built against another SDK than the one that stands alone")
    run("cmake", "--build", work / "build", env=environment)
    told = run("ctest", "--test-dir", work / "build", "--output-on-failure", env=environment)
    expect("1/1 Test" in told and "verify" in told, told)


def packages(build, work):
    """The Debian packages hold what they should and ask for what they need; unpacked together they work."""
    if not shutil.which("dpkg-shlibdeps"):
        print("dpkg-shlibdeps (dpkg-dev) is not installed")
        sys.exit(SKIPPED)
    run("cpack", "-G", "DEB", "-B", work / "debs", "--config", f"{build}/CPackConfig.cmake")
    files = {path.name.split("_")[0]: path for path in (work / "debs").glob("*.deb")}
    expect({"rocforge", "rocforge-sdk", "rocforge-plugin-cpu"} <= set(files), f"packages: {sorted(files)}")
    for name, path in files.items():
        needs, contents = run("dpkg-deb", "-f", path, "Depends"), run("dpkg-deb", "-c", path)
        expect(f"./usr/share/doc/{name}/copyright" in contents, f"{name} has no copyright file")
        if name == "rocforge":
            expect("libtbb12" in needs and "rocforge-sdk (=" in needs and "librocforge.so.1" in contents and "man1/rocforge.1" in contents, needs + contents)
        elif name == "rocforge-sdk":
            expect(not needs.strip() and "plugin.h" in contents and "template/c/my_backend.c" in contents and ".so" not in contents, needs + contents)
        else:
            expect("rocforge (>=" in needs and "libc6" in needs and "hip" not in needs and contents.count(".so") == 1, needs + contents)
        run("dpkg-deb", "-x", path, work / "unpacked")
    listed = run(work / "unpacked/usr/bin/rocforge", "list", env={**os.environ, "LC_ALL": "C"})
    expect(f"{work}/unpacked/usr/lib/rocforge/plugins/rocforge-cpu.so" in listed, listed)


STEPS = {step.__name__: step for step in (runs, host_by_cmake, host_by_pkgconfig, new_c, new_cpp, new_hip, new_refuses, new_places,
                                           new_is_whole, words, third_party)}

if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "setup":
        setup(sys.argv[2], sys.argv[3])
    elif len(sys.argv) == 4 and sys.argv[1] == "packages":
        shutil.rmtree(sys.argv[3], ignore_errors=True)
        packages(sys.argv[2], pathlib.Path(sys.argv[3]))
    elif len(sys.argv) == 5 and sys.argv[1] in STEPS:
        shutil.rmtree(sys.argv[3], ignore_errors=True)
        pathlib.Path(sys.argv[3]).mkdir(parents=True)
        STEPS[sys.argv[1]](pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4])
    else:
        sys.exit(__doc__)
