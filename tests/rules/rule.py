"""What every rule shares: reading the tree, a lexer that tells code from comments, and the command line. Knows no rule itself.

A rule is a script with check(root) -> [violation] and PLANTS, a list of (what, {path: text}, words of the expected violation). Run as
`rule.py ROOT` it prints the violations and exits 1 if there are any; as `rule.py --self-test` it builds a small clean tree, sees that the rule
is silent there, then plants each violation in turn and sees that the rule names it."""
import pathlib
import re
import sys
import tempfile

CODE = {".c", ".cc", ".cpp", ".h", ".hpp", ".inc", ".hip", ".cu"}

# One token of C or C++ that is not plain code: a comment, a raw string, a string or a character (never a digit separator).
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|R"(?P<fence>[^(\s]*)\(.*?\)(?P=fence)"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Za-z_])\'(?:\\.|[^\'\\\n])+\'', re.S)


def tokens(text):
    """Yields (kind, text, line) for each comment and string literal."""
    for match in TOKEN.finditer(text):
        body = match.group(0)
        kind = "comment" if body.startswith("/") else "character" if body.startswith("'") else "string"
        yield kind, body, text.count("\n", 0, match.start()) + 1


def without_comments(text):
    """The text with each comment blanked out; lines keep their numbers."""
    blank = lambda match: re.sub(r"[^\n]", " ", match.group(0)) if match.group(0).startswith("/") else match.group(0)
    return TOKEN.sub(blank, text)


def sources(root, room):
    """Every C or C++ file of a room, as (path relative to root, text)."""
    base = pathlib.Path(root)
    for path in sorted((base / room).rglob("*")):
        if path.suffix in CODE and path.is_file():
            yield path.relative_to(base).as_posix(), path.read_text(encoding="utf-8")


def write_tree(root, files):
    for name, text in files.items():
        path = pathlib.Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def self_test(check, clean, plants):
    """Returns what went wrong: the rule spoke on a clean tree, or missed a planted violation."""
    wrong = []
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, clean)
        wrong += [f"clean tree: {violation}" for violation in check(root)]
    for what, files, words in plants:
        with tempfile.TemporaryDirectory() as root:
            write_tree(root, {**clean, **files})
            found = check(root)
            if not any(words in violation for violation in found):
                wrong.append(f"planted '{what}': expected '{words}', got {found}")
    return wrong


def main(check, clean, plants):
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} ROOT | --self-test")
    violations = self_test(check, clean, plants) if sys.argv[1] == "--self-test" else check(sys.argv[1])
    for violation in violations:
        print(violation)
    sys.exit(1 if violations else 0)
