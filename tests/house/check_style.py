"""The look of the code: sizes, nesting, banned calls, layout."""
import re
import subprocess

import source

LINES, FUNCTION, PARAMETERS, NESTING, MEMBERS = 600, 70, 6, 4, 25
BANNED = re.compile(r"\b(sprintf|vsprintf|strcpy|strcat|strncpy|strtok|atoi|gets|alloca|malloc)\s*\(")
CONTROL = re.compile(r"^( +)(?:\} )?(?:if|for|while|switch|do|else|return|break|continue)\b")
STRUCT = re.compile(r"^(?:typedef )?struct (\w+) ?\{\n(.*?)^\}", re.M | re.S)


def shown(root, path):
    return str(path.relative_to(root))


def lengths(root):
    for path in source.files(root, ".c", ".h", ".def"):
        count = path.read_text().count("\n")
        if count > LINES:
            yield f"{shown(root, path)}: {count} lines"


def function_sizes(root):
    for path in source.files(root, ".c", ".h"):
        for name, _, line, body in source.functions(path.read_text()):
            if len(body) + 2 > FUNCTION:
                yield f"{shown(root, path)}:{line}: {name} has {len(body) + 2} lines"


def parameters(root):
    for path in source.files(root, ".c", ".h"):
        for name, listed, line, _ in source.functions(path.read_text()):
            count = source.top_level_commas(listed) + 1
            if count > PARAMETERS:
                yield f"{shown(root, path)}:{line}: {name} has {count} parameters"


def nesting(root):
    for path in source.files(root, ".c", ".h"):
        for name, _, line, body in source.functions(path.read_text()):
            deep = max((len(m[1]) // 4 - 1 for m in map(CONTROL.match, body) if m), default=0)
            if deep > NESTING:
                yield f"{shown(root, path)}:{line}: {name} nests {deep} levels"


def banned(root):
    for path in source.files(root, ".c", ".h"):
        if path.relative_to(root / "src").parts[0] == "base":
            continue
        for number, line in enumerate(source.without_comments(path.read_text()).split("\n"), 1):
            found = BANNED.search(line)
            if found:
                yield f"{shown(root, path)}:{number}: {found[1]}"


def jumps(root):
    for path in source.files(root, ".c", ".h"):
        for number, line in enumerate(source.without_comments(path.read_text()).split("\n"), 1):
            if re.search(r"\bgoto\b", line):
                yield f"{shown(root, path)}:{number}: goto"


def structs(root):
    for path in source.files(root, ".c", ".h"):
        for name, body in STRUCT.findall(source.without_comments(path.read_text())):
            flat = re.sub(r"\{[^{}]*\}", "", body)
            members = sum(1 + source.top_level_commas(d) for d in flat.split(";") if d.strip() and "(" not in d)
            members += sum(1 for d in flat.split(";") if "(" in d)
            if members > MEMBERS:
                yield f"{shown(root, path)}: struct {name} has {members} members"


def layout(root):
    paths = [str(p) for p in source.files(root, ".c", ".h")]
    config = (source.ROOT / ".clang-format").read_text()
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", f"--style={{{inline(config)}}}", *paths],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        said = done.stdout.decode().replace(f"{root}/", "").split("\n")
        yield from sorted({line.split(":")[0] for line in said if "error" in line} or {"clang-format failed"})


def inline(config):
    return ", ".join(line for line in config.split("\n") if line.strip())


def headers(root):
    """A header tells what its noun is before its first declaration."""
    for path in source.files(root, ".h"):
        if "//" not in path.read_text()[:1500]:
            yield f"{shown(root, path)}: says nothing about itself"


BODY = "static int\nf(int a)\n{\n%s}\n"
source.main({
    "file length": (lengths, {"src/a/a.c": "int a;\n" * 601}),
    "function size": (function_sizes, {"src/a/a.c": BODY % ("    a++;\n" * 70)}),
    "parameters": (parameters, {"src/a/a.c": "int\nf(int a, int b, int c, int d, int e, int g, int h)\n{\n}\n"}),
    "nesting": (nesting, {"src/a/a.c": BODY % ("    if (a)\n        if (a)\n            if (a)\n                if (a)\n"
                                              "                    if (a)\n                        return 1;\n")}),
    "banned calls": (banned, {"src/a/a.c": BODY % "    strcpy(x, y);\n"}),
    "goto": (jumps, {"src/a/a.c": BODY % "    goto out;\n"}),
    "struct members": (structs, {"src/a/a.h": "struct a {\n" + "    int m;\n" * 26 + "};\n"}),
    "layout": (layout, {"src/a/a.c": "int  f( int a ){ return a ;}\n"}),
    "headers speak": (headers, {"src/a/a.h": "int a;\n"}),
})
