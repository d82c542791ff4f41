"""docs/quirks.md and tests/transcripts/quirks say the same: every transcript is in a row, every row is shown, to come or done with."""
import re

import source

PAGE = "docs/quirks.md"
FOLDER = "tests/transcripts/quirks"


def rows(root):
    """(client, the words of the last column) of each row of the page's table."""
    for line in (root / PAGE).read_text().split("\n"):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[0] != "client" and not cells[0].startswith("---"):
            yield cells[0], [word.strip() for word in re.sub(r"\([^)]*\)", "", cells[3]).split(",") if word.strip()]


def shown(root):
    """Each row names transcripts that exist, an issue, or says that there is nothing to show."""
    there = {p.stem for p in (root / FOLDER).glob("*.txt")}
    for client, words in rows(root):
        if not words:
            yield f"{PAGE}: nothing shows the row of {client}"
        for word in words:
            if word not in there and word != "none" and not re.fullmatch(r"issue \d+", word):
                yield f"{PAGE}: {FOLDER}/{word}.txt does not exist"


def named(root):
    """Each transcript is in a row, and its first line says QUIRKS and which client."""
    told = {word for _, words in rows(root) for word in words}
    yield from (f"{path.relative_to(root)}: its place is {FOLDER}" for path in root.glob("tests/transcripts/quirk*.txt"))
    for path in sorted((root / FOLDER).glob("*.txt")):
        if path.stem not in told:
            yield f"{path.relative_to(root)}: not in {PAGE}"
        if not re.match(r"# QUIRKS \w[^:\n]*: ?\S", path.read_text()):
            yield f"{path.relative_to(root)}: begins not with # QUIRKS CLIENT: what it shows"


HEAD = "| client | a | b | transcripts |\n|---|---|---|---|\n"
source.main({
    "rows are shown": (shown, {PAGE: HEAD + "| x | y | z | gone |\n"}),
    "transcripts are named": (named, {PAGE: HEAD, f"{FOLDER}/x.txt": "# QUIRKS x: y\n"}),
})
