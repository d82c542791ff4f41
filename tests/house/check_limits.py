"""Every row of limits.def bounds something: LIMIT_name stands somewhere in src."""
import re

import source


def used(root):
    text = "\n".join(p.read_text() for p in source.files(root, ".c", ".h"))
    for name in re.findall(r"^LIMIT\((\w+)", (root / "src/base/limits.def").read_text(), re.M):
        if not re.search(rf"\bLIMIT_{name}\b", text):
            yield f"{name} is used nowhere"


def faults(root):
    text = "\n".join(p.read_text() for p in source.files(root, ".c", ".h"))
    for name in re.findall(r"^FAULT\((\w+)", (root / "src/base/faults.def").read_text(), re.M):
        if not re.search(rf"(?<!\[)\bFAULT_{name}\b(?!\])", text):
            yield f"fault {name} is made nowhere"


DEF = {"src/base/limits.def": 'LIMIT(line, 10, "x")\n', "src/base/faults.def": 'FAULT(BAD, "")\n', "src/base/a.c": "int a;\n"}
source.main({"limits": (used, DEF), "faults": (faults, DEF)})
