"""README.md says what is: each code block marked `<!-- file: PATH -->` is that file, each block marked `<!-- output: COMMAND -->` is what COMMAND
prints (its first word is looked up in the build's bin folder, then on PATH; trees and versions of this build are written as in the README), each table
marked `<!-- table: COMMAND -->` the table that COMMAND prints.

    readme.py PROJECT BIN       compares
    readme.py --self-test       a README that lies is found out
"""
import os
import re
import shlex
import subprocess
import sys

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


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    elif len(sys.argv) == 3:
        project_folder = sys.argv[1]
        with open(os.path.join(project_folder, "README.md"), encoding="utf-8") as file:
            wrong = differences(file.read(), project_folder, sys.argv[2])
        print("\n".join(wrong))
        sys.exit(1 if wrong else 0)
    else:
        sys.exit(__doc__)
