"""Runs every fuzz target for a while over its corpus, as many at a time as there are processors. Findings are kept in tests/.work/fuzz to become regression files."""
import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def fuzz(source, seconds):
    name = source.stem
    binary = ROOT / "build/fuzz/tests/fuzz" / name
    if not binary.exists():
        print(f"{name}: not built")
        return False
    corpus = ROOT / "tests/fuzz/corpus" / name.removesuffix("_fuzz")
    work = ROOT / "tests/.work/fuzz" / name
    work.mkdir(parents=True, exist_ok=True)
    folders = [str(work)] + ([str(corpus)] if corpus.is_dir() else [])
    done = subprocess.run([binary, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=4096",
                           f"-artifact_prefix={work.parent}/{name}-", "-print_final_stats=0", *folders],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          env={**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"})
    if done.returncode:
        print(f"{name}:\n" + done.stdout.decode(errors="replace")[-6000:])
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=6)
    options = parser.parse_args()
    targets = sorted((ROOT / "tests/fuzz").glob("*_fuzz.c"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda target: fuzz(target, options.seconds), targets))
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if results and all(results) else 1


sys.exit(main())
