"""THREAD of mail whose references are made to be slow: chains, circles, children without number, one subject, huge fields."""
import pytest

from lib.long import LONG

MESSAGES = 100_000 if LONG else 4_000


def chain(i):
    return f"Message-ID: <{i}@x>\r\nReferences: <{i - 1}@x>\r\n"


def backwards(i):
    """Each goes above all that came before."""
    return f"Message-ID: <{MESSAGES - i}@x>\r\nReferences: <{MESSAGES - i - 1}@x>\r\n"


def circles(i):
    return f"Message-ID: <{i}@x>\r\nReferences: <{(i + 1) % MESSAGES}@x> <{i ^ 1}@x> <{i}@x>\r\n"


def deep_parents(i):
    """Those of the first half are one chain; its end is to be the parent of trees of the second half, again and again."""
    half = MESSAGES // 2
    return chain(i) if i < half else f"Message-ID: <{i}@x>\r\nReferences: <r{i}@x> <s{i}@x> <{half - 1}@x> <r{i}@x>\r\n"


def children(i):
    return f"Message-ID: <{i}@x>\r\nReferences: <0@x>\r\n"


def one_subject(i):
    return f"Message-ID: <{i}@x>\r\nSubject: {'Re: ' * (i % 3)}the same\r\n"


def same_id(_):
    return "Message-ID: <a@x>\r\nReferences: <a@x> <b@x> <a@x>\r\n"


def many_references(i):
    """Some 400 ids in each, of which nothing else is there."""
    return f"Message-ID: <{i}@x>\r\nReferences:" + "".join(f" <{i}.{k}@x>" for k in range(400 if i % 50 == 0 else 4)) + "\r\n"


def no_ends(i):
    return f"Message-ID: <{i}@x>\r\nReferences: " + "(<\"" * (20_000 if i % 500 == 0 else 20) + "\r\n"


@pytest.mark.parametrize("form", [chain, backwards, circles, deep_parents, children, one_subject, same_id, many_references, no_ends],
                         ids=lambda f: f.__name__)
def test_references(target, form):
    connection = target.imap(target.fresh_user("mallory"), timeout=600)
    for first in range(0, MESSAGES, 250):
        parts = "".join(f" {{{len(text)}+}}\r\n{text}" for i in range(first, first + 250) for text in (form(i) + "\r\nx\r\n",))
        connection.command(f"APPEND INBOX{parts}")
    connection.select("INBOX")
    with target.unharmed(memory=64 << 20, peak=256 << 20):
        for algorithm in ("REFERENCES", "REFS", "ORDEREDSUBJECT"):
            lines, _ = connection.command(f"THREAD {algorithm} UTF-8 ALL")
            found = next(line for line in lines if line.startswith(b"* THREAD "))
            numbers = found[9:].replace(b"(", b" ").replace(b")", b" ").split()
            assert sorted(map(int, numbers)) == list(range(1, MESSAGES + 1))
    connection.close()
