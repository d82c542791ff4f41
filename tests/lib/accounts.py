"""What a client can see of an account on any server, names as they are on the wire: to compare two servers, or two moments."""
import re

from . import client

LISTED = re.compile(rb'\* LIST \(([^)]*)\) (?:NIL|"((?:[^"\\]|\\.)+)") (.*)', re.S)


def listed(connection, pattern="*", reference=""):
    """[(attributes, delimiter, name)]; names may come quoted or as literals."""
    found = []
    for line in connection.command(f'LIST "{reference}" "{pattern}"')[0]:
        attributes, delimiter, name = LISTED.match(line).groups()
        if name.startswith(b'"'):
            name = re.sub(rb"\\(.)", rb"\1", name[1:-1])
        elif name.startswith(b"{"):
            name = name.split(b"\n", 1)[1]
        found.append((attributes.decode(), (delimiter or b"").decode(), name.decode()))
    return found


def quoted(name):
    return name.replace("\\", "\\\\").replace('"', '\\"')


def messages(connection, name):
    """(UIDVALIDITY, UIDNEXT, {uid: (flags, date, octets)})"""
    known, rows = connection.select(quoted(name)), {}
    if known["EXISTS"]:
        for values in connection.fetch("1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])").values():
            flags = frozenset(str(f) for f in values["FLAGS"]) - {"\\Recent"}
            rows[values["UID"]] = (flags, values["INTERNALDATE"].strip().zfill(26), values["BODY[]"])
    return known["UIDVALIDITY"], known["UIDNEXT"], rows


def seen(address, user, password):
    """{name: (UIDVALIDITY, UIDNEXT, messages)} of all that LIST shows and that can be selected, and what is subscribed to."""
    connection = client.Imap(address, user, password, timeout=120)
    found = {name: messages(connection, name) for attributes, _, name in listed(connection)
             if "\\NoSelect" not in attributes.replace("\\Noselect", "\\NoSelect") and "\\NonExistent" not in attributes}
    subscribed = {name for _, _, name in map(lambda line: LISTED.match(line.replace(b"* LSUB", b"* LIST")).groups(), connection.command('LSUB "" "*"')[0])
                  for name in [re.sub(rb"\\(.)", rb"\1", name.strip(b'"')).decode()]}
    connection.close()
    return found, subscribed
