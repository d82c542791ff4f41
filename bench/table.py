"""The figures as Markdown: a line for each goal."""
import os
import platform
import re
import subprocess
import time

from lib import cyrus
import measure
import servers
from rows import ROWS

BEGIN, END = "<!-- bench/compare writes from here -->", "<!-- to here -->"


def figure(value):
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def value_of(line, found, name):
    value = found.get(name, {}).get(line.figure)
    return None if value is None else value * line.scale


def cell(line, found, name):
    if "failed" in found.get(name, {}):
        return "failed"
    return figure(value_of(line, found, name)) + " (finds less)" * ("less" in found.get(name, {}))


def ratio(line, found, peers):
    """How many times ours is better than the better peer; None when there is no telling."""
    ours = value_of(line, found, "Posthorn")
    theirs = [v for v in (value_of(line, found, name) for name in peers if "less" not in found.get(name, {})) if v is not None and v > 0]
    if not ours or ours < 0 or not theirs:
        return None
    return min(theirs) / ours if line.low else ours / max(theirs)


def goal(line):
    parts = [f"{line.factor:g}x"] * (line.factor > 0) + [f"<= {line.most:g}"] * (line.most > 0)
    return ", ".join(parts) or "-"


def verdict(line, ours, factor):
    """"-" where nothing could be judged: no goal, no figure of ours, or no peer's."""
    judged = []
    if ours is not None and line.most > 0:
        judged.append(ours <= line.most)
    if ours is not None and line.factor > 0 and (factor is not None or (line.low and ours <= 0)):
        judged.append(factor is None or factor >= line.factor)
    return ("yes" if all(judged) else "short") if judged else "-"


def row_line(line, found, names, sizes):
    peers = names[1:]
    factor = ratio(line, found, peers)
    cells = [line.title.format(**sizes), *(cell(line, found, name) for name in names)]
    cells += [f"{factor:.1f}" if factor else "-", goal(line), verdict(line, value_of(line, found, "Posthorn"), factor)]
    return "| " + " | ".join(cells) + " |"


def table(kept):
    names = [k.name for k in servers.ALL]
    heads = ["row", *names, "ratio", "goal", "reached"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in ROWS:
        if row.name in kept:
            lines += [row_line(line, kept[row.name], names, kept[row.name]["sizes"]) for line in row.lines]
    return "\n".join(lines)


def machine(kept, chosen):
    cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo", encoding="ascii").read())
    dovecot = subprocess.run(["/usr/sbin/dovecot", "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    rows = [kept[row.name] for row in ROWS if row.name in kept]
    tcp = open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii").read().strip()  # BBR paces by timers, on loopback too
    quick = "quick form, " if any(row["sizes"]["big"] == measure.QUICK["big"] for row in rows) else ""
    text = (f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores of {cpu[1] if cpu else 'an unknown CPU'}, Linux {platform.release()} (TCP by {tcp}), "
            f"Dovecot {dovecot[0] if dovecot else '?'} ({chosen.format}), Cyrus {cyrus.version()}; "
            f"{quick}{min((row['runs'] for row in rows), default=0)} runs each.")
    if rows:
        loads = [row["load"] for row in rows]
        text += f" Load average before the rows {min(loads):.1f} to {max(loads):.1f}, the bench's own included."
    if "openssl" in kept:
        one = kept["openssl"]
        text += (f" OpenSSL alone, without a socket, takes {one['full']:.0f} us for the server's side of a handshake (ECDSA P-256), "
                 f"{one['resumed']:.0f} us resumed.")
    return text


def put(path, text):
    """Between the marks of a document."""
    whole = path.read_text()
    if BEGIN not in whole or END not in whole:
        raise RuntimeError(f"{path} has no marks for the table")
    head, rest = whole.split(BEGIN, 1)
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}")
