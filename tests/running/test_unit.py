"""The shipped unit: how exposed systemd finds it."""
import re
import subprocess

from lib.server import ROOT

UNIT = ROOT / "dist/posthorn.service.in"

def exposure(folder, text):
    path = folder / "posthorn.service"
    path.write_text(text.replace("@bindir@", "/usr/bin").replace("@docdir@", "/usr/share/doc"))
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return float(re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout.decode())[1])


def test_exposure(tmp_path):
    text = UNIT.read_text()
    assert exposure(tmp_path, text) <= 2.0
    assert exposure(tmp_path, re.sub(r"^(SystemCall|Protect|Restrict).*\n", "", text, flags=re.M)) > 2.0
