"""What each command, and each word of one, asks of a second user's rights: the answers of the RFCs, written once.

A row is asked on mailboxes of another that lack one right each. `needs`: it is done when these are there (and `l`, which
everything needs), and only then; None: it is never theirs to do. "Done" is a tagged OK, or what `shows` finds in the
answer. {box} is the mailbox, of its own for a row that `changes` it; {n} a number that no other has.
{u} makes two rows: without, and as UID form in a session with IMAP4rev2, QRESYNC and UIDONLY.
"""
import dataclasses

RIGHTS = "lrswipkxtea"
LITERAL = "{{{size}+}}\r\n{message}"


@dataclasses.dataclass
class Row:
    rfc: str
    commands: list
    needs: str | None
    words: tuple = ()        # of the tables: "FETCH FLAGS"
    shows: bytes | None = None
    changes: bool = False
    selected: bool = False   # {box} is selected before
    enough: str | None = None  # the least rights, where `needs` does not say it: one of several is asked for
    never: tuple = ()        # rights that are not enough, where no single one is missing
    inner: bool = False      # {box} is below a mailbox on which the second user has l and k
    setup: tuple = ()        # the owner's commands behind the usual ones
    forms: str = "both"      # of {u}; "rev1": only that session
    tree: bool = False       # the answer says whether anything is shown of the tree that the name is in, as LIST does
    name: str = ""

    def __post_init__(self):
        self.name = self.name or self.commands[-1]


ROWS = []


def row(rfc, commands, needs, **more):
    ROWS.append(Row(rfc, [commands] if isinstance(commands, str) else list(commands), needs, **more))


def reads(rfc, slot, template, words, needs="lr", **more):
    """One row for each word of a slot; what it is called with when not by its name alone."""
    for word, text in words.items():
        row(rfc, template.format(text, box="{box}", u="{u}"), needs, words=(f"{slot} {word}",), **{"selected": True, **more})


def names(text, **more):
    return {**{word: word for word in text.split()}, **more}


# ---- RFC 4314 section 4, in its order -----------------------------------------------------------------------
row("4314 4", 'LIST "" {box}', "l", shows=rb"\* LIST \((?![^)]*Non)")
row("4314 4", 'LIST "" ("{box}" x) RETURN (CHILDREN SUBSCRIBED)', "l", words=("LIST return CHILDREN", "LIST return SUBSCRIBED"), shows=rb"\* LIST ")
row("4314 4", 'LIST "Shared/" "*"', "l", shows=rb"\* LIST .* \"?{box}\"?\r?$", name="LIST *")
row("4314 4", 'XLIST "" {box}', "l", shows=rb"\* XLIST ")
row("5258 3.1", ["SUBSCRIBE {box}", 'LIST (SUBSCRIBED) "" {box}', "UNSUBSCRIBE {box}"], "", words=("LIST selection SUBSCRIBED",), name="LIST (SUBSCRIBED)")
row("5258 3.1", 'LIST (REMOTE) "" {box}', "l", words=("LIST selection REMOTE",), shows=rb"\* LIST ")
row("5258 3.1", ["SUBSCRIBE {box}", 'LIST (SUBSCRIBED RECURSIVEMATCH) "" {box}', "UNSUBSCRIBE {box}"], "", words=("LIST selection RECURSIVEMATCH",),
    name="LIST (RECURSIVEMATCH)")
row("6154 2", 'LIST (SPECIAL-USE) "" {box}', None, words=("LIST selection SPECIAL-USE",), shows=rb"\* LIST ")
row("6154 2", 'LIST "" {box} RETURN (SPECIAL-USE)', "l", words=("LIST return SPECIAL-USE",), shows=rb"\* LIST ")
row("4314 4", "SUBSCRIBE {box}", "")
row("4314 4", ["SUBSCRIBE {box}", 'LSUB "" {box}'], "", shows=rb"\* LSUB ", name="LSUB")
row("4314 4", "UNSUBSCRIBE {box}", "")
row("4314 4", "CREATE {box}/new", "lk", changes=True)
row("4314 4", "CREATE {box}/new (USE (\\Archive))", None, changes=True, words=("CREATE USE",))
row("4314 4", "CREATE {box}", None, changes=True)
row("4314 4", "DELETE {box}", "lx", changes=True)
row("4314 4", "RENAME {box} {box}y", "lx", changes=True, inner=True)
row("4314 4", "RENAME Shared/alice/source{n} {box}/new", "lk", changes=True, setup=("CREATE source{n}", "SETACL source{n} bob lx"), tree=True,
    name="RENAME below")
row("4314 4", ["RENAME {box} {box}y", "STATUS {box}y/below (MESSAGES)"], None, changes=True, inner=True,
    setup=("CREATE {inside}/below", "SETACL {inside}/below bob x"), shows=rb"\* STATUS", name="RENAME of a parent")
row("4314 4", ["DELETE {box}", "STATUS {box}/below (MESSAGES)"], None, changes=True,
    setup=("CREATE {inside}/below", "SETACL {inside}/below bob rswipkxte"), shows=rb"\* STATUS", name="DELETE of a parent")
row("4314 4", "RENAME {box} Elsewhere{n}", None, changes=True)
row("4314 4", "RENAME INBOX {box}", None, changes=True)
row("4314 4", "RENAME Shared/alice/open {box}", None, changes=True, tree=True)
row("4314 4", "SELECT {box}", "lr")
row("4314 4", "EXAMINE {box}", "lr")
for what, code, needs in (("READ-WRITE", rb"\[READ-WRITE\]", None), ("UIDVALIDITY", rb"\[UIDVALIDITY \d", "lr"), ("UIDNEXT", rb"\[UIDNEXT \d", "lr"),
                          ("HIGHESTMODSEQ", rb"\[HIGHESTMODSEQ \d", "lr"), ("MAILBOXID", rb"\[MAILBOXID \(", "lr"), ("URLMECH", rb"\[URLMECH ", "lr"),
                          ("\\Seen", rb"PERMANENTFLAGS \([^)]*\\Seen", "lrs"), ("\\Deleted", rb"PERMANENTFLAGS \([^)]*\\Deleted", "lrt"),
                          ("\\Flagged", rb"PERMANENTFLAGS \([^)]*\\Flagged", "lrw"), ("\\*", rb"PERMANENTFLAGS \([^)]*\\\*", "lrw")):
    if needs is None:  # RFC 4314 section 5.2: one of s, w, i, t, e
        row("4314 5.2", "SELECT {box}", "lr", shows=code, enough="lrt", never=("lrpkxa",), name="SELECT: READ-WRITE")
    else:
        row("4314 5.1.1", "SELECT {box}", needs, shows=code, name=f"SELECT: {what}")
row("3501 6.3.1", "SELECT {box}", "lr", shows=rb"\[UNSEEN 1\]", name="SELECT: UNSEEN", forms="rev1")
row("4314 4", "SETACL {box} carol lr", "la", changes=True)
row("4314 4", "DELETEACL {box} carol", "la", changes=True)
row("4314 4", "GETACL {box}", "la", shows=rb"\* ACL ")
row("4314 4", "LISTRIGHTS {box} carol", "la", shows=rb"\* LISTRIGHTS ")
row("4314 4", "MYRIGHTS {box}", "l", shows=rb"\* MYRIGHTS ")
row("8440", 'LIST "" {box} RETURN (MYRIGHTS)', "l", words=("LIST return MYRIGHTS",), shows=rb"\* MYRIGHTS ")

# Messages come
row("4314 4", "APPEND {box} () " + LITERAL, "li", changes=True)
row("4314 4", ["APPEND {box} (\\Seen \\Flagged \\Deleted) " + LITERAL], "li", changes=True, name="APPEND with flags")
for flag, right in (("\\Seen", "s"), ("\\Flagged", "w"), ("$Work", "w"), ("\\Deleted", "t")):
    shown = flag.replace("\\", "\\\\").replace("$", "\\$").encode()
    row("4314 4", ["APPEND {box} (" + flag + ") " + LITERAL, "SELECT {box}", "UID FETCH 3 FLAGS"], "lri" + right, changes=True,
        shows=rb"FETCH .*FLAGS \([^)]*" + shown, name=f"APPEND {flag}")
    row("4314 4", ["SELECT Flagged", "UID COPY 1 {box}", "SELECT {box}", "UID FETCH 3 FLAGS"], "lri" + right, changes=True,
        shows=rb"FETCH .*FLAGS \([^)]*" + shown, name=f"COPY {flag}")
    row("4314 4", ["SELECT {box}", "{u}STORE 1 +FLAGS (" + flag + ")"], "lr" + right, changes=True, words=("STORE FLAGS",), name="{u}STORE " + flag)
row("4315 3", "APPEND {box} () " + LITERAL, "lri", changes=True, shows=rb"\[APPENDUID ", name="APPEND: APPENDUID")
row("4315 3", ["SELECT Stock", "{u}COPY * {box}"], "lri", changes=True, shows=rb"\[COPYUID ", name="{u}COPY: COPYUID")
row("3502", "APPEND {box} () " + LITERAL + " () " + LITERAL, "li", changes=True, name="MULTIAPPEND")
row("4469", 'APPEND {box} CATENATE (TEXT {{5+}}\r\nhello)', "li", changes=True, words=("APPEND CATENATE",))
row("4469 4", 'APPEND INBOX CATENATE (URL "/{box}/;UID=1")', "lr", words=("APPEND CATENATE",))
row("4469 4", ["SELECT {box}", 'APPEND INBOX CATENATE (URL "/{box}/;UID=1/;SECTION=HEADER" TEXT {{2+}}\r\n\r\n)'], "lr", name="CATENATE of a section")
row("6855 4", "APPEND {box} () UTF8 (~" + LITERAL + ")", "li", changes=True, words=("APPEND UTF8",), forms="modern")
row("4314 4", ["SELECT Stock", "{u}COPY * {box}"], "li", changes=True, name="{u}COPY into")
row("6851 3", ["SELECT Stock", "{u}MOVE * {box}"], "li", changes=True, name="{u}MOVE into")
row("8508 7", ["SELECT Stock", "{u}REPLACE * {box} " + LITERAL], "li", changes=True, name="{u}REPLACE into")
# and go
row("4314 4", ["SELECT {box}", "{u}COPY 1 Taken"], "lr")
row("6851 3", ["SELECT {box}", "{u}MOVE 1 Taken"], "lrte", changes=True)
row("8508 7", ["SELECT {box}", "{u}REPLACE 1 Taken " + LITERAL], "lrte", changes=True, name="{u}REPLACE out of")
row("8508 7", ["SELECT {box}", "{u}REPLACE 1 {box} " + LITERAL], "lrite", changes=True, name="{u}REPLACE")
row("4314 4", ["SELECT {box}", "EXPUNGE"], "lre", changes=True)
row("4315 2.1", ["SELECT {box}", "UID EXPUNGE 1:*"], "lre", changes=True)
row("4314 4", ["SELECT {box}", "CLOSE", "STATUS {box} (MESSAGES)"], "lre", changes=True, shows=rb"\(MESSAGES 1\)", name="CLOSE")
row("4314 4", ["SELECT {box}", "UNSELECT"], "lr")

# Flags
row("4314 4", ["SELECT {box}", "{u}FETCH 1 BODY[]", "{u}FETCH 1 FLAGS"], "lrs", changes=True, shows=rb"FETCH [^\r]*\\Seen", name="{u}FETCH BODY[] sets \\Seen")
row("3516 4.2", ["SELECT {box}", "{u}FETCH 1 BINARY[1]", "{u}FETCH 1 FLAGS"], "lrs", changes=True, shows=rb"FETCH [^\r]*\\Seen", name="{u}FETCH BINARY[] sets \\Seen")
row("4314 4", ["SELECT {box}", "{u}STORE 1 +FLAGS (\\Seen \\Flagged)"], "lr", changes=True, enough="lrs", never=("lripkxtea",), name="{u}STORE of two")
row("4314 4", ["SELECT {box}", "{u}STORE 1 FLAGS (\\Answered)"], "lrw", changes=True, name="{u}STORE FLAGS")
row("7162 3.1.3", ["SELECT {box}", "{u}STORE 1 (UNCHANGEDSINCE 9999999999) +FLAGS (\\Draft)"], "lrw", changes=True, words=("STORE modifier UNCHANGEDSINCE",),
    name="{u}STORE UNCHANGEDSINCE")
row("X-GM-EXT-1", ["SELECT Shared/alice/labelled", '{u}STORE 1 +X-GM-LABELS ("{box}")'], "li", changes=True, words=("STORE X-GM-LABELS",), name="{u}STORE +LABELS")
row("X-GM-EXT-1", ["SELECT {box}", '{u}STORE 2 -X-GM-LABELS ("{box}")'], "lrte", changes=True, setup=("EXAMINE {inside}", "COPY 2 kept"), name="{u}STORE -LABELS")

# Metadata (RFC 5464 section 3.3): l and one of r, s, w, i, p
ANY = {"enough": "lp", "never": ("lkxtea",)}
row("5464 3.3", "GETMETADATA {box} /shared/comment", "l", **ANY)
row("5464 3.3", "GETMETADATA (DEPTH infinity) {box} (/private /shared)", "l", **ANY)
row("5464 3.3", "GETMETADATA (MAXSIZE 5) {box} /shared/comment", "l", name="GETMETADATA MAXSIZE", **ANY)
row("5464 3.3", 'SETMETADATA {box} (/private/comment "x")', "l", changes=True, **ANY)
row("5464 3.3", 'SETMETADATA {box} (/shared/comment "x")', "l", changes=True, enough="li", never=("lkxtea", "lrs"))
row("5464 3.3", 'SETMETADATA {box} (/shared/vendor/x/y "x")', "l", changes=True, enough="lw", never=("lkxtea",))
row("6154 4", 'SETMETADATA {box} (/private/specialuse "\\\\Archive")', None, changes=True)
row("5466 3.1", 'SETMETADATA {box} (/private/filters/values/x "ALL")', "l", changes=True, **ANY)
row("5466 3.1", 'SETMETADATA {box} (/shared/filters/values/x "ALL")', "l", changes=True, enough="li", never=("lkxtea",))
row("9590 3", 'LIST "" {box} RETURN (METADATA (/shared/comment))', "l", words=("LIST return METADATA",), shows=rb"\* METADATA ", **ANY)
row("5464 3.3", 'SETMETADATA "" (/shared/comment "x")', None, name="SETMETADATA of the server")

# Quota (RFC 9208): the figures need r
row("9208 4.1.2", "GETQUOTAROOT {box}", "l", shows=rb"\* QUOTAROOT \S+ user/alice")
row("9208 4.1.2", "GETQUOTAROOT {box}", "lr", shows=rb"MESSAGE \d", name="GETQUOTAROOT: MESSAGE")
row("9208 4.1.1", 'GETQUOTA "user/alice"', None)
row("9208 4.1.3", 'SETQUOTA "user/alice" (STORAGE 1)', None)

# URLs
URL = '"imap://bob@localhost/{box}/;UID=1'
row("4467 7", "GENURLAUTH " + URL + ';URLAUTH=anonymous" INTERNAL', "lr", shows=rb"\* GENURLAUTH ")
# Nobody has authorised these; those that somebody has: test_fell.py
row("4467 7", "URLFETCH " + URL + '"', None, shows=rb"\* URLFETCH [^\r]*\{\d")
row("5524 3", "URLFETCH (" + URL + '" BODYPARTSTRUCTURE BINARY)', None, shows=rb"BODYPARTSTRUCTURE")
row("4467 7", "URLFETCH " + URL.replace("bob", "alice").replace("{box}", "{inside}") + ';URLAUTH=user+bob:internal:00112233445566778899aabbccddeeff00"', None,
    shows=rb"\* URLFETCH [^\r]*\{\d", name="URLFETCH of a made up token")
row("4467 7", "RESETKEY {box}", "l")

# More than one mailbox at once
for kind in ("mailboxes", "subtree", "subtree-one"):
    row("7377 2.2", "{u}ESEARCH IN (" + kind + " {box}) RETURN (ALL) ALL", "lr", shows=rb"\* ESEARCH [^\r]*MAILBOX ", words=(f"scope {kind.upper()}",))
row("7377 2.2", "ESEARCH IN (subtree Shared/alice) RETURN (COUNT) ALL", "lr", shows=rb"\* ESEARCH [^\r]*MAILBOX \"?{box}[\" ]", name="ESEARCH of all")
row("7377 2.2", ["SUBSCRIBE {box}", "ESEARCH IN (subscribed) RETURN (MIN) ALL", "UNSUBSCRIBE {box}"], "lr", shows=rb"MAILBOX \"?{box}[\" ]",
    words=("scope SUBSCRIBED",), name="ESEARCH of subscribed")
row("7377 2.2", "ESEARCH IN (personal) RETURN (COUNT) ALL", None, shows=rb"MAILBOX \"?Shared", words=("scope PERSONAL",))
row("7377 2.2", "ESEARCH IN (inboxes) RETURN (COUNT) ALL", None, shows=rb"MAILBOX \"?Shared", words=("scope INBOXES",))
row("5465 5", ["NOTIFY SET STATUS (mailboxes {box} (MessageNew MessageExpunge))", "NOTIFY NONE"], "lr", shows=rb"\* STATUS ", name="NOTIFY SET STATUS")
row("5465 5", ["NOTIFY SET STATUS (subtree Shared/alice (MessageNew MessageExpunge))", "NOTIFY NONE"], "lr", shows=rb"\* STATUS \"?{box}[\" ]",
    name="NOTIFY SET STATUS of all")

# Words that ask of a mailbox as a whole
row("4314 4", "STATUS {box} (MESSAGES)", "lr")
for word in "MESSAGES UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE RECENT HIGHESTMODSEQ MAILBOXID DELETED-STORAGE APPENDLIMIT".split():
    row("4314 4, 8438", f"STATUS {{box}} ({word})", "lr", words=(f"STATUS {word}",), shows=rb"\* STATUS ")
    row("5819 2", f'LIST "" {{box}} RETURN (STATUS ({word}))', "lr", words=("LIST return STATUS",), shows=rb"\* STATUS ")
row("7162 3.1.8", "SELECT {box} (CONDSTORE)", "lr", words=("SELECT CONDSTORE",))
row("7162 3.2.5", "SELECT {box} (QRESYNC (1 1))", "lr", words=("SELECT QRESYNC",), forms="modern")

# Words of the selected mailbox: asked in one session after the other, all in a row
reads("4314 4", "FETCH", "{{u}}FETCH 1 ({})", names("FLAGS UID RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE RFC822.HEADER MODSEQ EMAILID THREADID "
                                                   "SAVEDATE X-GM-MSGID X-GM-THRID X-GM-LABELS PREVIEW SNIPPET",
                                                   **{"BODY": "BODY", "BODY.PEEK": "BODY.PEEK[]", "BINARY.PEEK": "BINARY.PEEK[1]", "BINARY.SIZE": "BINARY.SIZE[1]"}))
# these set \Seen; on mailboxes that are only read nobody minds
reads("4314 4", "FETCH", "{{u}}FETCH 1 ({})", {"RFC822": "RFC822", "RFC822.TEXT": "RFC822.TEXT", "BINARY": "BINARY[1]"})
reads("7162 3.1.4", "FETCH modifier", "{{u}}FETCH 1:* (FLAGS) ({})", {"CHANGEDSINCE": "CHANGEDSINCE 1"})
reads("7162 3.2.6, 9394 3.3", "FETCH modifier", "{{u}}FETCH 1:* (FLAGS) ({})", {"VANISHED": "CHANGEDSINCE 1 VANISHED", "PARTIAL": "PARTIAL 1:1"}, forms="modern")
EMAIL = "M0123456789abcdef"
reads("4314 4", "SEARCH", "{{u}}SEARCH {}", names(
    "ALL ANSWERED DELETED DRAFT FLAGGED SEEN UNANSWERED UNDELETED UNDRAFT UNFLAGGED UNSEEN SAVEDATESUPPORTED",
    **{"KEYWORD": "KEYWORD $Work", "UNKEYWORD": "UNKEYWORD $Work", "NOT": "NOT ALL", "OR": "OR ALL ALL", "LARGER": "LARGER 1", "SMALLER": "SMALLER 99999",
       "HEADER": "HEADER Subject secret", "UID": "UID 1:*", "MODSEQ": "MODSEQ 1", "FILTER": "FILTER mine", "FUZZY": "FUZZY BODY secret",
       "X-GM-MSGID": "X-GM-MSGID 1", "X-GM-THRID": "X-GM-THRID 1", "X-GM-LABELS": "X-GM-LABELS Shared/alice/kept", "X-GM-RAW": 'X-GM-RAW "secret"',
       "EMAILID": f"EMAILID {EMAIL}", "THREADID": f"THREADID {EMAIL}", "UIDAFTER": "UIDAFTER 1", "UIDBEFORE": "UIDBEFORE 9", "OLDER": "OLDER 1", "YOUNGER": "YOUNGER 99"}))
reads("3501 6.4.4", "SEARCH", "{{u}}SEARCH {}", names("RECENT NEW OLD"), forms="rev1")
for day in "BEFORE ON SINCE SENTBEFORE SENTON SENTSINCE SAVEDBEFORE SAVEDON SAVEDSINCE".split():
    reads("4314 4", "SEARCH", "{{u}}SEARCH {}", {day: f"{day} 1-Feb-2024"})
for field in "SUBJECT FROM TO CC BCC BODY TEXT".split():
    reads("4314 4", "SEARCH", "{{u}}SEARCH {}", {field: f"{field} secret"})
reads("4731, 5182, 5267", "SEARCH return", "{{u}}SEARCH RETURN ({}) ALL", names("MIN MAX ALL COUNT SAVE CONTEXT UPDATE", PARTIAL="PARTIAL 1:2"))
reads("6203 4", "SEARCH return", "{{u}}SEARCH RETURN ({}) FUZZY BODY secret", names("RELEVANCY"))
reads("5256", "THREAD", "{{u}}THREAD {} UTF-8 ALL", names("ORDEREDSUBJECT REFERENCES REFS"))
reads("5256, 5957", "SORT", "{{u}}SORT ({}) UTF-8 ALL", names("ARRIVAL CC DATE FROM SIZE SUBJECT TO DISPLAYFROM DISPLAYTO MODSEQ UID"))
reads("6203", "SORT", "{{u}}SORT ({}) UTF-8 FUZZY BODY secret", names("RELEVANCY"))
row("10022", "UIDBATCHES 5000", "lr", selected=True, forms="modern")
row("draft-bosch-imap-filter-sieve 3", '{u}FILTER SIEVE SCRIPT "keep;" ALL', None, selected=True, name="{u}FILTER")
row("7377 2.2", "ESEARCH IN (selected) RETURN (ALL) ALL", "lr", selected=True, shows=rb"\* ESEARCH ", words=("scope SELECTED",))

# ---- what asks no right of any mailbox, and why ----------------------------------------------------------------
NONE = {
    "CAPABILITY": "9051 6.1.1: the server's", "NOOP": "9051 6.1.2: tells the selected mailbox (test_fell)", "CHECK": "3501 6.4.1: as NOOP",
    "LOGOUT": "9051 6.1.3", "STARTTLS": "9051 6.2.1: before login", "LOGIN": "9051 6.2.3: before login", "AUTHENTICATE": "9051 6.2.2: before login",
    "ID": "2971", "NAMESPACE": "2342: the same for all (test_namespace)", "LANGUAGE": "5255 3", "COMPARATOR": "5255 4.7", "ENABLE": "5161",
    "COMPRESS": "4978: the session's", "UNAUTHENTICATE": "8437: the session's", "IDLE": "2177: tells the selected mailbox (test_fell, test_events)",
    "CANCELUPDATE": "5267 4.3: of the session's own searches",
}
# NOTIFY's events (RFC 5465 section 5) and the rights they need: test_events
EVENTS = {"MESSAGENEW": "lr", "MESSAGEEXPUNGE": "lr", "FLAGCHANGE": "lr", "MAILBOXNAME": "l", "MAILBOXMETADATACHANGE": "l",
          "SUBSCRIPTIONCHANGE": "", "SERVERMETADATACHANGE": "", "ANNOTATIONCHANGE": None}
# METADATA entries that the server itself knows (RFC 5464, 5466, 6154): the rows above, or the server's own
ENTRIES = {"/shared/comment": "row", "/shared/admin": "of the server", "/private/specialuse": "row", "/private/filters/values/": "row",
           "/shared/filters/values/": "row", "/shared/filters/descriptions/": "of the server", "/shared/vendor": "row", "/private/vendor": "as the others",
           "/shared": "row", "/private": "row", "/shared/": "row", "/shared/imapsieve/script": "as /shared/comment"}
# Response codes. "tells": a fact of a mailbox, in a row above. "refuses": why not; those in REFUSALS may be told of a mailbox
# that may not be looked up, since they are told of one that is not there.
TELLS = {"UIDVALIDITY", "UIDNEXT", "UNSEEN", "HIGHESTMODSEQ", "MAILBOXID", "PERMANENTFLAGS", "READ-ONLY", "READ-WRITE", "APPENDUID", "COPYUID", "URLMECH",
         "MODIFIED", "CLOSED", "NOMODSEQ", "UIDNOTSTICKY"}
REFUSALS = {"NONEXISTENT", "TRYCREATE", "NOPERM", "CANNOT", "CLIENTBUG", "USEATTR", "BADURL", "METADATA", "UIDREQUIRED"}
OTHERS = {"ALERT", "PARSE", "CAPABILITY", "ALREADYEXISTS", "HASCHILDREN", "OVERQUOTA", "LIMIT", "TOOBIG", "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED",
          "PRIVACYREQUIRED", "UNAVAILABLE", "INUSE", "EXPUNGEISSUED", "NOTIFICATIONOVERFLOW", "CORRUPTION", "SERVERBUG", "UNKNOWN-CTE", "BADCHARSET",
          "NOTSAVED", "TOOFEW", "TOOMANY", "CONTACTADMIN", "EXPIRED", "MESSAGELIMIT", "INPROGRESS", "NOUPDATE", "UNDEFINED-FILTER", "BADEVENT",
          "COMPRESSIONACTIVE", "BADCOMPARATOR"}
