"""A disk as a power cut leaves it. It is fed the events of a log; what was synced is certain, of the rest any part may
have come to the disk: whole writes, some of their sectors, names without contents, contents without names."""
import os
import pathlib
import shutil

import eventlog as log

SECTOR, PAGE = 512, 4096


class File:
    def __init__(self, content=b""):
        self.content = bytearray(content)  # what is certain
        self.pending = []  # (position, kind, offset or size, data)

    def sync(self, since, until):
        left = []
        for change in self.pending:
            if since <= change[0] < until:
                apply(self.content, change)
            else:
                left.append(change)
        self.pending = left


def apply(content, change):
    _, kind, at, data = change
    if kind == log.WRITE:
        if len(content) < at:
            content.extend(bytes(at - len(content)))
        content[at:at + len(data)] = data
    elif kind == log.TRUNCATE and at < len(content):
        del content[at:]
    elif len(content) < at:
        content.extend(bytes(at - len(content)))


class Folder:
    def __init__(self):
        self.names = {}  # what is certain: name -> File or Folder
        self.now = {}  # what a running program sees
        self.pending = []  # (position, [(name, node or None), ...])

    def change(self, at, *pairs):
        self.pending.append((at, pairs))
        put(self.now, pairs)

    def sync(self, since, until):
        left = []
        for change in self.pending:
            if since <= change[0] < until:
                put(self.names, change[1])
            else:
                left.append(change)
        self.pending = left


def put(names, pairs):
    for name, node in pairs:
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """`pretend` is what the proof that the harness can fail needs: {SYNC} syncs nothing."""

    def __init__(self, root, ignored=(), pretend=()):
        self.nodes, self.ignored, self.pretend = {}, ignored, pretend
        self.root = self.read(pathlib.Path(root))

    def read(self, path):
        node = Folder()
        self.nodes[path.stat().st_ino] = node
        for entry in path.iterdir():
            if entry.name in self.ignored or entry.is_socket():
                continue
            if entry.is_dir():
                node.names[entry.name] = self.read(entry)
            else:
                node.names[entry.name] = self.nodes[entry.stat().st_ino] = File(entry.read_bytes())
        node.now = dict(node.names)
        return node

    # -- events --------------------------------------------------------------------------------
    def feed(self, e):
        node = self.nodes.get(e.ino)
        if node is None or (e.kind == log.SYNC and log.SYNC in self.pretend):
            return
        if e.kind in (log.WRITE, log.TRUNCATE, log.GROW):
            node.pending.append((e.at, e.kind, e.a, e.data))
        elif e.kind == log.SYNC:
            node.sync(0, e.a)
        elif e.kind == log.SYNC_ONE:
            node.sync(e.a, e.b)
        else:
            self.feed_name(node, e)

    def feed_name(self, folder, e):
        name, more = e.data.decode(), e.more.decode()
        if e.kind in (log.CREATE, log.FOLDER):
            self.nodes[e.a] = File() if e.kind == log.CREATE else Folder()
            folder.change(e.at, (name, self.nodes[e.a]))
        elif e.kind == log.UNLINK:
            folder.change(e.at, (name, None))
        elif e.kind == log.LINK and name in folder.now:
            self.nodes[e.a].change(e.at, (more, folder.now[name]))
        elif e.kind == log.RENAME and name in folder.now:
            assert e.a == e.ino, "a rename between folders is not looked at"
            folder.change(e.at, (name, None), (more, folder.now[name]))

    # -- what a cut leaves ---------------------------------------------------------------------
    def save(self, path, fate):
        """Makes the folder as it is after a cut now; `fate` says what of the uncertain came to the disk."""
        shutil.rmtree(path, ignore_errors=True)
        os.mkdir(path)
        self.save_folder(self.root, str(path), fate)

    def save_folder(self, folder, path, fate):
        names = dict(folder.names)
        for _, pairs in folder.pending:
            if fate.name():
                put(names, pairs)
        for name, node in names.items():
            inside = f"{path}/{name}"
            if isinstance(node, Folder):
                os.mkdir(inside)
                self.save_folder(node, inside, fate)
            else:
                self.save_file(node, inside, fate)

    def save_file(self, node, path, fate):
        content = node.content
        if node.pending:
            content = bytearray(content)
            for change in node.pending:
                for part in fate.parts(change):
                    apply(content, part)
        with open(path, "wb") as file:
            file.write(content.rstrip(b"\0"))
            file.truncate(len(content))


class Fate:
    """names, data: the chance of each uncertain change to be there; torn: of a write to come in parts."""

    def __init__(self, random, names, data, torn=0.0):
        self.random, self.names, self.data, self.torn = random, names, data, torn

    def name(self):
        return self.random.random() < self.names

    def parts(self, change):
        at, kind, offset, data = change
        if kind != log.WRITE or self.random.random() >= self.torn:
            return [change] if self.random.random() < self.data else []
        size, parts = self.random.choice((SECTOR, PAGE)), []
        edges = [offset, *range(offset - offset % size + size, offset + len(data), size), offset + len(data)]
        for begin, end in zip(edges, edges[1:]):
            if self.random.random() < 0.5:
                parts.append((at, kind, begin, data[begin - offset:end - offset]))
        return parts


def fates(random):
    """One after another: nothing uncertain is there; names without data; data without names; everything; then chance."""
    while True:
        yield from (Fate(random, 0, 0), Fate(random, 1, 0), Fate(random, 0, 1), Fate(random, 1, 1))
        yield Fate(random, 1, 0.9, torn=0.5)
        for _ in range(4):
            yield Fate(random, random.random(), random.random(), random.random())
