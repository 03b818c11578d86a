"""README.md says what is: each code block marked `<!-- file: PATH -->` is that file, each block marked `<!-- output: COMMAND -->` is what COMMAND
prints (its first word is looked up in the build's bin folder, then on PATH; trees and versions of this build are written as in the README), each table
marked `<!-- table: COMMAND -->` the table that COMMAND prints; each block of settings gives no warning where the cpu backend is the only one, as after
the quickstart.

    readme.py PROJECT BIN       compares
    readme.py --self-test       a README that lies is found out
"""
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

TABLE = re.compile(r"<!-- table: ([^\n]*?) -->\n((?:\|[^\n]*\n)+)")
BLOCK = re.compile(r"<!-- (file|output): ([^\n]*?) -->\n```[a-z]*\n(.*?)```\n", re.S)


def run(command, project, bin_folder):
    words = shlex.split(command)
    program = os.path.join(bin_folder, words[0])
    words[0] = program if os.path.exists(program) else words[0]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else f"exit status {done.returncode}\n{done.stderr}"


def differences(readme, project, bin_folder, runner=run):
    """One line for each block that is not what it claims; and a complaint where there is no block at all."""
    found, out = 0, []
    for kind, what, text in BLOCK.findall(readme):
        found += 1
        if kind == "file":
            path = os.path.join(project, what)
            actual = open(path, encoding="utf-8").read() if os.path.exists(path) else f"{what} does not exist\n"
        else:
            actual = runner(what, project, bin_folder)
        if actual != text:
            out.append(f"README.md: the block of {what} differs; it is now:\n{actual}")
    for what, text in TABLE.findall(readme):
        actual = "".join(f"{line}\n" for line in runner(what, project, bin_folder).split("\n") if line.startswith("|"))
        if actual != text:
            out.append(f"README.md: the table differs from what `{what}` prints, which is now:\n{actual}")
    return out if found else ["README.md has no marked block"]


def complaints_of_settings(readme, doctor):
    """A line for each warning or error that `doctor(settings)` prints about a block of TOML."""
    out = []
    for text in re.findall(r"```toml\n(.*?)```\n", readme, re.S):
        said = doctor(text)
        found = [line.strip() for line in said.split("\n") if line.strip().startswith("warning ")]
        if "ready" not in said:
            found.append(said)
        out += [f"README.md: settings: {line}" for line in found]
    return out


def doctor_of(bin_folder):
    """rocforge doctor in the words of a machine that has the cpu backend alone."""
    def doctor(settings):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(os.path.join(bin_folder, "../lib/rocforge/plugins/rocforge-cpu.so"), folder)
            path = os.path.join(folder, "rocforge.toml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(settings)
            done = subprocess.run([os.path.join(bin_folder, "rocforge"), "doctor", "--config", path], capture_output=True, text=True, check=False,
                                  env={**os.environ, "ROCFORGE_PLUGIN_PATH": folder})
        return done.stdout + done.stderr
    return doctor


def self_test():
    readme = "<!-- output: hello -->\n```text\nhi\n```\n"
    say = lambda text: lambda *_: text
    assert differences(readme, ".", ".", say("hi\n")) == []
    assert len(differences(readme, ".", ".", say("ho\n"))) == 1
    assert len(differences("nothing", ".", ".")) == 1
    table = readme + "<!-- table: hello -->\n| a |\n|---|\n| b |\n\ntext\n"
    answers = iter(["hi\n", "| a |\n|---|\n| b |\n\nnote\n"])
    assert differences(table, ".", ".", lambda *_: next(answers)) == []
    answers = iter(["hi\n", "| a |\n|---|\n| c |\n"])
    assert len(differences(table, ".", ".", lambda *_: next(answers))) == 1
    assert len(differences("<!-- file: no/such/file -->\n```c\n```\n", ".", ".")) == 1
    settings = "```toml\n[select]\n```\n"
    assert complaints_of_settings(settings, say("ready: all is well\n")) == []
    assert len(complaints_of_settings(settings, say("  warning select.order: no such\nready, 1 finding\n"))) == 1
    assert len(complaints_of_settings(settings, say("unusable: the configuration is wrong\n"))) == 1


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    elif len(sys.argv) == 3:
        project_folder = sys.argv[1]
        with open(os.path.join(project_folder, "README.md"), encoding="utf-8") as file:
            readme_text = file.read()
        wrong = differences(readme_text, project_folder, sys.argv[2]) + complaints_of_settings(readme_text, doctor_of(sys.argv[2]))
        print("\n".join(wrong))
        sys.exit(1 if wrong else 0)
    else:
        sys.exit(__doc__)
