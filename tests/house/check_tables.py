"""What the tables promise has a transcript: verbs, words, capabilities, response codes, and the RFCs' own examples."""
import re

import source

VERB = re.compile(r'\{\s*(?:\.name\s*=\s*)?"([A-Z][A-Z0-9 -]*)"\s*,\s*(?:\.args\s*=\s*)?ARGS_')
WORD = re.compile(r'\{\s*(?:\.slot\s*=\s*)?(SLOT_\w+)\s*,\s*(?:\.name\s*=\s*)?"([^"]+)"')


def transcripts(root):
    folder = root / "tests/transcripts"
    return {p.relative_to(folder).with_suffix("").as_posix(): p.read_text() for p in sorted(folder.rglob("*.txt"))}


def rows(root, pattern):
    for path in source.files(root, ".c", ".def"):
        if path.relative_to(root / "src").parts[0] == "imap":
            yield from ((path.relative_to(root), found) for found in pattern.findall(path.read_text()))


def sent(root):
    """Everything clients say in transcripts, upper case."""
    lines = []
    for text in transcripts(root).values():
        lines += re.findall(r"[A-Z]\d?>[>|]? ([^\n]*)", text)
    return "\n".join(lines).upper()


def verbs(root):
    said = sent(root)
    for path, name in rows(root, VERB):
        if not re.search(rf"(^|\b|\\N|[ ]){re.escape(name)}\b", said, re.M):
            yield f"{path}: no transcript says {name}"


def words(root):
    said = sent(root)
    for path, (slot, name) in rows(root, WORD):
        if not re.search(rf"(?<![A-Z0-9.]){re.escape(name.upper())}(?![A-Z0-9])", said):
            yield f"{path}: no transcript uses {slot} {name}"


def extensions(root):
    text = "\n".join(transcripts(root).values())
    for name in re.findall(r"^EXT\((\w+)\)", (root / "src/imap/ext.def").read_text(), re.M):
        found = [p for p in (root / f"src/imap/base/{name}.c", root / f"src/imap/ext/{name}.c") if p.exists()]
        if not found:
            yield f"ext.def: no file for {name}"
            continue
        code = found[0].read_text()
        if not re.search(r"RFC \d{4}", code):
            yield f"{found[0].relative_to(root)}: names no RFC"
        for capability in re.findall(r'\.capability\s*=\s*"([^"]+)"', code):
            for token in capability.split():
                if not re.search(rf"(?<![\w=-]){re.escape(token)}(?![\w])", text):
                    yield f"{found[0].relative_to(root)}: no transcript needs {token}"


def elsewhere(root):
    """codes-elsewhere.txt: CODE FILE, the test outside the transcripts that provokes it; or CODE never: REASON."""
    path = root / "tests/house/codes-elsewhere.txt"
    table = {}
    for line in path.read_text().split("\n") if path.exists() else []:
        if line.strip() and not line.startswith("#"):
            code, where = re.match(r"(.+?) (never: .*|tests/\S+)$", line).groups()
            table[code] = where
    return table


def codes(root):
    text = "\n".join(transcripts(root).values())
    other = elsewhere(root)
    seen = set()
    sources = "\n".join(p.read_text() for p in source.files(root, ".c"))
    for fault, code in re.findall(r'^FAULT\((\w+),\s*"([^"]*)"', (root / "src/base/faults.def").read_text(), re.M):
        if not code or code in seen or not re.search(rf"(?<!\[)\bFAULT_{fault}\b(?!\])", sources):
            continue
        seen.add(code)
        if f"[{code}" in text:
            continue
        where = other.get(code)
        if not where:
            yield f"faults.def: no transcript provokes [{code}]"
        elif where.startswith("never: "):
            continue
        elif not (root / where).exists() or code not in (root / where).read_text():
            yield f"codes-elsewhere.txt: {where} does not mention {code}"


def examples(root):
    """tests/rfc-examples.txt: every example of these RFCs -> the transcripts that tell it."""
    told = transcripts(root)
    path = root / "tests/rfc-examples.txt"
    counts = dict.fromkeys(("RFC3501", "RFC9051", "RFC5267", "RFC5466"), 0)
    for line in path.read_text().split("\n") if path.exists() else []:
        if not line.strip() or line.startswith("#"):
            continue
        rfc, section, rest = line.split(" ", 2)
        counts[rfc] = counts.get(rfc, 0) + 1
        told_by = rest.split(" -> ")[1]
        names = [] if told_by.startswith("never-sent: ") else told_by.split()
        for name in names:
            if name not in told:
                yield f"rfc-examples.txt: {rfc} {section}: no transcript {name}"
            elif section not in told[name]:
                yield f"{name}: does not name section {section}"
    for rfc, want in (("RFC3501", 44), ("RFC9051", 115), ("RFC5267", 10), ("RFC5466", 2)):
        if counts[rfc] != want:
            yield f"rfc-examples.txt: {counts[rfc]} examples of {rfc}, the text has {want}"


# How many rows tests/sieve-examples.txt has of each RFC: an example that is left out is missed here.
SIEVE_EXAMPLES = {"RFC5228": 30, "RFC3894": 3, "RFC5173": 4, "RFC5260": 7, "RFC5293": 6, "RFC5703": 11, "RFC5435": 8, "RFC5436": 3, "RFC5229": 12,
                  "RFC5230": 10, "RFC6131": 2, "RFC5231": 4, "RFC5232": 16, "RFC5233": 3, "RFC5235": 5, "RFC5183": 2, "RFC5429": 6, "RFC6134": 14,
                  "RFC8580": 4, "RFC5463": 1, "RFC6785": 4, "RFC6609": 9, "RFC5490": 5, "RFC9042": 6, "RFC6009": 11, "RFC8579": 7, "RFC7352": 9,
                  "RFC4790": 1, "RFC5051": 1}
SIEVE_ROW = re.compile(r"(RFC\d+) (\S+) (.+) -> (?:(tests/\S+)::(\w+)|left out: (.+)|(\w+): (.+))")


def sieve_cases(root):
    """{(file, name): its text} of the tables of tests/sieve."""
    found = {}
    for path in sorted((root / "tests/sieve").glob("*.txt")):
        for case in re.split(r"^case ", path.read_text(), flags=re.M)[1:]:
            name, _, text = case.partition("\n")
            found[path.stem, name] = text
    return found


def sieve_row(root, cases, row):
    _, _, line, test, function, reason, table, name = row.groups()
    if test and not ((root / test).exists() and re.search(rf"^def {function}\(", (root / test).read_text(), re.M)):
        yield f"no test {test}::{function}"
    if test or reason:
        return
    text = cases.get((table, name))
    if text is None:
        yield f"no case {table}: {name}"
    elif re.sub(r"\s", "", line) not in re.sub(r"\s", "", text):
        yield f"{table}: {name} does not have {line}"


def sieve_examples(root):
    """tests/sieve-examples.txt: every example of the RFCs of the Sieve extensions -> its case."""
    path, cases, counts = root / "tests/sieve-examples.txt", sieve_cases(root), dict.fromkeys(SIEVE_EXAMPLES, 0)
    for number, line in enumerate(path.read_text().split("\n") if path.exists() else [], 1):
        row = SIEVE_ROW.fullmatch(line)
        if row:
            counts[row[1]] = counts.get(row[1], 0) + 1
            yield from (f"{path.name}:{number}: {problem}" for problem in sieve_row(root, cases, row))
        elif line and not line.startswith("#"):
            yield f"{path.name}:{number}: no row"
    yield from (f"{path.name}: {n} examples of {rfc}, not {SIEVE_EXAMPLES.get(rfc)}" for rfc, n in counts.items() if n != SIEVE_EXAMPLES.get(rfc))
    for source_file in files_of_sieve(root):
        for rfc in re.findall(r'\.rfc = "RFC (\d+)"', source_file.read_text()):
            if not counts.get(f"RFC{rfc}"):
                yield f"{source_file.name}: {path.name} has nothing of RFC {rfc}"


def files_of_sieve(root):
    return sorted((root / "src/sieve/ext").glob("*.c"))


SAMPLE = {
    "src/imap/ext.def": "EXT(idle)\nEXT(lost)\n",
    "src/imap/ext/idle.c": 'x[] = {{"IDLE", ARGS_NONE}};\n w[] = {{SLOT_FETCH, "UID", 0}};\n .capability = "IDLE"\n',
    "src/base/faults.def": 'FAULT(LIMIT, "LIMIT")\n',
    "src/base/fault.c": "int x = FAULT_LIMIT;\n",
    "tests/transcripts/a.txt": "# a\nA> noop\n",
    "tests/sieve/a.txt": "case one\nscript\n    keep;\n",
    "tests/sieve-examples.txt": "RFC5228 4.3 discard; -> a: one\n",
    "tests/rfc-examples.txt": "RFC3501 6.1.1 C: x -> nothing\n",
}
source.main({
    "verbs": (verbs, SAMPLE), "words": (words, SAMPLE), "extensions": (extensions, SAMPLE),
    "response codes": (codes, SAMPLE), "RFC examples": (examples, SAMPLE),
    "RFC examples of Sieve": (sieve_examples, SAMPLE),
})
