"""Damage of files."""


def flip(path, at):
    """One bit of the octet there."""
    with open(path, "r+b") as file:
        file.seek(at)
        octet = file.read(1)[0]
        file.seek(at)
        file.write(bytes([octet ^ 0x10]))
