"""Secrets in all the forms that they can take, and finding a piece of any of them in what was shown."""

import base64
import html
import json
import re
import subprocess
from urllib.parse import quote, quote_plus

# a piece of this many characters is found for certain from twice that on
PIECE, DIGITS = 12, 18
# bytes of a key in DER before its first number
HEAD = 48


def der_of(pem):
    lines = [line for line in pem.splitlines() if line and not line.startswith("-----")]
    return base64.b64decode("".join(lines))


def elements(der):
    """The elements of a sequence in DER, as tag and content."""
    at, found = 0, []
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size], "big"), at + size
        found.append((tag, der[at : at + length]))
        at += length
    return found


def numbers_of(pem):
    """The numbers of an RSA private key in PKCS#8: n, e, d, p, q and what is derived from them."""
    ((_, outer),) = elements(der_of(pem))
    inner = next(content for tag, content in elements(outer) if tag == 0x04)
    ((_, key),) = elements(inner)
    return [int.from_bytes(content, "big") for _, content in elements(key)][1:]


def base64_forms(raw):
    """Base64 of it wherever it stands in what is encoded; the ends depend on what stands around it."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")[4 if before else 0 :][:-2]
        yield encoded
        yield encoded.replace("+", "-").replace("/", "_")


def bytes_forms(raw):
    yield raw.decode("latin-1")
    yield from base64_forms(raw)
    yield raw.hex()
    yield raw.hex().upper()
    yield raw.hex(":")
    yield ", ".join(map(str, raw))


def text_forms(text):
    """A password, a token or a name."""
    yield from bytes_forms(text.encode())
    yield from (quote(text, safe=""), quote_plus(text), quote(text), re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")), quote(quote(text)))
    for escaped in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield from (escaped, escaped.replace("/", "\\/"), json.dumps(escaped)[1:-1])
    yield from (html.escape(text), text.upper(), text.lower())


def key_forms(pem):
    """A private key: its text, its bytes and its numbers, in decimal, hexadecimal and in the limbs of a big integer."""
    # how all of them begin tells nothing
    yield from [line for line in pem.splitlines() if line and not line.startswith("-----")][1:]
    yield from bytes_forms(der_of(pem)[HEAD:])
    for number in numbers_of(pem)[2:]:
        yield str(number)
        yield from bytes_forms(number.to_bytes((number.bit_length() + 7) // 8, "big"))
        while number:
            yield str(number % 2**64)
            yield f"{number % 2**64:x}"
            number >>= 64


def pieces(form):
    """What the form is found by: a grid of pieces, at least one of which is in every longer part of it."""
    if len(form) < PIECE:
        # short numbers can stand in anything: they are no proof
        return [form] if len(form) >= 9 and not form.isdigit() else []
    size = DIGITS if re.fullmatch(r"[\d, ]+", form) else PIECE
    return [form[at : at + size] for at in range(0, len(form) - size + 1, size)] + [form[-size:]] if len(form) >= size else []


def new_key():
    command = ["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


class Traces:
    """All forms of all secrets."""

    def __init__(self):
        self.pieces, self.whole = {}, {}
        # what keys have in common is no secret
        self.common = {piece for _ in range(4) for form in key_forms(new_key()) for piece in pieces(form)}

    def text(self, name, text):
        self._add(name, text_forms(text))

    def login(self, name, user, password):
        self._add(name, bytes_forms(f"{user}:{password}".encode()))

    def number(self, name, number):
        """Of a subscriber or an account: found as a whole."""
        self.whole[number] = name

    def key(self, name, pem):
        self._add(name, key_forms(pem))

    def _add(self, name, forms):
        for number, form in enumerate(forms):
            for piece in pieces(form.encode("utf-8", "surrogateescape").decode("latin-1")):
                if piece not in self.common:
                    self.pieces.setdefault(piece, f"{name}, form {number}")

    def found_in(self, shown):
        """Which secrets are in which of the texts, by name; the texts are bytes."""
        seen, found = set(), {}
        for place, raw in shown.items():
            for line in raw.decode("latin-1").split("\n"):
                if line in seen:
                    continue
                seen.add(line)
                for size in {len(piece) for piece in self.pieces}:
                    for at in range(len(line) - size + 1):
                        if name := self.pieces.get(line[at : at + size]):
                            found.setdefault(place, set()).add(name)
                for number, name in self.whole.items():
                    if number in line:
                        found.setdefault(place, set()).add(name)
        return found


def check_itself(make):
    """Every form of a secret is found, and half of it, too; and what is no secret is not."""
    traces = Traces()
    password, pem = make("password"), new_key()
    traces.text("password", password)
    traces.login("login", "user", password)
    traces.key("key", pem)
    forms = [*text_forms(password), *key_forms(pem), *bytes_forms(f"user:{password}".encode())]
    missed = 0
    for form in forms:
        text = form.encode("utf-8", "surrogateescape")
        parts = [text] if len(text) < 4 * DIGITS else [text, text[: len(text) // 2], text[len(text) // 2 :]]
        for part in parts:
            is_found = bool(traces.found_in({"a log": b"2026-01-01 something " + part.replace(b"\n", b" ") + b" and more"}))
            missed += not is_found and len(part) > 2 * PIECE and part.decode("latin-1") not in traces.common
    assert len(forms) > 300, len(forms)
    assert missed <= 3, f"{missed} of {len(forms)} forms are not found"
    assert not traces.found_in({"a log": new_key().encode() + make("other").encode() + b"1234567890" * 9}), "found what is not there"
    return len(forms)
