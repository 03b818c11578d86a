"""Binaries of all ages work together: hosts and plugins built from the headers that each version was released with (v1.0, ...), from a simulated later
one (next), and this build's library, that library compiled as the later one, and its cpu plugin.

    ages.py TESTS_ABI_BUILD TODAY_LIB_FOLDER TODAY_PLUGIN_FOLDER PROGRAM
"""
import os
import pathlib
import subprocess
import sys


def run(command, **environment):
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def main(build, library, plugins, program):
    wrong, tried = [], 0
    released = sorted(path.name for path in pathlib.Path(build).glob("v*.*") if (path / "host").exists())
    ages = [*released, "next"]
    if not released:
        wrong.append(f"{build} holds no binaries of a released version")
    for library_age, library_folder in (("today's", library), ("next", f"{build}/next/lib")):
        for host in ages:
            for plugin in ages:
                for backend in ("cpu", "frozen_c", "frozen_cpp"):
                    status, told = run([f"{build}/{host}/host", backend], LD_LIBRARY_PATH=library_folder, ROCFORGE_PLUGIN_PATH=f"{plugins}:{build}/{plugin}/plugins")
                    kernel = "textbook of a later core" if (library_age, plugin, backend) == ("next", "next", "frozen_c") else "textbook"
                    wanted = f"{backend} ran " + ("" if backend == "cpu" else kernel)
                    tried += 1
                    if status != 0 or not (told.startswith(wanted) if backend == "cpu" else told == wanted):
                        wrong.append(f"{host} host, {library_age} library, {plugin} plugin {backend}: status {status}: {told}, wanted '{wanted}'")
    for age, backend in [(age, backend) for age in released for backend in ("frozen_c", "frozen_cpp")] + [("next", "frozen_c")]:
        status, told = run([program, "verify", f"{build}/{age}/plugins/rocforge-{backend}.so"])
        tried += 1
        if status != 0:
            wrong.append(f"verify of the {age} {backend}: {told}")
    print(f"{tried} combinations, {len(wrong)} wrong", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) == 5 else __doc__)
