"""Reads plugin.h and rocforge.h as their rules need them: structs with their members, enumerators, macros, functions. It knows this project's
way of writing headers, not C: a declaration that it cannot read is an error, never skipped."""
import re

from rule import tokens, without_comments

PLUGIN_H = "sdk/include/rocforge/plugin.h"
ROCFORGE_H = "core/include/rocforge/rocforge.h"


def members(body):
    """The member names of a struct's body (comments already blanked)."""
    names = []
    for declaration in filter(None, (part.strip() for part in body.split(";"))):
        slot = re.match(r".*?\(\s*\*\s*(\w+)\s*\)\s*\(", declaration, re.S)
        if slot:
            names.append(slot.group(1))
            continue
        for declarator in declaration.split(","):
            name = re.search(r"(\w+)\s*(?:\[\w+\])?$", declarator.strip())
            if not name:
                raise ValueError(f"cannot read the member '{declaration}'")
            names.append(name.group(1))
    return names


def structs(text):
    """{struct: [member]} in the order of the header."""
    return {name: members(body) for body, name in re.findall(r"typedef struct \w+ \{(.*?)\}\s*(\w+);", without_comments(text), re.S)}


def constants(text):
    """Every enumerator, feature bit and flag."""
    code = without_comments(text)
    names = [item.split("=")[0].strip() for body in re.findall(r"enum \{(.*?)\}", code, re.S) for item in body.split(",") if item.strip()]
    return names + re.findall(r"#define (RF_[FBP]_\w+)", code)


def slots(text):
    """Yields (struct, slot, the comment right before it, line) for each function pointer of each struct. A comment at the end of the previous
    member's line belongs to that member."""
    lines = text.split("\n")
    own_line = lambda line: lines[line - 1].lstrip().startswith("/*")
    comments = [(body, line + body.count("\n")) for kind, body, line in tokens(text) if kind == "comment" and own_line(line)]
    code = without_comments(text)
    for match in re.finditer(r"typedef struct \w+ \{(.*?)\}\s*(\w+);", code, re.S):
        for slot in re.finditer(r"(?:^|;)\s*([\w\s*]*?\(\s*\*\s*(\w+)\s*\)\s*\((?:[^;]*)\))(?=;)", match.group(1), re.S):
            line = code.count("\n", 0, match.start(1) + slot.start(1)) + 1
            before = [body for body, last in comments if last == line - 1]
            yield match.group(2), slot.group(2), before[0] if before else "", line


def functions(text):
    """Every function that rocforge.h exports."""
    return re.findall(r"^ROCFORGE_API\s+[\w\s*]*?(\w+)\s*\(", without_comments(text), re.M)
