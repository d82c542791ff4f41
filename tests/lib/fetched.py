"""What tests need and Debian does not install beside the rest: fetched once into tests/.work, all of it before the first test (house/fetch.py)."""
from . import corpus, cyrus, npm, unpacked


def imapflow():
    return npm.fetch("imapflow@1.0.188", "imapflow")


def exim():
    """It cannot be installed beside Postfix. The wrapper gives it a user of its own."""
    return unpacked.unpack(npm.WORK / "exim", ("exim4-daemon-heavy", "libnss-wrapper"))


def roundcube():
    """Of which one class is asked: without what the rest needs."""
    return unpacked.unpack(npm.WORK / "roundcube", ("roundcube-core",), with_libraries=False) / "root/usr/share/roundcube"


ALL = (corpus.fetch, imapflow, exim, roundcube, cyrus.fetch)
