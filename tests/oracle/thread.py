"""THREAD as RFC 5256 says it, word by word and slowly. A message is what its header says; nothing here knows of the server.

thread(algorithm, [Message, ...]) gives the text behind "* THREAD".
"""
import re


class Message:
    """number: in the answer. arrived, sent: seconds; sent None: no Date. Ids as lists, in the form of normal()."""
    def __init__(self, number, header, arrived, sent):
        self.number, self.arrived = number, arrived
        self.sent = arrived if sent is None else sent  # section 2.2
        fields = unfold(header)
        ids = valid_ids(fields.get("message-id", ""))
        self.id = ids[0] if ids else None
        self.references = valid_ids(fields.get("references", "")) or valid_ids(fields.get("in-reply-to", ""))[:1]
        self.subject, self.reply = base_subject(fields.get("subject", ""))


def unfold(header):
    fields = {}
    for line in re.sub(r"\r?\n(?=[ \t])", "", header).splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields[name.strip().lower()] = value.strip(" \t")
    return fields


def valid_ids(text):
    """Every "<" left "@" right ">"; quotes, white space and comments are not part of an id (section 3)."""
    found, at = [], 0
    while at < len(text):
        if text[at] == "(":
            at = comment_end(text, at)
        elif text[at] == "<":
            at, one = read_id(text, at + 1)
            if one and re.fullmatch(r"[^@]+@.+", one, re.S):
                found.append(one)
        else:
            at += 1
    return found


def comment_end(text, at):
    level = 0
    for i in range(at, len(text)):
        level += {"(": 1, ")": -1}.get(text[i], 0)
        if level == 0:
            return i + 1
    return at + 1


def read_id(text, at):
    out = ""
    while at < len(text):
        c = text[at]
        quoted = re.compile(r'"((?:[^"\\]|\\.)*)"').match(text, at)
        if quoted:
            out += re.sub(r"\\(.)", r"\1", quoted[1])
            at = quoted.end()
        elif c == "(":
            at = comment_end(text, at)
        elif c == "<":
            return at, None
        elif c == ">":
            return at + 1, out
        else:
            out += "" if c.isspace() else c
            at += 1
    return at, None


BLOB = r"\[[^\[\]]*\][ \t]*"
REFWD = rf"(?:re|fwd?)[ \t]*(?:{BLOB})?:"
LEADER = re.compile(rf"(?:{BLOB})*{REFWD}|[ \t]", re.I)


def base_subject(text):
    """Section 2.1, steps 1 to 7; and whether something said that it is a reply or forward."""
    text, reply = re.sub(r"[ \t]+", " ", text), False
    while True:
        while trailer := re.search(r"(\(fwd\)|[ \t])\Z", text, re.I):  # 2
            reply = reply or len(trailer[0]) > 1
            text = text[:trailer.start()]
        while True:  # 5
            before = text
            while leader := LEADER.match(text):  # 3
                reply = reply or leader[0] not in " \t"
                text = text[leader.end():]
            blob = re.match(BLOB, text)  # 4
            if blob and text[blob.end():]:
                text = text[blob.end():]
            if text == before:
                break
        if not re.fullmatch(r"\[fwd:.*\]", text, re.I):  # 6
            return text, reply
        text, reply = text[5:-1], True


class Node:
    def __init__(self, message=None):
        self.message, self.parent, self.children = message, None, []

    def link(self, child):
        child.parent = self
        self.children.append(child)

    def unlink(self):
        if self.parent:
            self.parent.children.remove(self)
        self.parent = None

    def is_below(self, other):
        while self and self is not other:
            self = self.parent
        return self is other

    def first(self):  # a dummy's first child stands for it
        return self.message or min(self.children, key=Node.order).message

    def order(self):
        return self.first().sent, self.first().seq


def references(messages, subjects):
    table, nodes = {}, []
    for m in messages:  # "If no message can be found with a given Message ID, create a dummy": all are known first
        node = Node(m)
        if m.id is not None and m.id not in table:
            table[m.id] = node
        nodes.append(node)
    for node in nodes:
        refs = [table.setdefault(i, Node()) for i in node.message.references]
        for parent, child in zip(refs, refs[1:]):  # 1.A
            if not child.parent and not parent.is_below(child):
                parent.link(child)
        node.unlink()  # 1.B
        if refs and not refs[-1].is_below(node):
            refs[-1].link(node)
    everything = nodes + [n for n in table.values() if not n.message]
    root = Node()
    for node in everything:  # 2
        if not node.parent:
            root.link(node)
    prune(root, root)  # 3
    root.children.sort(key=Node.order)  # 4
    if subjects:
        join(root)  # 5
    sort(root)  # 6
    return root


def prune(node, root):
    for child in list(node.children):
        prune(child, root)
        if child.message:
            continue
        if node is not root or len(child.children) < 2:
            node.children.remove(child)
            for grandchild in child.children:
                node.link(grandchild)


def join(root):
    table = {}
    for node in root.children:  # 5.B
        subject = fold(node.first().subject)
        there = table.get(subject)
        if not subject:
            continue
        if not there or (there.message and (not node.message or (there.message.reply and not node.message.reply))):
            table[subject] = node
    for node in list(root.children):  # 5.C
        if node.parent is not root:
            continue
        subject = fold(node.first().subject)
        there = table.get(subject)
        if not subject or there is node:
            continue
        node.unlink()
        if not there.message and not node.message:
            for child in list(node.children):
                there.link(child)
        elif not there.message or (node.message.reply and not there.message.reply):
            there.link(node)
        else:
            dummy = Node()
            there.unlink()
            dummy.link(there)
            dummy.link(node)
            root.link(dummy)
            table[subject] = dummy


def sort(node):
    for child in node.children:
        sort(child)
    node.children.sort(key=Node.order)


def fold(subject):
    return subject.upper()  # of ASCII: i;unicode-casemap


def ordered_subject(messages):
    root, heads = Node(), {}
    for m in sorted(messages, key=lambda m: (m.sent, m.seq)):
        head = heads.get(fold(m.subject))
        if head:
            head.link(Node(m))
        else:
            heads[fold(m.subject)] = Node(m)
            root.link(heads[fold(m.subject)])
    return root


def latest(node):
    """Of a thread: its latest arrival."""
    own = [(node.message.arrived, node.message.seq)] if node.message else []
    return max(own + [latest(child) for child in node.children])


def members(node):
    """thread-members and thread-nested of section 5."""
    own = str(node.message.number) if node.message else ""
    if len(node.children) == 1:
        rest = members(node.children[0])
    else:
        rest = "".join(f"({members(child)})" for child in node.children)
    return " ".join(part for part in (own, rest) if part)


def thread(algorithm, messages):
    """messages: in the order of the mailbox."""
    for seq, m in enumerate(messages):
        m.seq = seq
    if algorithm == "ORDEREDSUBJECT":
        root = ordered_subject(messages)
    else:
        root = references(messages, algorithm == "REFERENCES")
    if algorithm == "REFS":  # the thread that got the latest message is the last one
        root.children.sort(key=latest)
    return "".join(f"({members(child)})" for child in root.children)
