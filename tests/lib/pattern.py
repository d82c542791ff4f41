"""Expected lines as patterns: ... wildcards, $variables, strings in any form, lists in any order.

    ...             anything
    $name           first use: captures one word; later uses: must be the same
    $_              any one word
    $$              a dollar sign
    {"text"}        a string, in whatever form the server chose (quoted, literal, literal8); \\r\\n escapes
    {message}       the same, with the named message as its text
    {{a b c}}       these words in any order; with commas, these groups of words
    {{a b ...}}     at least these words
"""
import itertools
import re

TOKEN = re.compile(r'\{\{(?P<set>[^{}]*)\}\}|\{"(?P<text>(?:[^"\\]|\\.)*)"\}|\{(?P<message>[A-Za-z][\w.-]*)\}'
                   r'|(?P<dollar>\$\$)|\$(?P<var>\w+)|(?P<any>\.\.\.)')
WORD = rb'[^\s()\[\]"{}]+'


def unescape(text):
    """A file's text (with \\r \\n \\t \\0 \\xHH \\\\ \\") as bytes."""
    table = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\", '"': b'"'}

    def one(match):
        if match[1]:
            return bytes([int(match[1], 16)]).decode("latin-1")
        return table[match[2]].decode("latin-1") if match[2] in table else match[0]

    raw = text.encode("utf-8").decode("latin-1")
    return re.sub(r"\\(?:x([0-9A-Fa-f]{2})|(.))", one, raw).encode("latin-1")


def string_forms(data):
    forms = [rb"~?\{%d\}\r\n" % len(data) + re.escape(data)]
    if b"\r" not in data and b"\n" not in data and b"\0" not in data:
        quoted = data.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        forms.append(re.escape(b'"' + quoted + b'"'))
    if re.fullmatch(rb'[^\s(){%*"\\\]\x00-\x1f\x7f]+', data):
        forms.append(re.escape(data))
    return b"(?-i:(?:" + b"|".join(forms) + b"))"


def any_order(text, variables, names):
    """The parts in any order. A variable in them is captured under a name of its own in each order."""
    parts = [p.strip() for p in text.split(", ")] if ", " in text else text.split()
    if "..." in parts:
        wanted = [compile_text(p, None, variables) for p in parts if p != "..."]
        heads = [rb"(?=(?:[^()]*\s)?" + w + rb"(?:[\s)]|$))" for w in wanted]
        return b"".join(heads) + rb"[^()]*"
    orders = []
    for number, order in enumerate(itertools.permutations(parts)):
        own = [] if names is not None else None
        piece = rb" ".join(compile_text(p, None, variables, own) for p in order)
        for name in own or ():
            alias = f"{name}__{number}"
            piece = piece.replace(b"(?P<%s>" % name.encode(), b"(?P<%s>" % alias.encode())
            piece = piece.replace(b"(?P=%s)" % name.encode(), b"(?P=%s)" % alias.encode())
            names.append(alias)
        orders.append(piece)
    return b"(?:" + b"|".join(orders) + b")"


def compile_text(text, messages=None, variables=None, names=None):
    out, at = b"", 0
    for match in TOKEN.finditer(text):
        out += re.escape(text[at:match.start()].encode())
        at = match.end()
        if match["set"] is not None:
            out += any_order(match["set"], variables, names)
        elif match["text"] is not None:
            out += string_forms(unescape(match["text"]))
        elif match["message"] is not None:
            if messages is None or match["message"] not in messages:
                raise ValueError(f"no message named {match['message']}")
            out += string_forms(messages[match["message"]])
        elif match["dollar"]:
            out += rb"\$"
        elif match["any"]:
            out += rb"[\s\S]*?"
        else:
            out += variable(match["var"], variables, names)
    return out + re.escape(text[at:].encode())


def variable(name, variables, names):
    if name == "_":
        return WORD
    if variables and name in variables:
        return re.escape(variables[name].encode())
    if names is None:
        raise ValueError(f"${name} is not known here")
    if name in names:
        return b"(?P=%s)" % name.encode()
    names.append(name)
    return b"(?P<%s>%s)" % (name.encode(), WORD)


def match(text, line, messages, variables):
    """The captured variables when the line matches, else None."""
    names = []
    expression = compile_text(text, messages, variables, names)
    found = re.fullmatch(rb"(?i:" + expression + rb")", line, re.S)
    if not found:
        return None
    return {name.split("__")[0]: found[name].decode("utf-8", "replace")
            for name in names if found[name] is not None}


def unescape_wire(text):
    """A command's text: only \\xHH is an escape, so that IMAP's own backslashes (flags, quoted) stand as they are."""
    raw = text.encode("utf-8").decode("latin-1")
    return re.sub(r"\\x([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), raw).encode("latin-1")
