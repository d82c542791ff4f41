"""Every transcript: on Posthorn as it is, cut into single octets, with compressed mail, while accounts are packed at random moments, on a mounted tree; and on Dovecot, to test the test."""
import pathlib

import pytest

from lib import mounted, transcript

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE / "transcripts"
SCRIPTS = {path.relative_to(FOLDER).with_suffix("").as_posix(): transcript.Script(path) for path in FOLDER.rglob("*.txt")}
NAMES = sorted(SCRIPTS)
MOUNTED = [name for name in NAMES if mounted.suits(SCRIPTS[name])]


def play(name, fleet, mapper=None):
    verdict, reason = transcript.run_file(FOLDER / f"{name}.txt", fleet, mapper)
    if verdict == "skip":
        pytest.skip(reason)


@pytest.mark.parametrize("name", NAMES)
def test_transcript(name, plain_fleet):
    play(name, plain_fleet)


@pytest.mark.parametrize("name", NAMES)
def test_split(name, split_fleet):
    play(name, split_fleet)


@pytest.mark.parametrize("name", MOUNTED)
def test_mounted(name, mount_fleet):
    for one in mount_fleet.servers.values():
        one.user_renew("bob")
    play(name, mount_fleet, mounted.mapper("Shared/bob/"))


@pytest.mark.parametrize("name", NAMES)
def test_dovecot(name, dovecot):
    play(name, dovecot)
