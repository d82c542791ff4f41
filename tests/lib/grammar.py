"""The responses of IMAP as RFC 9051 section 9 (with RFC 3501's) writes them and as extensions add to them (RFC 5464, 7162,
8474, 8514, 9394, 9586, 10022), read strictly and independently of the server: `check(response)` raises Wrong where an octet does
not fit. A new extension's responses are added here."""
import re

ATOM = re.compile(rb'[^\x00-\x20(){%*"\\\]\x7f-\xff]+')
ASTRING = re.compile(rb'[^\x00-\x20(){%*"\\\x7f-\xff]+')
TAG = re.compile(rb'[^\x00-\x20(){%*"\\+\x7f-\xff]+')
NUMBER = re.compile(rb"0|[1-9]\d*")
SET = re.compile(rb"[1-9]\d*(?::[1-9]\d*)?(?:,[1-9]\d*(?::[1-9]\d*)?)*")
QUOTED = re.compile(rb'"(?:[^"\\\r\n\x00]|\\["\\])*"')
LITERAL = re.compile(rb"(~?)\{(\d+)\}\r\n")
TEXT = re.compile(rb"[^\r\n\x00]+")
FLAG = re.compile(rb'\\\*|\\?[^\x00-\x20(){%*"\\\]\x7f-\xff]+')
DATE = re.compile(rb'"[ \d]\d-(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-\d{4} \d\d:\d\d:\d\d [+-]\d{4}"')
SECTION = re.compile(rb"(?:[1-9]\d*(?:\.[1-9]\d*)*)?(?:\.?(?:HEADER\.FIELDS(?:\.NOT)?|HEADER|TEXT|MIME))?", re.I)
PARTIAL = re.compile(rb"[1-9]\d*:[1-9]\d*|-[1-9]\d*:-[1-9]\d*")
FILTER = re.compile(rb'[^\x00-\x20(){%*"\\\]/\x7f-\xff]+')
BAD_URL = re.compile(rb"[^\r\n\x00\]]+")
OBJECT_ID = re.compile(rb"[A-Za-z0-9_-]{1,255}")
MODSEQ_MAX = 2 ** 63 - 1
STATUS_ITEMS = {b"MESSAGES", b"RECENT", b"UIDNEXT", b"UIDVALIDITY", b"UNSEEN", b"DELETED", b"SIZE", b"APPENDLIMIT",
                b"HIGHESTMODSEQ", b"MAILBOXID", b"DELETED-STORAGE"}
QUOTA_RESOURCES = {b"STORAGE", b"MESSAGE", b"MAILBOX", b"ANNOTATION-STORAGE"}
PLAIN_CODES = {b"ALERT", b"PARSE", b"READ-ONLY", b"READ-WRITE", b"TRYCREATE", b"UIDNOTSTICKY", b"CLOSED",
               b"ALREADYEXISTS", b"AUTHENTICATIONFAILED", b"AUTHORIZATIONFAILED", b"CANNOT", b"CLIENTBUG", b"CONTACTADMIN",
               b"CORRUPTION", b"EXPIRED", b"EXPUNGEISSUED", b"HASCHILDREN", b"INUSE", b"LIMIT", b"NONEXISTENT", b"NOPERM",
               b"NOTSAVED", b"OVERQUOTA", b"PRIVACYREQUIRED", b"SERVERBUG", b"UNAVAILABLE", b"UNKNOWN-CTE", b"TOOBIG",
               b"USEATTR", b"BADCHARSET", b"NOMODSEQ", b"NOTIFICATIONOVERFLOW", b"UIDREQUIRED",
               b"TOOFEW", b"TOOMANY", b"COMPRESSIONACTIVE", b"BADCOMPARATOR"}


class Wrong(AssertionError):
    pass


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def fail(self, what):
        raise Wrong(f"{what} expected at {self.at}: {self.data[max(self.at - 60, 0):self.at]!r} <here> "
                    f"{self.data[self.at:self.at + 60]!r}")

    def at_end(self):
        return self.at == len(self.data)

    def peek(self, text):
        return self.data[self.at:self.at + len(text)].upper() == text

    def take(self, text):
        if not self.peek(text):
            return False
        self.at += len(text)
        return True

    def need(self, text):
        if not self.take(text):
            self.fail(repr(text))

    def rule(self, rule, what):
        found = rule.match(self.data, self.at)
        if not found or not found[0]:
            self.fail(what)
        self.at = found.end()
        return found[0]

    def end(self):
        if not self.at_end():
            self.fail("the end")

    # -- tokens
    def number(self, most=2 ** 32 - 1):
        value = int(self.rule(NUMBER, "a number"))
        if value > most:
            self.fail("a smaller number")
        return value

    def literal(self, binary=False):
        found = LITERAL.match(self.data, self.at)
        if not found or (found[1] and not binary) or found.end() + int(found[2]) > len(self.data):
            self.fail("a literal")
        self.at = found.end() + int(found[2])
        text = self.data[found.end():self.at]
        if b"\0" in text and not found[1]:
            self.fail("a literal without NUL")

    def string(self, binary=False):
        if self.peek(b'"'):
            self.rule(QUOTED, "a quoted string")
        else:
            self.literal(binary)

    def nstring(self, binary=False):
        if not self.take(b"NIL"):
            self.string(binary)

    def astring(self):
        if self.data[self.at:self.at + 1] in (b'"', b"{"):
            self.string()
        else:
            self.rule(ASTRING, "an astring")

    def listed(self, item, empty=True):
        self.need(b"(")
        if empty and self.take(b")"):
            return 0
        count = 1
        item()
        while not self.take(b")"):
            self.need(b" ")
            item()
            count += 1
        return count

    def flag(self):
        self.rule(FLAG, "a flag")

    def sequence(self):
        self.rule(SET, "a sequence set")

    # -- addresses and bodies
    def address(self):
        self.need(b"(")
        for i in range(4):
            if i:
                self.need(b" ")
            self.nstring()
        self.need(b")")

    def addresses(self):
        if self.take(b"NIL"):
            return
        self.need(b"(")
        self.address()
        while not self.take(b")"):
            self.address()

    def envelope(self):
        self.need(b"(")
        self.nstring()
        self.need(b" ")
        self.nstring()
        for _ in range(6):
            self.need(b" ")
            self.addresses()
        for _ in range(2):
            self.need(b" ")
            self.nstring()
        self.need(b")")

    def params(self):
        if self.take(b"NIL"):
            return
        if self.listed(self.string, empty=False) % 2:
            self.fail("a value for each parameter")

    def disposition(self):
        if self.take(b"NIL"):
            return
        self.need(b"(")
        self.string()
        self.need(b" ")
        self.params()
        self.need(b")")

    def language(self):
        if self.peek(b"("):
            self.listed(self.string, empty=False)
        else:
            self.nstring()

    def extensions(self, *rules):
        for rule in rules:
            if not self.take(b" "):
                return
            rule()

    def body(self, depth=0):
        if depth > 200:
            self.fail("less depth")
        self.need(b"(")
        if self.peek(b"("):
            while self.peek(b"("):
                self.body(depth + 1)
            self.need(b" ")
            self.string()
            self.extensions(self.params, self.disposition, self.language, self.nstring)
        else:
            self.single(depth)
        self.need(b")")

    def single(self, depth):
        begin = self.at
        self.string()
        self.need(b" ")
        self.string()
        kind = self.data[begin:self.at].upper()
        for rule in (self.params, self.nstring, self.nstring, self.string, self.number):
            self.need(b" ")
            rule()
        if kind in (b'"MESSAGE" "RFC822"', b'"MESSAGE" "GLOBAL"') and self.data[self.at:self.at + 2] == b" (":
            for rule in (self.envelope, lambda: self.body(depth + 1), self.number):
                self.need(b" ")
                rule()
        elif kind.startswith(b'"TEXT" '):
            self.need(b" ")
            self.number()
        self.extensions(self.nstring, self.disposition, self.language, self.nstring)

    # -- FETCH
    def section(self):
        found = SECTION.match(self.data, self.at)
        self.at = found.end()
        if b"FIELDS" in found[0].upper():
            self.need(b" ")
            self.listed(self.astring, empty=False)
        self.need(b"]")
        if self.take(b"<"):
            self.number()
            self.need(b">")

    def fetch_item(self):
        simple = {b"FLAGS ": lambda: self.listed(self.flag), b"UID ": self.number, b"ENVELOPE ": self.envelope,
                  b"INTERNALDATE ": lambda: self.rule(DATE, "a date"), b"RFC822.SIZE ": lambda: self.number(2 ** 63 - 1),
                  b"BODYSTRUCTURE ": self.body, b"BODY ": self.body, b"RFC822.HEADER ": self.nstring,
                  b"RFC822.TEXT ": self.nstring, b"RFC822 ": self.nstring,
                  b"MODSEQ ": lambda: self.listed(lambda: self.number(MODSEQ_MAX), empty=False),
                  b"EMAILID ": lambda: self.listed(self.object_id, empty=False), b"PREVIEW ": self.preview,
                  b"SNIPPET ": self.preview, b"X-GM-MSGID ": lambda: self.number(2 ** 64 - 1),
                  b"X-GM-THRID ": lambda: self.number(2 ** 64 - 1), b"X-GM-LABELS ": lambda: self.listed(self.astring),
                  b"THREADID ": self.thread_id, b"SAVEDATE ": lambda: self.take(b"NIL") or self.rule(DATE, "a date")}
        for name, rule in simple.items():
            if self.take(name):
                return rule()
        if self.take(b"BODY["):
            self.section()
            self.need(b" ")
            return self.nstring()
        if self.take(b"BINARY.SIZE["):
            self.section()
            self.need(b" ")
            return self.number()
        self.need(b"BINARY[")
        self.section()
        self.need(b" ")
        return self.nstring(binary=True)

    def preview(self):
        if self.take(b"(FUZZY "):  # the old drafts' form
            self.nstring()
            self.need(b")")
        else:
            self.nstring()

    def object_id(self):
        self.rule(OBJECT_ID, "an id")

    def thread_id(self):
        if not self.take(b"NIL"):
            self.listed(self.object_id, empty=False)

    # -- the others
    def mailbox(self):
        self.listed(self.flag)
        self.need(b" ")
        self.nstring()
        self.need(b" ")
        self.astring()
        if self.take(b" "):
            self.listed(self.list_item, empty=False)

    def list_item(self):
        self.astring()
        self.need(b" ")
        self.value()

    def value(self):
        if self.peek(b"("):
            self.listed(self.value)
        else:
            self.astring()

    def status_item(self):
        word = self.rule(ATOM, "a status item").upper()
        if word not in STATUS_ITEMS:
            self.fail("a status item")
        self.need(b" ")
        if word == b"MAILBOXID":
            self.listed(self.object_id, empty=False)
        elif not (word == b"APPENDLIMIT" and self.take(b"NIL")):
            self.number(2 ** 63 - 1)

    def status(self):
        self.astring()
        self.need(b" ")
        self.listed(self.status_item)

    def search(self):
        while self.take(b" "):
            if self.take(b"(MODSEQ "):  # RFC 7162 section 3.1.5, the last
                self.number(MODSEQ_MAX)
                self.need(b")")
                return
            self.number()

    def batches(self):
        self.need(b"(TAG ")
        self.string()
        self.need(b")")
        if self.take(b" "):
            self.sequence()

    def vanished(self):
        self.take(b"(EARLIER) ")
        self.sequence()

    def entry(self):
        start = self.at
        self.astring()
        if not self.data[start:self.at].lower().lstrip(b'"').startswith((b"/shared", b"/private")):
            self.fail("an entry name")

    def metadata(self):
        self.astring()
        self.need(b" ")
        if not self.take(b"("):  # RFC 5464 section 4.4.2: names only
            self.entry()
            while self.take(b" "):
                self.entry()
            return
        while True:
            self.entry()
            self.need(b" ")
            self.nstring(binary=True)
            if self.take(b")"):
                return
            self.need(b" ")

    def quota_resource(self):  # RFC 9208 section 7
        if self.rule(ATOM, "a resource").upper() not in QUOTA_RESOURCES:
            self.fail("a resource")
        for _ in range(2):
            self.need(b" ")
            self.number(2 ** 63 - 1)

    def quota(self):
        self.astring()
        self.need(b" ")
        self.listed(self.quota_resource)

    def quotaroot(self):
        self.astring()
        while self.take(b" "):
            self.astring()

    def authorised(self):  # RFC 4467 section 9
        while True:
            self.astring()
            if not self.take(b" "):
                return

    def urlfetch(self):  # RFC 4467 section 9, RFC 5524 section 5
        while True:
            self.astring()
            self.need(b" ")
            if self.peek(b"("):
                self.url_items()
            else:
                self.nstring()
            if not self.take(b" "):
                return

    def url_items(self):
        while True:
            if self.take(b"(BODYPARTSTRUCTURE "):
                self.body()
            elif self.take(b"(BINARY "):
                self.nstring(binary=True)
            else:
                self.need(b"(BODY ")
                self.nstring()
            self.need(b")")
            if not self.peek(b" ("):
                return
            self.need(b" ")

    def score(self):
        if self.number(100) < 1:
            self.fail("a score")

    def correlators(self):
        """RFC 7377 section 4: each once."""
        seen = set()
        while True:
            word = self.rule(ATOM, "a correlator").upper()
            self.need(b" ")
            if word in seen:
                self.fail("another correlator")
            seen.add(word)
            if word == b"TAG":
                self.string()
            elif word == b"MAILBOX":
                self.astring()
            elif word == b"UIDVALIDITY":
                self.number()
            else:
                self.fail("a correlator")
            if self.take(b")"):
                return
            self.need(b" ")

    def esearch(self):
        if self.take(b" ("):
            self.correlators()
        self.take(b" UID")
        while self.take(b" "):
            word = self.rule(ATOM, "a result").upper()
            self.need(b" ")
            if word == b"ALL":
                self.sequence()
            elif word in (b"MIN", b"MAX", b"COUNT"):
                self.number()
            elif word == b"MODSEQ":
                self.number(MODSEQ_MAX)
            elif word == b"PARTIAL":  # RFC 9394 section 3.1
                self.need(b"(")
                self.rule(PARTIAL, "a range")
                self.need(b" ")
                if not self.take(b"NIL"):
                    self.sequence()
                self.need(b")")
            elif word == b"RELEVANCY":  # RFC 6203 section 7
                self.need(b"(")
                self.score()
                while not self.take(b")"):
                    self.need(b" ")
                    self.score()
            elif word in (b"ADDTO", b"REMOVEFROM"):  # RFC 5267 section 5
                self.need(b"(")
                self.position()
                while self.take(b" "):
                    self.position()
                self.need(b")")
            else:
                self.fail("a result")

    def position(self):
        self.number()
        self.need(b" ")
        self.sequence()

    def namespace(self):
        for i in range(3):
            if i:
                self.need(b" ")
            if not self.take(b"NIL"):
                self.need(b"(")
                self.one_namespace()
                while not self.take(b")"):
                    self.one_namespace()

    def one_namespace(self):
        self.need(b"(")
        self.string()
        self.need(b" ")
        self.nstring()
        if self.take(b' "TRANSLATION" '):  # RFC 5255 section 3.5
            self.need(b"(")
            self.string()
            self.need(b")")
        self.need(b")")

    def words(self):
        while self.take(b" "):
            self.rule(ATOM, "an atom")

    def identity(self):
        if not self.take(b"NIL"):
            self.listed(self.nstring)

    def code(self):
        word = self.rule(ATOM, "a code").upper()
        if word == b"CAPABILITY":
            self.words()
        elif word == b"PERMANENTFLAGS":
            self.need(b" ")
            self.listed(self.flag)
        elif word in (b"UIDNEXT", b"UIDVALIDITY", b"UNSEEN"):
            self.need(b" ")
            self.number()
        elif word == b"HIGHESTMODSEQ":
            self.need(b" ")
            self.number(MODSEQ_MAX)
        elif word == b"URLMECH":  # RFC 4467 section 9; no other mechanism is here
            self.need(b" INTERNAL")
        elif word == b"MESSAGELIMIT":  # RFC 9738 section 4
            self.need(b" ")
            self.number()
            if self.take(b" "):
                self.number()
        elif word == b"MODIFIED":
            self.need(b" ")
            self.sequence()
        elif word == b"MAILBOXID":
            self.need(b" ")
            self.listed(self.object_id, empty=False)
        elif word == b"APPENDUID":
            self.need(b" ")
            self.number()
            self.need(b" ")
            self.sequence()
        elif word == b"COPYUID":
            for rule in (self.number, self.sequence, self.sequence):
                self.need(b" ")
                rule()
        elif word == b"INPROGRESS":  # RFC 9585 section 6
            if self.take(b" ("):
                if not self.take(b"NIL"):
                    self.rule(QUOTED, "a tag")
                self.progress()
        elif word == b"NOUPDATE":  # RFC 5267 section 5
            self.need(b" ")
            self.rule(QUOTED, "a tag")
        elif word == b"UNDEFINED-FILTER":  # RFC 5466 section 4
            self.need(b" ")
            self.rule(FILTER, "a filter's name")
        elif word == b"BADURL":  # RFC 4469 section 5
            self.need(b" ")
            self.rule(BAD_URL, "a URL")
        elif word == b"BADEVENT":  # RFC 5465 section 8
            self.need(b" ")
            self.listed(lambda: self.rule(ATOM, "an event"), empty=False)
        elif word == b"BADCHARSET" and self.take(b" "):
            self.listed(self.astring, empty=False)
        elif word == b"METADATA":  # RFC 5464 section 5
            if not self.take(b" TOOMANY") and not self.take(b" NOPRIVATE"):
                if not self.take(b" LONGENTRIES "):
                    self.need(b" MAXSIZE ")
                self.number()
        elif word not in PLAIN_CODES:
            self.fail("a known code")

    def rights(self):  # RFC 4314 section 7: lower case letters and digits, each once
        self.need(b" ")
        start = self.at
        self.astring()
        text = self.data[start:self.at].strip(b'"')
        if re.search(rb"[^a-z0-9]", text) or len(set(text)) != len(text):
            self.fail("rights")
        return text

    def acl(self):
        self.astring()
        while self.take(b" "):
            self.astring()
            self.rights()

    def listed_rights(self):
        self.astring()
        self.need(b" ")
        self.astring()
        said = self.rights()
        while not self.at_end():
            said += self.rights()
        if len(set(said)) != len(said):
            self.fail("a right once")

    def my_rights(self):
        self.astring()
        self.rights()

    def languages(self):  # RFC 5255 section 3.5
        self.listed(self.astring, empty=False)

    def comparator(self):  # RFC 5255 section 4.10
        self.astring()
        if self.take(b" ") and self.listed(self.astring, empty=False) < 2:
            self.fail("more than one comparator")

    def progress(self):
        self.need(b" ")
        if self.take(b"NIL"):
            return self.need(b" NIL)")
        done = self.number()
        self.need(b" ")
        if not self.take(b"NIL") and self.number() <= done:
            self.fail("a goal above the progress")
        return self.need(b")")

    def text(self):
        if self.take(b"["):
            self.code()
            self.need(b"]")
            self.need(b" ")
        self.rule(TEXT, "a text")
        self.end()

    def threads(self):
        """RFC 5256 section 5: [SP 1*thread-list]. Of each list that is open: its numbers, and the lists in it."""
        levels = [[0, 0]]
        if not self.at_end():
            self.need(b" (")
            self.at -= 1
        while not self.at_end():
            numbers, lists = levels[-1]
            if self.take(b")") and len(levels) > 1:
                levels.pop()
                if lists == 1 or not numbers + lists:
                    self.fail("thread-members or two lists")
                continue
            if numbers and not lists:
                self.need(b" ")
            if self.take(b"("):
                levels[-1][1] += 1
                levels.append([0, 0])
            elif len(levels) == 1 or lists or self.number() == 0:
                self.fail("no number here")
            else:
                levels[-1][0] += 1
        if len(levels) > 1:
            self.fail("a closing parenthesis")

    def correlated(self):
        self.need(b"(TAG ")
        self.string()
        self.need(b") ")

    def filter_errors(self):
        """draft-bosch-imap-filter-sieve section 3.4"""
        self.correlated()
        self.need(b"ERRORS ")
        self.string()

    def filtered(self):
        """Section 3.3."""
        self.correlated()
        if self.take(b"UID "):
            self.number()
            self.need(b" ")
        if not self.take(b"OK"):
            self.need(b"ERRORS ")
            self.string()

    def numbered(self):
        number = self.number()
        self.need(b" ")
        if self.take(b"FILTERED "):
            return self.filtered()
        if self.take(b"FETCH ") or self.take(b"UIDFETCH "):
            self.listed(self.fetch_item, empty=False)
        elif not self.take(b"EXISTS") and not self.take(b"RECENT"):
            self.need(b"EXPUNGE")
            if number == 0:
                self.fail("a message")
        return None

    def untagged(self):
        rules = {b"FLAGS ": lambda: self.listed(self.flag), b"LIST ": self.mailbox, b"LSUB ": self.mailbox, b"XLIST ": self.mailbox,
                 b"STATUS ": self.status, b"SEARCH": self.search, b"SORT": self.search, b"THREAD": self.threads,
                 b"ESEARCH": self.esearch, b"CAPABILITY": self.words,
                 b"ENABLED": self.words, b"NAMESPACE ": self.namespace, b"ID ": self.identity,
                 b"VANISHED ": self.vanished, b"METADATA ": self.metadata, b"QUOTA ": self.quota, b"QUOTAROOT ": self.quotaroot, b"UIDBATCHES ": self.batches,
                 b"ACL ": self.acl, b"LISTRIGHTS ": self.listed_rights, b"MYRIGHTS ": self.my_rights,
                 b"COMPARATOR ": self.comparator, b"LANGUAGE ": self.languages, b"GENURLAUTH ": self.authorised, b"URLFETCH ": self.urlfetch, b"FILTER ": self.filter_errors}
        for name, rule in rules.items():
            if self.take(name):
                rule()
                return self.end()
        for name in (b"OK ", b"NO ", b"BAD ", b"BYE ", b"PREAUTH "):
            if self.take(name):
                return self.text()
        self.numbered()
        return self.end()


def check(response):
    """One response without its last CRLF, literals inside."""
    r = Reader(response)
    if r.take(b"+"):
        if not r.at_end():
            r.need(b" ")
            r.at = len(response)
    elif r.take(b"* "):
        r.untagged()
    else:
        r.rule(TAG, "a tag")
        r.need(b" ")
        if not (r.take(b"OK ") or r.take(b"NO ")):
            r.need(b"BAD ")
        r.text()


LMTP = re.compile(rb"[2-5]\d\d[ -][\x20-\x7e\x80-\xff]*")


def check_lmtp(line):
    if not LMTP.fullmatch(line):
        raise Wrong(f"no reply of LMTP's: {line!r}")
