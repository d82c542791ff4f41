"""Fetches what the tests need beside Debian's installed packages; nothing when it is there. From then on no network is used."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from lib import fetched  # noqa: E402

for fetch in fetched.ALL:
    fetch()
