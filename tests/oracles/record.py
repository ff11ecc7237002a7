"""Writes what the specifications' own implementations say of generated inputs, as JSON lines.

    record.py DIRECTORY COUNT SEED

needs Python's `packaging`, Git, and the program of `specifications/` as $CNBI_ORACLE_GO.
"""

import json
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import inputs
from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement

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


def main():
    directory, count, seed = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.makedirs(directory, exist_ok=True)

    def write(name, rows):
        with open(os.path.join(directory, name + ".jsonl"), "w", encoding="ascii") as file:
            for row in rows:
                file.write(json.dumps(row, separators=(",", ":")) + "\n")

    texts = inputs.distinct("requirement", count, seed)
    write("requirement", ([text, requirement(text)] for text in texts))
    write("marker", ([a, b, evaluated(a), evaluated(b)] for a, b in inputs.marker_pairs(count // 4, seed)))
    texts = inputs.distinct("image", count, seed)
    write("image", zip(texts, go("image", texts)))
    texts = inputs.distinct("dns", count, seed)
    write("dns", zip(texts, go("dns", texts)))
    texts = inputs.distinct("git-ref", count, seed)
    write("git-ref", zip(texts, git_refs(texts)))


main()
