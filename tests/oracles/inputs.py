"""Seeded generators of inputs for the grammars: near the edge of what is legal, on both sides of it."""

import random


def mutate(rng, text, alphabet):
    """Between none and three small edits, so that most results are one slip away from legal."""
    for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 3))):
        at = rng.randint(0, len(text))
        edit = rng.randrange(5)
        if edit == 0:
            text = text[:at] + text[at + 1 :]
        elif edit == 1:
            text = text[:at] + rng.choice(alphabet) + text[at:]
        elif edit == 2:
            text = text[:at] + rng.choice(alphabet) + text[at + 1 :]
        elif edit == 3:
            end = min(len(text), at + rng.randint(1, 6))
            to = rng.randint(0, len(text))
            text = text[:to] + text[at:end] + text[to:]
        elif len(text) > 1:
            end = min(len(text), at + rng.randint(1, 4))
            text = text[:at] + text[end:]
    return text


# Requirements

BLANKS = ("", "", "", " ", "  ", "\t")
ODD = list("\n\r\x0b\x0c\x1c\x1f\x00\x7f\x85\xa0") + ["\u2028", "\u3000", "\ufeff", "\u017f", "\u0131", "\u0130", "\u0660", "é", "Ⅷ", "\U0001f600", "\u0301"]
REQUIREMENT_ALPHABET = list("abcdefgprstvxAZ0123456789._-+*!=<>~,;()[]{}@ \t'\"\\/:#%$&|^") * 3 + ["==", "===", ">=", ".*", "||", "\\x41", "and ", "or "] + ODD
OPERATORS = ("==", "==", ">=", ">=", "<=", "<", ">", "!=", "~=", "===", "===", "=", "=>", "<>", "~", "====")
VARIABLES = ("python_version", "python_version", "python_full_version", "os_name", "os.name", "sys_platform", "sys.platform",
             "platform_release", "platform_system", "platform_version", "platform.version", "platform_machine",
             "platform.machine", "platform_python_implementation", "platform.python_implementation",
             "python_implementation", "implementation_name", "implementation_version", "extra", "extras",
             "dependency_groups", "platform.release", "python.version", "os_names")
STRINGS = ("3.8", "3.8", "3.9", "3.7.2", "3.8.*", "3", "3.10", "2.7", "linux", "win32", "posix", "Linux", "x86_64", "a",
           "", "3.7 3.8", "CPython", "\\x41", "\\d", "\\", "\\'", "\\u12", "\\101", "é", "3.8.0rc1", "Foo_Bar")


def name(rng):
    return rng.choice(("foo", "a", "A", "x.whl", "requirements.txt", "Foo-Bar_baz", "a_", "_a", "a.", "-a", "0", "1.2", "v1", "foo--bar", "f.o-o", "python"))


def number(rng):
    return rng.choice(("0", "1", "1", "2", "3", "10", "00", "01", "2024", "99999999999999999999"[: rng.choice((2, 5, 20))]))


def version(rng):
    text = rng.choice(("", "", "", "", "", "v", "V")) + rng.choice(("",) * 8 + ("1!", "0!"))
    text += ".".join(number(rng) for _ in range(rng.choice((1, 1, 2, 2, 2, 3, 4))))
    separator = lambda: rng.choice(("", "", "", ".", "-", "_"))
    if rng.random() < 0.2:
        text += separator() + rng.choice(("a", "b", "c", "rc", "alpha", "beta", "pre", "preview", "RC", "Alpha")) + separator() + rng.choice(("", "1", "2", "0"))
    if rng.random() < 0.15:
        text += rng.choice(("-1", "-0", separator() + rng.choice(("post", "rev", "r", "POST", "po\u017ft")) + separator() + rng.choice(("", "1", "2"))))
    if rng.random() < 0.12:
        text += separator() + rng.choice(("dev", "DEV")) + separator() + rng.choice(("", "1", "0"))
    if rng.random() < 0.08:
        text += "+" + rng.choice(("local", "1", "a.1", "A-1_b", "a..b", ""))
    if rng.random() < 0.1:
        text += ".*"
    return text


def small_version(rng):
    """Versions that lie close together, so that ranges meet."""
    text = rng.choice(("1", "1.0", "1.1", "1.0.0", "1.0.1", "2", "0", "1!0", "1.2", "1.10"))
    if rng.random() < 0.3:
        text += rng.choice(("a1", "a2", "b1", "rc1", "rc0", "a1.dev0", "a2.dev0", "a0"))
    if rng.random() < 0.25:
        text += rng.choice((".post0", ".post1", "-1", ".post2"))
    if rng.random() < 0.25:
        text += rng.choice((".dev0", ".dev1", ".dev2"))
    return text


def small_specifier(rng):
    operator = rng.choice(("==", "==", ">=", "<=", "<", ">", ">", "<", "!=", "~=", "==="))
    text = small_version(rng)
    if operator in ("==", "!=") and rng.random() < 0.3:
        text = rng.choice(("1.*", "1.0.*", "1.1.*", "2.*", "0.*", text + "+a", text + "+b", text + "+1"))
    if operator == "===":
        text = rng.choice((text, text, "x", text.upper(), text + "+a"))
    return operator + text


def specifiers(rng):
    parts = [rng.choice(BLANKS) + rng.choice(OPERATORS) + rng.choice(BLANKS) + version(rng) + rng.choice(BLANKS) for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3)))]
    text = ",".join(parts) + rng.choice(("",) * 12 + (",", ", ", ",,"))
    return rng.choice(BLANKS) + (f"({text})" if rng.random() < 0.12 else text)


def operand(rng):
    if rng.random() < 0.5:
        return rng.choice(VARIABLES)
    quote = rng.choice("'\"")
    return quote + rng.choice(STRINGS) + quote


def comparison(rng):
    blank = lambda: rng.choice(("", " ", " ", "  ", "\t"))
    operator = rng.choice(OPERATORS[:11] + ("in", "not in", "not  in", "notin", "not", "In"))
    return operand(rng) + blank() + operator + blank() + operand(rng)


def marker(rng, depth=0):
    parts = []
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        part = f"({marker(rng, depth + 1)})" if depth < 4 and rng.random() < 0.2 else comparison(rng)
        parts.append(rng.choice(BLANKS) + part + rng.choice(BLANKS))
    text = parts[0]
    for part in parts[1:]:
        text += rng.choice((" and ", " or ", "and", "or", " and", "&&", " AND ")) + part
    return text


def requirement(rng):
    if rng.random() < 0.15:
        return name(rng) + ",".join(small_specifier(rng) for _ in range(rng.randint(1, 4)))
    text = rng.choice(("",) * 10 + (" ", "\t", "\n", "\xa0")) + name(rng) + rng.choice(BLANKS)
    if rng.random() < 0.2:
        text += "[" + ",".join(rng.choice(BLANKS) + name(rng) + rng.choice(BLANKS) for _ in range(rng.choice((0, 1, 2)))) + rng.choice(("]",) * 9 + ("", ",]")) + rng.choice(BLANKS)
    if rng.random() < 0.15:
        text += "@" + rng.choice(BLANKS) + rng.choice(("https://x.io/a.whl", "git+https://x.io/a@main#egg=a", "file:///x", "./x", "1.2", "", "https://u:p@x.io/a;b", "é")) + rng.choice(("", " ", "  ", "\t"))
    else:
        text += specifiers(rng)
    if rng.random() < 0.35:
        text += rng.choice((";", ";", " ;", " ; ", ";;", "")) + marker(rng)
    text += rng.choice(("",) * 10 + (" ", "\t", "\n", "\r\n", "\x0b", ";", " # x", "."))
    return mutate(rng, text, REQUIREMENT_ALPHABET)


def legal_marker(rng, depth=0):
    """Markers that parse, for comparing what they mean."""
    parts = []
    for _ in range(rng.choice((1, 1, 2, 2, 3))):
        if depth < 2 and rng.random() < 0.2:
            parts.append(f"({legal_marker(rng, depth + 1)})")
            continue
        kind = rng.random()
        if kind < 0.65:
            variable = rng.choice(("python_version", "python_version", "python_full_version"))
            value = rng.choice(("3.7", "3.8", "3.8", "3.9", "3.10", "3", "3.8.0", "3.8.2", "3.8.*", "3.*", "3.8.0rc1", "3.9.0a1", "3.8.1+local", "3.8.dev0", "x", "3.7 3.8", "2.7", "3.7.9"))
            operator = rng.choice(("==", "==", "!=", "<", "<=", ">", ">=", "~=", "===", "in", "not in"))
        else:
            variable = rng.choice(("os_name", "sys_platform", "platform_system", "platform_machine", "extra", "platform_release", "implementation_name", "python_implementation", "implementation_version"))
            value = rng.choice(("posix", "nt", "linux", "win32", "Linux", "Windows", "x86_64", "aarch64", "cpython", "CPython", "test", "", "5.10", "3.8.2", "linux win32"))
            operator = rng.choice(("==", "==", "==", "!=", "!=", "in", "not in", "<", ">="))
        sides = [variable, f"'{value}'"]
        if rng.random() < 0.2:
            sides.reverse()
        parts.append(f" {operator} ".join(sides))
    text = parts[0]
    for part in parts[1:]:
        text += rng.choice((" and ", " or ")) + part
    return text


# Image references

IMAGE_ALPHABET = list("abcxyzABZ0123456789._-/:@[] \t\n") + ["__", "--", "//", "..", "é", "sha256:", "\x00", ":5000"]


def digest(rng):
    algorithm, length = rng.choice((("sha256", 64), ("sha256", 64), ("sha512", 128), ("sha384", 96), ("md5", 32), ("sha256", 63), ("SHA256", 64), ("sha256+b64", 64), ("", 64), ("sha-256", 64)))
    return algorithm + ":" + "".join(rng.choice("0123456789abcdef" if rng.random() < 0.999 else "ABCDEFg") for _ in range(length))


def image(rng):
    part = lambda: rng.choice(("a", "foo", "foo-bar", "foo_bar", "foo__bar", "foo.bar", "a--b", "0", "a___b", "a..b", "-a", "a-", "Foo", "", "a" * rng.choice((63, 120, 255, 256)), "localhost"))
    text = rng.choice(("", "", "quay.io/", "localhost/", "localhost:5000/", "host:5000/", "Host/", "host/", "[::1]/", "[::1]:80/", "[::g]/", "docker.io/", "index.docker.io/", "a_b.io/", "-x.io/", "x-.io/", "x.io:/", "x.io:p/", "1.2.3.4:80/", "docker://", "https://x.io/"))
    text += "/".join(part() for _ in range(rng.choice((1, 1, 1, 2, 2, 3))))
    if rng.random() < 0.4:
        text += ":" + rng.choice(("latest", "v1.2", "V1", "_x", ".x", "-x", "", "a" * 128, "a" * 129, "1-._", "é"))
    if rng.random() < 0.3:
        text += "@" + digest(rng)
    if rng.random() < 0.01:
        text = "".join(rng.choice("0123456789abcdef") for _ in range(64))
    return mutate(rng, text, IMAGE_ALPHABET)


# Git refs

REF_PIECES = list("abcXYZ019/.@{}-_~^:?*[\\ ") + ["..", "//", "@{", ".lock", ".lock/", "/.", "refs/heads/", "HEAD", "main", "feature", "é", "\x7f", "\x01", "\t", "\n", "\u0085", "\U0001f600", "lock", "-"]


def git_ref(rng):
    if rng.random() < 0.3:
        return "".join(rng.choice(REF_PIECES) for _ in range(rng.randint(0, 6)))
    text = "/".join(rng.choice(("main", "feature", "v1.2.3", "a.lock", "x.lockx", "refs", "heads", "@", ".a", "a.", "HEAD", "é", "0" * 40)) for _ in range(rng.choice((1, 1, 2, 3))))
    return mutate(rng, text, REF_PIECES)


# DNS names

DNS_ALPHABET = list("abcz019-._ABé/\n ") + ["--", "..", "__"]


def dns_name(rng):
    label = lambda: rng.choice(("a", "0", "a-b", "abc", "-a", "a-", "a--b", "", "a_b", "A", "a" * rng.choice((61, 62, 63, 64))))
    text = ".".join(label() for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))))
    return mutate(rng, text, DNS_ALPHABET)


GENERATORS = {"requirement": requirement, "image": image, "git-ref": git_ref, "dns": dns_name}


def distinct(kind, count, seed):
    """`count` different inputs of a kind; the same for the same seed."""
    rng = random.Random(f"{kind}/{seed}")
    seen = {}
    while len(seen) < count:
        seen.setdefault(GENERATORS[kind](rng))
    return list(seen)


def marker_pairs(count, seed):
    rng = random.Random(f"marker/{seed}")
    return [(legal_marker(rng), legal_marker(rng)) for _ in range(count)]
