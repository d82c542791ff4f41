"""The figures as Markdown."""
import os
import platform
import re
import subprocess
import time

from rows import LOW


def figure(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def ratio(row, ours, peer):
    a, b = ours[row.unit], peer[row.unit]
    if a <= 0 or b <= 0:
        return None
    return b / a if row.unit in LOW else a / b


def verdict(row, ours, factor):
    misses = [f"{name} {figure(ours[name])} > {most}" for name, most in row.peaks if ours[name] > most]
    if factor is not None and factor < row.goal:
        misses.insert(0, f"{factor:.2g} of {row.goal:g}")
    return "short: " + ", ".join(misses) if misses else "yes"


def line(row, found, servers):
    ours = found[servers[0].name]
    peer = found[servers[1].name] if len(servers) > 1 else None
    factor = ratio(row, ours, peer) if peer else None
    cells = [row.title]
    for m in (ours, peer):
        if m:
            cells += [figure(m[row.unit]), figure(m["p99"]), figure(m["cpu"]), figure(max(m["written"], 0) / 1000)]
    cells += [f"{factor:.1f}" if factor else "-", f"{row.goal:g}", verdict(row, ours, factor)]
    return "| " + " | ".join(cells) + " |"


def table(results, servers):
    heads = ["row"]
    for server in servers:
        heads += [server.name, "p99 ms", "CPU us/op", "KB written/op"]
    heads += ["ratio", "goal", "reached"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + [line(row, found, servers) for row, found in results])


def machine(chosen):
    cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo", encoding="ascii").read())
    dovecot = subprocess.run(["/usr/sbin/dovecot", "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    return (f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores of {cpu[1] if cpu else 'an unknown CPU'}, Linux {platform.release()}, "
            f"Dovecot {dovecot[0] if dovecot else '?'} ({chosen.format}); "
            f"{'quick form, ' if chosen.quick else ''}{chosen.runs} runs each, load average {os.getloadavg()[0]:.1f} at the end.")
