"""A scripted Gmail: one message in several folders with a UID of its own in each, known by X-GM-MSGID (X-GM-EXT-1)."""
from . import fakeimap

ALL, TRASH, SPAM = "[Gmail]/All Mail", "[Gmail]/Trash", "[Gmail]/Spam"
USES = {ALL: "\\All", TRASH: "\\Trash", SPAM: "\\Junk", "[Gmail]/Sent Mail": "\\Sent", "[Gmail]/Drafts": "\\Drafts",
        "[Gmail]/Starred": "\\Flagged", "[Gmail]/Important": "\\Important"}
SPECIAL = {"\\Inbox": "INBOX", "\\Sent": "[Gmail]/Sent Mail", "\\Draft": "[Gmail]/Drafts", "\\Starred": "[Gmail]/Starred",
           "\\Important": "[Gmail]/Important", "\\Trash": TRASH, "\\Spam": SPAM}


class FakeGmail(fakeimap.FakeImap):
    """folders: the labels that IMAP shows, as on the wire. Messages come by add(), change by label(), expunge()."""

    def __init__(self, folders=()):
        self.ids, self.labels, self.octets, self.next = {}, {}, {}, {}
        super().__init__({name: {} for name in ("INBOX", *USES, *folders)},
                         caps="IMAP4rev1 AUTH=PLAIN X-GM-EXT-1 SPECIAL-USE UIDPLUS")

    def place(self, name, msgid):
        if name in self.boxes and all(self.ids.get((name, u)) != msgid for u in self.boxes[name]):
            uid = self.next[name] = self.next.get(name, 0) + 3
            self.boxes[name][uid] = self.octets[msgid]
            self.ids[name, uid] = msgid
        self.flag(msgid)

    def flag(self, msgid):
        """Flags are of the message."""
        seen = "" if "\\Starred" not in self.labels[msgid] else "\\Flagged"
        for (name, uid), one in self.ids.items():
            if one == msgid:
                self.flags[name, uid] = seen

    def add(self, msgid, octets, *labels):
        self.octets[msgid], self.labels[msgid] = octets, set()
        if not {"\\Trash", "\\Spam"} & set(labels):
            self.place(ALL, msgid)
        self.label(msgid, *labels)

    def label(self, msgid, *labels):
        for label in labels:
            self.labels[msgid].add(label)
            self.place(SPECIAL.get(label, label), msgid)

    def unlabel(self, msgid, *labels):
        for label in labels:
            self.labels[msgid].discard(label)
            name = SPECIAL.get(label, label)
            for uid in [u for u in self.boxes.get(name, ()) if self.ids[name, u] == msgid]:
                del self.boxes[name][uid]
        self.flag(msgid)

    def throw(self, msgid):
        """Into the trash."""
        self.unlabel(msgid, *self.labels[msgid])
        for uid in [u for u in self.boxes[ALL] if self.ids[ALL, u] == msgid]:
            del self.boxes[ALL][uid]
        self.label(msgid, "\\Trash")

    # what it says

    def listed(self, name):
        return f'* LIST (\\HasNoChildren {USES.get(name, "")}) "/" "{name}"'.replace(" )", ")")

    def uidnext(self, name):
        return self.next.get(name, 0) + 1

    def more(self, uid):
        msgid = self.ids[self.box, uid]
        labels = [label for label in sorted(self.labels[msgid]) if SPECIAL.get(label, label) != self.box]
        quoted = " ".join('"' + label.replace("\\", "\\\\").replace('"', '\\"') + '"' for label in labels)
        return f" X-GM-MSGID {msgid} X-GM-LABELS ({quoted})"
