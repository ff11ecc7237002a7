"""Writes what the specifications' own implementations say of generated inputs, as JSON lines.

    record.py DIRECTORY COUNT SEED [KIND...]

needs, for `requirement` and `marker`, Python's `packaging` as requirements.txt names it; for `git-ref`, Git; for `image` and
`dns`, the program of `specifications/` as $CNBI_ORACLE_GO. Exits with 3 where a kind was named whose oracle is not there.
"""

import json
import os
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import inputs

try:
    import packaging
    from packaging.markers import Marker
    from packaging.requirements import InvalidRequirement, Requirement
except ImportError:
    packaging = None

warnings.simplefilter("ignore")

PYTHONS = ("3.7.9", "3.8.0", "3.8.0rc1", "3.8.1", "3.8.2", "3.8.3", "3.8.20", "3.9.0a1", "3.9.0", "3.10.1", "2.7.18", "3.6.0")
PLATFORMS = (("posix", "linux", "Linux", "x86_64"), ("posix", "linux", "Linux", "aarch64"), ("nt", "win32", "Windows", "x86_64"))
ENVIRONMENTS = [(python, platform) for python in PYTHONS for platform in PLATFORMS]


def requirement(text):
    """False, or what it was taken for: name, extras, specifiers, URL, whether the specifiers contradict each other."""
    text = text.strip(" \t\r\n")
    try:
        parsed = Requirement(text)
    except InvalidRequirement:
        return False
    try:
        contradict = parsed.specifier.is_unsatisfiable()
    except (AssertionError, ValueError):
        contradict = None
    specifiers = sorted(str(specifier) for specifier in parsed.specifier)
    return [parsed.name, sorted(parsed.extras), specifiers, parsed.url, contradict]


def evaluated(text):
    """A character for each environment: 1, 0, or e where evaluating fails."""
    marker = Marker(text)
    out = ""
    for python, (os_name, sys_platform, system, machine) in ENVIRONMENTS:
        environment = {
            "python_version": ".".join(python.split(".")[:2]), "python_full_version": python, "os_name": os_name,
            "sys_platform": sys_platform, "platform_system": system, "platform_machine": machine, "extra": "",
            "platform_release": "5.10", "platform_version": "#1", "implementation_version": python,
            "implementation_name": "cpython" if machine == "x86_64" else "pypy",
            "platform_python_implementation": "CPython" if machine == "x86_64" else "PyPy",
        }
        try:
            out += str(int(marker.evaluate(environment)))
        except Exception:
            out += "e"
    return out


def git_refs(texts):
    def legal(text):
        if "\0" in text:
            return False
        done = subprocess.run(["git", "check-ref-format", "--allow-onelevel", text], stderr=subprocess.DEVNULL)
        return done.returncode == 0

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(legal, texts))


def go(kind, texts):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([os.environ["CNBI_ORACLE_GO"], kind], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def missing(kind):
    """What is not there of what a kind is compared with; None where all is."""
    if kind in ("requirement", "marker"):
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "requirements.txt"), encoding="ascii") as file:
            wanted = file.read().strip()
        found = packaging and f"packaging=={packaging.__version__}"
        return None if found == wanted else wanted
    program = "git" if kind == "git-ref" else os.environ.get("CNBI_ORACLE_GO", "CNBI_ORACLE_GO")
    return None if shutil.which(program) else program


def rows(kind, count, seed):
    if kind == "requirement":
        return ([text, requirement(text)] for text in inputs.distinct(kind, count, seed))
    if kind == "marker":
        return ([a, b, evaluated(a), evaluated(b)] for a, b in inputs.marker_pairs(count // 4, seed))
    texts = inputs.distinct(kind, count, seed)
    return zip(texts, git_refs(texts) if kind == "git-ref" else go(kind, texts))


def main():
    directory, count, seed = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.makedirs(directory, exist_ok=True)
    for kind in sys.argv[4:] or ("requirement", "marker", "image", "dns", "git-ref"):
        if absent := missing(kind):
            print(f"{kind}: {absent} is not there", file=sys.stderr)
            sys.exit(3)
        with open(os.path.join(directory, kind + ".jsonl"), "w", encoding="ascii") as file:
            for row in rows(kind, count, seed):
                file.write(json.dumps(row, separators=(",", ":")) + "\n")


main()
