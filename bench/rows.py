"""What is measured. A row is one load; its lines are the figures of it that have a goal, against the better peer or a number."""
import dataclasses


@dataclasses.dataclass
class Line:
    title: str
    figure: str            # of the load's line, or one of Bench's
    factor: float = 0      # to reach over the better peer
    most: float = 0        # to stay below
    low: bool = False      # the smaller figure is the better
    scale: float = 1       # of the figure, for the table


@dataclasses.dataclass
class Row:
    name: str
    load: str              # operation and options of bench/load; {words} are sizes
    lines: tuple
    count: tuple = (1, 1)  # --count: quick, full
    fill: tuple = ()       # what must be there first: methods of Fill
    before: tuple = ()     # commands sent first (not measured), each a session of its own
    after: tuple = ()
    cold: bool = False     # the server is restarted and its files leave the page cache
    warm: bool = False     # a few of its sessions come and go first
    once: bool = False     # only the first run means anything
    way: str = ""          # the configuration: servers.WAYS
    only: tuple = ()       # these servers alone
    port: str = "imap"
    user: int = 1
    minus: str = ""        # a load whose CPU is taken off: figure `net`
    finds: bool = False    # a server that answers much less than ours has not found it all
    disk: bool = False     # run once more on a disk of its own: figure `written`


def rate(title, factor, figure="rate"):
    return Line(title, figure, factor)


def cpu(title, factor):
    return Line(title, "cpu", factor, low=True)


def p99(title, most):
    return Line(title, "p99", most=most, low=True)


def written(title, most=0):
    return Line(title, "written", most=most, low=True, scale=1 / 1000)


def milliseconds(title, factor, most=0):
    return Line(title, "p50", factor, most, low=True)


def seconds(title, factor):
    return Line(title, "p50", factor, low=True, scale=1 / 1000)


def noops(title):
    return (Line(f"NOOP of 16 other users while {title}, p99, ms", "noop_p99", 0, 20, low=True),
            Line("the longest, ms", "noop", low=True))


def idle(title, most):
    return (Line(title, "memory", 1, most, low=True),
            Line("the same as RSS (shared pages counted in each process)", "rss", 0, most, low=True))


NEEDLES = (  # operation, word, what it is
    ("search-text", "gotcha7q", "TEXT, absent"), ("search-body", "Besprechung", "BODY, rare"), ("search-text", "meeting", "TEXT, some"),
    ("search-body", "the", "BODY, in nearly all"), ("search-text", "th", "TEXT, two letters"),
    ("search-body", "please+contact", "BODY, two words"), ("search-from", "walker", "FROM"), ("search-header", "2c4d", "HEADER Message-ID"),
    ("search-mix", "list", "OR SUBJECT BODY NOT FROM"), ("search-text", "of+the", "TEXT, two words in most"),
)

NAMED = {"": "", "index": "indexed-", "bare": "bare-"}


def goal_of(way, op, what):
    """Over the better peer: of text that must be read, and where the index says that there is none, or where."""
    if way == "bare":
        return 5 if op in ("search-text", "search-body") else 1
    return 50 if not way and ("absent" in what or "rare" in what) else 1


def searches(way, beside):
    """The rows of searches by text; `way` is the configuration of all."""
    rows = []
    for number, (op, word, what) in enumerate(NEEDLES):
        factor = goal_of(way, op, what)
        rows.append(Row(f"{NAMED[way]}text-{number}", f"{op} --word {word} --mailbox Texts --range {{texts}}",
                        (milliseconds(f"SEARCH {what}, of {{texts:,}} realistic messages{beside}, ms", factor),), (2, 5), ("texts",),
                        user=4, way=way, finds=True))
    return rows


SORTED = "--mailbox Sorted --range {sorted}"
BIG, BODIES, MILLION = "--mailbox Big --range {big}", "--mailbox Bodies --range {bodies}", "--mailbox Million --range {million}"
IDLE = "idle --sessions {idle} --users {idle} --hold {hold}"
MANY = "--sessions 32 --users 32"
BUSY = "--sessions 32 --noop 16"

ROWS = [
    Row("append-1", "append --size 5000", (
        rate("durable APPEND 5 KB, 1 session, /s", 2.4), cpu("its CPU, us", 4), written("its bytes written, KB", 11)),
        (600, 8000), user=10, disk=True),
    Row("append-32", f"append --size 5000 {MANY}", (
        rate("durable APPEND 5 KB, 32 sessions of 32 users, /s", 5), p99("its p99, ms", 5), cpu("its CPU, us", 4),
        written("its bytes written, KB", 7)), (4000, 40000), user=100, disk=True),
    Row("append-32-one", "append --size 5000 --sessions 32", (
        rate("durable APPEND 5 KB, 32 sessions of one user, /s", 8), p99("its p99, ms", 5), cpu("its CPU, us", 4),
        written("its bytes written, KB", 7)), (3000, 40000), user=200, disk=True),
    Row("append-50k", f"append --size 50000 {MANY}", (
        rate("durable APPEND 50 KB, 32 sessions, /s", 3), written("its bytes written, KB")), (1000, 10000), user=300, disk=True),
    Row("lmtp-1", "lmtp --size 5000", (
        rate("LMTP 5 KB, 1 session, /s", 4), cpu("its CPU, us", 6), written("its bytes written, KB")),
        (300, 4000), port="lmtp", user=400, disk=True),
    Row("lmtp-32", f"lmtp --size 5000 {MANY}", (
        rate("LMTP 5 KB, 32 sessions, /s", 6), cpu("its CPU, us", 6), written("its bytes written, KB")),
        (2000, 20000), port="lmtp", user=500, disk=True),
    Row("lmtp-rules-1", "lmtp --size 5000", (
        rate("LMTP 5 KB through ten Sieve rules, 1 session, /s", 3), cpu("its CPU, us", 3)),
        (300, 4000), ("rules",), port="lmtp", user=700, way="rules", only=("Posthorn", "Dovecot")),
    Row("lmtp-rules-32", f"lmtp --size 5000 {MANY}", (
        rate("the same, 32 sessions, /s", 3), cpu("its CPU, us", 3)),
        (2000, 20000), ("rules",), port="lmtp", user=700, way="rules", only=("Posthorn", "Dovecot")),
    Row("select-cold", f"select {BIG}", (milliseconds("SELECT of {big:,} messages, cold, ms", 1),), fill=("big",), cold=True),
    Row("select-new", f"select --sessions 20 --serial 1 {BIG}", (milliseconds("the same, a new session, ms", 1),), (20, 20), ("big",)),
    Row("select-same", f"select {BIG}", (milliseconds("the same, again in one session, ms", 1),), (1000, 10000), ("big",)),
    Row("select-small", "select --mailbox Small", (
        milliseconds("SELECT of 1,000 messages, again in one session, ms", 1),), (1000, 10000), ("small",)),
    Row("flags-million", f"fetch-flags --noop 4 {MILLION}", (
        milliseconds("first FETCH 1:* FLAGS of {million:,}, cold, ms", 1, 150),
        Line("NOOP of four other sessions meanwhile, the longest, ms", "noop", 0, 20, low=True)), fill=("million",), cold=True, user=2),
    Row("fair-fetch", f"fetch-flags {BUSY} {BIG}", noops("32 sessions FETCH FLAGS of {big:,}"), (100000, 100000), ("big",)),
    Row("fair-search", f"search-subject {BUSY} {BIG}", noops("they SEARCH SUBJECT"), (100000, 100000), ("big",)),
    Row("fair-store", f"store-all {BUSY} {BIG}", noops("they STORE all"), (100000, 100000), ("big",), way="sync"),
    Row("flags", f"fetch-flags {BIG}", (rate("FETCH 1:* FLAGS, messages/s", 2, "messages"),), (20, 50), ("big",)),
    Row("structure-first", f"fetch-structure {BODIES}", (
        rate("ENVELOPE BODYSTRUCTURE, very first, cold, messages/s", 1, "messages"),), fill=("bodies",), cold=True, once=True),
    Row("structure", f"fetch-structure {BODIES}", (rate("the same, warm, messages/s", 2.5, "messages"),), (20, 50), ("bodies",)),
    Row("bodies", f"fetch-bodies {BODIES}", (rate("{bodies:,} bodies, plain, MB/s", 3, "mb"),), (5, 5), ("bodies",)),
    Row("bodies-tls", f"fetch-bodies --tls 1 {BODIES}", (
        rate("{bodies:,} bodies, TLS, MB/s", 3, "mb"),), (5, 5), ("bodies",), port="imaps"),
    Row("bodies-cold", f"fetch-bodies {BODIES}", (rate("{bodies:,} bodies, cold pages, MB/s", 3, "mb"),), fill=("bodies",), cold=True),
    Row("pop3", "pop3-one --range {bodies}", (
        rate("POP3: RETR of {bodies:,} messages of 2 KB, one by one, /s", 2), cpu("its CPU, us", 1)),
        (2000, 10000), ("drop",), port="pop3", user=5),
    Row("pop3-pipelined", "pop3-all --range {bodies}", (
        rate("the same, pipelined, messages/s", 2.5, "messages"),), (5, 5), ("drop",), port="pop3", user=5),
    Row("store-1", f"store-one {BIG}", (
        rate("STORE on one message, 1 session, /s", 2), written("its bytes written, KB")), (600, 10000), ("big",), way="sync", disk=True),
    Row("store-32", f"store-one --sessions 32 {BIG}", (
        rate("STORE on one message, 32 sessions, /s", 4),), (3000, 30000), ("big",), way="sync"),
    Row("store-all", f"store-all {BIG}", (milliseconds("STORE 1:{big}, ms", 1),), (6, 10), ("big",), way="sync"),
    Row("copy", "copy-all --mailbox Half --range {half}", (seconds("COPY of {half:,}, s", 6),), fill=("half",),
        before=("DELETE Copies", "CREATE Copies")),
    Row("move", "move-all --mailbox Copies --target Moved --range {half}", (seconds("MOVE of {half:,}, s", 9),), fill=("half",),
        before=("DELETE Copies", "CREATE Copies", "DELETE Moved", "CREATE Moved", "SELECT Half;COPY 1:* Copies"), after=("DELETE Moved",)),
    Row("expunge", "expunge-all --mailbox Copies --range {half}", (seconds("EXPUNGE of {half:,}, s", 2.5),), fill=("half",),
        before=("DELETE Copies", "CREATE Copies", "SELECT Half;COPY 1:* Copies", "SELECT Copies;STORE 1:* +FLAGS.SILENT (\\Deleted)")),
    Row("search-flag", f"search-flag {BIG}", (milliseconds("SEARCH FLAGGED over {big:,}, ms", 2),), (50, 100), ("big",)),
    Row("search-date", f"search-date {BIG}", (milliseconds("SEARCH SENTSINCE over {big:,}, ms", 2),), (10, 20), ("big",)),
    Row("search-subject-first", f"search-subject {BIG}", (
        milliseconds("SEARCH SUBJECT over {big:,}, the first, cold, ms", 1),), fill=("big",), cold=True, once=True),
    Row("search-subject", f"search-subject {BIG}", (milliseconds("SEARCH SUBJECT over {big:,}, ms", 2),), (5, 10), ("big",), finds=True),
    *searches("", ""),
    *searches("index", ", peers with their index"),
    *searches("bare", ", none with an index"),
    Row("sort-first", f"sort-subject {SORTED}", (
        milliseconds("SORT (SUBJECT DATE) of {sorted:,}, the first, cold, ms", 1),), fill=("sorted",), user=3, cold=True, once=True),
    Row("sort-subject", f"sort-subject {SORTED}", (
        milliseconds("SORT (SUBJECT DATE) of {sorted:,}, ms", 2), cpu("its CPU, us", 2)), (10, 20), ("sorted",), user=3),
    Row("sort-from", f"sort-from {SORTED}", (milliseconds("SORT (FROM), ms", 2), cpu("its CPU, us", 2)), (10, 20), ("sorted",), user=3),
    Row("sort-date", f"sort-date {SORTED}", (milliseconds("SORT (DATE), ms", 2), cpu("its CPU, us", 2)), (10, 20), ("sorted",), user=3),
    Row("sort-arrival", f"sort-arrival {SORTED}", (
        milliseconds("SORT (ARRIVAL), ms", 2), cpu("its CPU, us", 2)), (10, 20), ("sorted",), user=3),
    Row("thread-first", f"thread {BIG}", (
        milliseconds("THREAD REFERENCES of {big:,}, the first, cold, ms", 1),), fill=("big",), cold=True, once=True),
    Row("thread", f"thread {BIG}", (milliseconds("THREAD REFERENCES of {big:,}, ms", 2), cpu("its CPU, us", 1)), (5, 10), ("big",)),
    Row("thread-subject", f"thread-subject {BIG}", (milliseconds("THREAD ORDEREDSUBJECT of {big:,}, ms", 2),), (5, 10), ("big",)),
    Row("idle", IDLE, idle("memory of an idle session, KB", 4), fill=("idle",), user=1000, cold=True, warm=True, once=True),
    Row("idle-tls", f"{IDLE} --tls 1", idle("memory of an idle TLS session, KB", 21), fill=("idle",),
        port="imaps", user=1000, cold=True, warm=True, once=True),
    Row("idle-hibernated", IDLE, (Line("memory of an idle session, Dovecot hibernating, KB", "memory", 0, low=True),), fill=("idle",),
        user=1000, cold=True, warm=True, once=True, way="hibernate", only=("Dovecot",)),
    Row("exists", "exists --sessions {idlers} --users {idlers}", (
        milliseconds("EXISTS at one of {idlers:,} idlers after the delivery's 250, ms", 0, 1), p99("its p99, ms", 5),
        Line("EXISTS after the end of DATA, ms", "data_p50", 1, low=True), Line("its p99, ms", "data_p99", 1, low=True)),
        (10, 100), ("idle",), user=1000),
    Row("idle-folders", "idle --sessions {notified} --users {notified} --hold {hold}",
        idle("memory of an idle session of an account of 200 folders, KB", 45), fill=("folders",), user=6500, cold=True, warm=True, once=True,
        only=("Posthorn",)),
    Row("notify", "notify --sessions {notified} --users {notified} --hold {hold}",
        idle("the same with NOTIFY over all of them, KB", 50), fill=("folders",), user=6500, cold=True, warm=True, once=True, only=("Posthorn",)),
    Row("notified", "notified --sessions {notified} --users {notified}", (
        milliseconds("STATUS at one of {notified:,} NOTIFY sessions over 200 folders after the delivery's 250, ms", 0, 1),
        p99("its p99, ms", 5),
        Line("STATUS after the end of DATA, ms", "data_p50", 0, 5, low=True), Line("its p99, ms", "data_p99", 0, 20, low=True)),
        (100, 1000), ("folders",), user=6500, only=("Posthorn",)),
    Row("login", "login --sessions 8 --users 8", (rate("LOGIN and LOGOUT, /s", 8), cpu("its CPU, us", 8)), (1000, 10000), user=600),
    Row("connect", "handshake --sessions 8", (rate("connection and greeting, plain, /s", 1), cpu("its CPU, us", 1)), (1000, 5000)),
    Row("handshake", "handshake --sessions 8 --tls 1", (
        rate("TLS connection and greeting, /s", 1),
        Line("CPU of the handshake alone (less a plain connection's), us", "net", 1, 220, low=True)),
        (1000, 5000), port="imaps", minus="handshake --sessions 8"),
    Row("handshake-resumed", "handshake --sessions 8 --tls 1 --resume 1", (
        rate("the same, resumed, /s", 1), Line("its handshake's CPU, us", "net", 1, 0, low=True)),
        (1000, 5000), port="imaps", minus="handshake --sessions 8"),
]
