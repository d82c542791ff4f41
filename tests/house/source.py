"""What the house checks share: finding sources, reading C roughly, reporting, proving a check on a broken sample."""
import contextlib
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def files(root, *suffixes):
    return sorted(p for p in (root / "src").rglob("*") if p.suffix in suffixes and p.is_file())


def without_comments(text):
    """The text with comments and the insides of strings blanked, line numbers kept."""
    def blank(match):
        piece = match[0]
        if piece.startswith('"'):
            return '"' + " " * (len(piece) - 2) + '"'
        if piece.startswith("'"):
            return "'" + " " * (len(piece) - 2) + "'"
        return re.sub(r"[^\n]", " ", piece)
    return re.sub(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|//[^\n]*|/\*.*?\*/', blank, text, flags=re.S)


def functions(text):
    """(name, parameters, first line, body lines) of each function definition; bodies open and close at column 0."""
    lines = without_comments(text).split("\n")
    at = 0
    while at < len(lines):
        if lines[at] == "{":
            start = at
            while start > 0 and lines[start - 1].strip() and not lines[start - 1].startswith(("}", "#")):
                start -= 1
            head = " ".join(lines[start:at])
            found = re.search(r"(\w+)\s*\((.*)\)\s*(?:[A-Z_]+\s*)*$", head)
            end = next((i for i in range(at, len(lines)) if lines[i].startswith("}")), len(lines) - 1)
            if found:
                yield found[1], found[2], start + 1, lines[at + 1:end]
            at = end
        at += 1


def top_level_commas(text):
    depth = count = 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        count += c == "," and depth == 0
    return count


@contextlib.contextmanager
def sample(tree):
    """A temporary source tree from {path: text}."""
    with tempfile.TemporaryDirectory(prefix="posthorn-house-") as folder:
        root = pathlib.Path(folder)
        for path, text in tree.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        yield root


def caught(rule, tree):
    """Whether the rule finds something in the tree."""
    with sample(tree) as root:
        return bool(list(rule(root)))


def main(rules):
    """rules: {name: (function(root) -> problems, broken sample or None)}. Each rule and each proof counts."""
    passed = failed = 0
    for name, (rule, broken) in rules.items():
        problems = list(rule(ROOT))
        for problem in problems:
            print(f"{name}: {problem}")
        passed, failed = passed + (not problems), failed + bool(problems)
        if broken is not None:
            seen = caught(rule, broken)
            if not seen:
                print(f"{name}: does not see the fault in its own broken sample")
            passed, failed = passed + seen, failed + (not seen)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
