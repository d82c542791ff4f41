"""The mount variant: every mailbox name of a transcript becomes one of a mounted tree."""
import re

NAME = r'("(?:[^"\\]|\\.)*"|[^\s()]+)'
ONE = re.compile(r"^(select|examine|create|delete|status|append|subscribe|unsubscribe|setmetadata"
                 r"|getmetadata(?: \([^)]*\))?) " + NAME, re.I)
TWO = re.compile(r"^(rename) " + NAME + " " + NAME, re.I)
COPY = re.compile(r"^((?:uid )?(?:copy|move|replace) \S+) " + NAME, re.I)
URL = re.compile(r'((?:URL \{?"?|BADURL )/)(?=[^/ ])')
SEEN = re.compile(r'^(\* (?:STATUS|METADATA|LIST \([^)]*\) \S+|LSUB \([^)]*\) \S+)) ' + NAME)


def mapper(prefix):
    """A function that puts the prefix before the names in a command or an expected line."""
    def put(name):
        if name.startswith("{"):
            return name
        if name.upper() == "INBOX":
            name = "INBOX"
        return f'"{prefix}{name[1:]}' if name.startswith('"') else prefix + name

    def apply(text):
        text = URL.sub(lambda found: found[1] + prefix, text)
        for rule in (ONE, COPY, SEEN):
            found = rule.match(text)
            if found:
                return f"{found[1]} {put(found[2])}{text[found.end():]}"
        found = TWO.match(text)
        if found:
            return f"{found[1]} {put(found[2])} {put(found[3])}{text[found.end():]}"
        return text

    return apply


def suits(script):
    """Whether a transcript is about mailboxes as such: no patterns, no literals as names, no other states, nothing of the own account alone."""
    if script.preauth or script.server != "default" or any(s.actor == "L" or s.word in (">|", "labels") for s in script.steps):
        return False
    text = "\n".join(step.text for step in script.steps)
    return not re.search(r"^(list|lsub|namespace|esearch|create|rename|delete|subscribe|unsubscribe|idle|notify)\b"
                         r"|filter sieve|SPECIAL|Sent|Junk|select \{|metadata (?:\([^)]*\) )?\{|rev2|x-gm-labels\S* \(?[a-z]|urlauth|urlfetch|metadata \"\" ", text, re.I | re.M)
