"""What the compiler and the linker were asked for is in the release binary: read from its headers and its code, not
from flags. Shown to fail on a sample that is built without each of them in turn."""
import os
import pathlib
import re
import subprocess
import sys

import source

BINARY = pathlib.Path(os.environ.get("POSTHORN_RELEASE", source.ROOT / "build/release/src/main/posthorn"))

# As in meson.build; the sample is built with them, less one.
COMPILE = ["-O2", "-fstack-protector-strong", "-fstack-clash-protection", "-fcf-protection", "-U_FORTIFY_SOURCE",
           "-D_FORTIFY_SOURCE=3", "-ftrivial-auto-var-init=zero", "-fPIE"]
LINK = ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack", "-pie"]

# Has what the checks look for: a large frame, an array, an object whose size is known at run time only, and the
# function whose uninitialised variable the check of the real binary looks at.
SAMPLE = r"""
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef WRITABLE_CODE
__asm__(".section .both, \"awx\", @progbits\n.long 0\n.text");
#endif
void use(void *);
__attribute__((noipa)) void use(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }
__attribute__((noipa)) static void large(size_t n) { char room[65536]; memset(room, 1, n & 65535); use(room); }
__attribute__((noipa)) static void sized(const char *s, size_t n, size_t k)
{ char *p = malloc(n); if (p) memcpy(p + 1, s, k); use(p); free(p); }
__attribute__((noipa)) int64_t clock_wall_s(void)
{ struct timespec ts; clock_gettime(CLOCK_REALTIME, &ts); return ts.tv_sec; }
int main(int argc, char **argv)
{ large((size_t)argc); sized(argv[0], strlen(argv[0]) + 9, (size_t)argc); return clock_wall_s() == 0; }
"""


class Program:
    def __init__(self, path):
        self.header = self.read("readelf", "-hW", path)
        self.dynamic = self.read("readelf", "-dW", path)
        self.segments = self.read("readelf", "-lW", path)
        self.symbols = self.read("readelf", "-sW", path)
        self.code = self.read("objdump", "-d", "--no-show-raw-insn", path)

    @staticmethod
    def read(*command):
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.decode()

    def function(self, name):
        """The instructions of one function."""
        found = re.search(rf"^[0-9a-f]+ <{name}>:\n(.*?)(?:\n\n|\Z)", self.code, re.M | re.S)
        return found[1].split("\n") if found else []

    def segment(self, name):
        return [line.split() for line in self.segments.split("\n") if line.split()[:1] == [name]]


def pie(p):
    return "DYN (Position-Independent" in p.header and re.search(r"FLAGS_1\).*\bPIE\b", p.dynamic)


def full_relro(p):
    return p.segment("GNU_RELRO") and re.search(r"\(FLAGS\).*BIND_NOW", p.dynamic)


def stack_not_executable(p):
    stack = p.segment("GNU_STACK")
    return stack and "E" not in "".join(stack[0][6:-1])


def nothing_writable_is_executable(p):
    return all("W" not in "".join(s[6:-1]) or "E" not in "".join(s[6:-1]) for s in p.segment("LOAD"))


def no_run_path(p):
    return not re.search(r"\((RPATH|RUNPATH|TEXTREL)\)", p.dynamic)


def stack_protector(p):
    """Canaries are compared and a failed comparison ends in __stack_chk_fail."""
    return re.search(r"call.*<__stack_chk_fail@plt>", p.code) and re.search(r"mov\s+%fs:0x28,", p.code)


def stack_clash(p):
    """A large frame is taken page by page, each page touched."""
    return re.search(r"sub\s+\$0x1000,%rsp\n.*or[ql]?\s+\$0x0,(?:0x[0-9a-f]+)?\(%rsp\)", p.code)


def branch_tracking(p):
    """Every global function, the assembly's too, is a marked target of indirect branches. (The note in the header says
    nothing: Debian's startup objects lack it, so its linker never grants it.)"""
    names = re.findall(r"\bFUNC\s+GLOBAL\s+\S+\s+\d+ (\w+)$", p.symbols, re.M)
    marked = set(re.findall(r"^[0-9a-f]+ <(\w+)>:\n\s*[0-9a-f]+:\s+endbr64", p.code, re.M))
    return names and set(names) - {"_start", "_init", "_fini"} <= marked


def fortify_3(p):
    """Sizes that are known at run time only are checked: level 2 passes constants, level 3 what a register holds."""
    lines = p.code.split("\n")
    for at, line in enumerate(lines):
        if not re.search(r"call.*<__mem(cpy|move|set)_chk@plt>", line):
            continue
        for before in reversed(lines[max(at - 12, 0):at]):
            written = re.search(r"\b(?!cmp|test)(\w+)\s+(\S+),%[re]cx$", before)
            if written:
                if not (written[1].startswith("mov") and written[2].startswith("$")):
                    return True
                break
    return False


def zero_init(p):
    """clock_wall_s does not initialise its timespec: the compiler must have zeroed it before the call."""
    body = p.function("clock_wall_s")
    before = [line for line in body[:next((i for i, line in enumerate(body) if "clock_gettime" in line), 0)]]
    return any(re.search(r"(mov[au]p[sd]|movdq[au])\s+%xmm\d+,-?(0x[0-9a-f]+)?\(%r[bs]p\)|movq\s+\$0x0,.*\(%r[bs]p\)", line)
               for line in before)


# Check, and how the sample is spoiled for it: flags replaced, flags added at the end.
CHECKS = [
    (pie, {"-fPIE": "-fno-pie", "-pie": "-no-pie"}, []),
    (full_relro, {"-Wl,-z,now": "-Wl,-z,lazy"}, []),
    (stack_not_executable, {"-Wl,-z,noexecstack": "-Wl,-z,execstack"}, []),
    (nothing_writable_is_executable, {}, ["-DWRITABLE_CODE"]),
    (no_run_path, {}, ["-Wl,-rpath,/tmp"]),
    (stack_protector, {"-fstack-protector-strong": "-fno-stack-protector"}, []),
    (stack_clash, {"-fstack-clash-protection": "-fno-stack-clash-protection"}, []),
    (branch_tracking, {"-fcf-protection": "-fcf-protection=none"}, []),
    (fortify_3, {"-D_FORTIFY_SOURCE=3": "-D_FORTIFY_SOURCE=2"}, []),
    (zero_init, {"-ftrivial-auto-var-init=zero": "-ftrivial-auto-var-init=uninitialized"}, []),
]


def sample(folder, name, instead, more):
    flags = [instead.get(flag, flag) for flag in COMPILE + LINK]
    subprocess.run(["cc", *flags, *more, str(folder / "sample.c"), "-o", str(folder / name)], check=True,
                   stderr=subprocess.DEVNULL)
    return Program(folder / name)


def check_all(folder):
    passed = failed = 0
    program, good = Program(BINARY), sample(folder, "good", {}, [])
    for check, instead, more in CHECKS:
        spoiled = sample(folder, check.__name__, instead, more)
        wrong = [text for text, bad in (("the release binary lacks it", not check(program)),
                                        ("a hardened sample fails", not check(good)),
                                        ("a sample without it passes", check(spoiled))) if bad]
        passed, failed = passed + (not wrong), failed + bool(wrong)
        for text in wrong:
            print(f"hardening: {check.__name__}: {text}")
    print(f"{passed} passed, {failed} failed")
    return failed


def main():
    with source.sample({"sample.c": SAMPLE}) as folder:
        sys.exit(check_all(folder) > 0)


main()
