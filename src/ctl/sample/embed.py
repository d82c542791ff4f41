"""Writes the sample messages as one C array per file, with CRLF line ends."""
import sys

out, files = sys.argv[1], sorted(sys.argv[2:])
with open(out, "w", encoding="ascii") as c:
    c.write('#include "ctl/sample.h"\n')
    for i, name in enumerate(files):
        data = open(name, "rb").read().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        c.write("static const unsigned char message_%d[] = {%s};\n" % (i, ",".join(map(str, data))))
    c.write("const struct span samples[] = {\n")
    for i, name in enumerate(files):
        c.write("    {(const char *)message_%d, sizeof message_%d},\n" % (i, i))
    c.write("};\nconst size_t samples_count = sizeof samples / sizeof samples[0];\n")
