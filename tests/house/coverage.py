"""How much of the parsers the fuzz targets' corpora reach: runs every corpus once (the targets of `./check fuzz` have clang's
coverage in them), and prints regions and branches of each parser. Fails where less than FLOOR percent of all parsers' edges
(branches taken either way) are reached, or less than EACH of one. --show NAME (or all) lists the branches of a file that are not."""
import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FLOOR = 85  # percent of the branches of all parsers together
EACH = 60   # and of every one: some of the files also hold what a corpus cannot bring about (faults of the disk)
PARSERS = """
    wire/command.c wire/parse.c wire/section.c wire/quote.c wire/seqset.c wire/date.c wire/mutf7.c base/utf8.c wire/smtp.c
    wire/base64.c mime/address.c mime/charset.c mime/date.c mime/encoded_word.c mime/field.c mime/fold.c mime/header.c
    mime/index.c mime/param.c mime/render.c mime/scan.c mime/subject.c mime/summary.c mime/token.c mime/transfer.c mime/utf8.c
    base/pack.c io/message.c store/record.c store/index_scan.c imap/base/search_keys.c imap/base/fetch_items.c
    imap/pattern.c imap/preauth.c imap/preauth_verbs.c lmtp/command.c lmtp/data.c auth/passwd_file.c auth/sasl.c mail/name.c
    ctl/config_file.c ctl/setting.c ctl/frame.c ctl/parcel.c ctl/mbox_read.c ctl/mbox_from.c ctl/uidlist.c ctl/import_names.c
    ctl/feed_maildir.c ctl/feed_mbox.c ctl/maildir.c
    wire/url.c wire/proxy.c wire/policy.c wire/auth_line.c wire/client_id.c wire/language.c pull/frame.c pull/response.c
    relay/reply.c relay/recode.c relay/envelope.c relay/queue_note.c relay/text.c auth/token.c preauth/preauth.c
    pop3/command.c pop3/downgrade.c pop3/language.c pop3/preauth_verbs.c pop3/retrieve.c pop3/stuff.c
    managesieve/command.c managesieve/grammar.c managesieve/preauth.c submission/burl.c submission/command.c
    submission/envelope.c submission/header.c submission/preauth.c submission/preauth_verbs.c submission/text.c
    sieve/call.c sieve/compile.c sieve/glob.c sieve/lex.c sieve/match.c sieve/parse.c sieve/print.c sieve/regex.c
    sieve/regex_run.c sieve/string.c extract/kinds.c extract/office.c extract/plain.c extract/rtf.c extract/xml.c
    mime/finder.c mime/html.c mime/marks.c mime/message_id.c mime/shown.c mime/text.c store/body_frame.c
    imap/notify_parse.c""".split()


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, check=False, **more)
    if done.returncode:
        raise SystemExit(f"{words}:\n{(done.stdout + done.stderr).decode(errors='replace')[-3000:]}\n0 passed, 1 failed")
    return done.stdout


def one(folder, corpora, name):
    """This target's corpus once; the profile."""
    out = folder / f"{name}.profraw"
    inputs = [c / name.removesuffix("_fuzz") for c in corpora if (c / name.removesuffix("_fuzz")).is_dir()]
    run(folder / "tests/fuzz" / name, "-runs=0", "-timeout=60", *inputs, env={**os.environ, "LLVM_PROFILE_FILE": str(out)})
    return out


def profile(folder, corpora):
    """Every corpus once; the merged profile and the binaries."""
    names = sorted(source.stem for source in (ROOT / "tests/fuzz").glob("*_fuzz.c"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        raw = list(pool.map(lambda name: one(folder, corpora, name), names))
    merged = folder / "fuzz.profdata"
    run("llvm-profdata", "merge", "-sparse", "-o", merged, *raw)
    return merged, [folder / "tests/fuzz" / name for name in names]


def cov(command, merged, binaries, *more):
    objects = [w for b in binaries[1:] for w in ("-object", b)]
    return run("llvm-cov", command, binaries[0], *objects, f"-instr-profile={merged}", *more)


def named(file):
    """wire/parse.c, or the path of what is not ours."""
    return os.path.normpath(file["filename"]).removeprefix(str(ROOT / "src") + "/")


def show(wanted, merged, binaries):
    """The branches that were never taken, or in one way only. Instances of a branch (macros, inline functions) count as
    one."""
    for file in json.loads(cov("export", merged, binaries))["data"][0]["files"]:
        name = named(file)
        if name not in wanted:
            continue
        taken, text = {}, (ROOT / "src" / name).read_text().split("\n")
        for line, column, _, _, yes, no, *_ in file["branches"]:
            was = taken.get((line, column), (0, 0))
            taken[line, column] = (was[0] + yes, was[1] + no)
        for (line, column), (yes, no) in sorted(taken.items()):
            if not yes or not no:
                way = "reached" if not yes and not no else "true" if not yes else "false"
                print(f"{name}:{line}:{column}: never {way}: {text[line - 1].strip()[:100]}")


def report(merged, binaries):
    data = json.loads(cov("export", merged, binaries, "-summary-only"))["data"][0]["files"]
    rows = {named(f): f["summary"] for f in data}
    gone = sorted(set(PARSERS) - set(rows))
    total, reached, low = 0, 0, []
    print(f"{'':28}{'regions':>16}{'branches':>18}")
    for name in PARSERS:
        if name in gone:
            continue
        r, b = rows[name]["regions"], rows[name]["branches"]
        total, reached = total + b["count"], reached + b["covered"]
        print(f"{name:28}{r['covered']:6}/{r['count']:<5}{r['percent']:4.0f}%{b['covered']:8}/{b['count']:<5}{b['percent']:4.0f}%")
        if b["count"] and b["percent"] < EACH:
            low.append(name)
    percent = 100 * reached / total
    print(f"all parsers: {reached} of {total} branches, {percent:.1f} % (at least {FLOOR})")
    for name in gone + low:
        print(f"{name}: {'not in the build' if name in gone else f'below {EACH} %'}")
    return percent >= FLOOR and not gone and not low


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/fuzz")
    parser.add_argument("--corpus", type=pathlib.Path, action="append", help="besides tests/fuzz/corpus")
    parser.add_argument("--show", metavar="FILE", action="append", default=[])
    options = parser.parse_args()
    merged, binaries = profile(options.build, [ROOT / "tests/fuzz/corpus", *(options.corpus or [])])
    good = report(merged, binaries)
    if options.show:
        show(PARSERS if options.show == ["all"] else options.show, merged, binaries)
    print(f"{int(good)} passed, {int(not good)} failed")
    return 0 if good else 1


sys.exit(main())
