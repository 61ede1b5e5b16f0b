"""Messages to send, and what may be added to them on the way."""
import random
import re

from .process import Failed

HEAD = b"From: <a@client.example>\r\nTo: <b@local.example>\r\nSubject: %s\r\nX-Test: yes\r\n\r\n"


def message(subject="test", body=b"one line\r\n"):
    return HEAD % subject.encode() + body


def noise(size, seed=1):
    """Lines of random base64 text."""
    digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    table = bytes(digits[i & 63] for i in range(256))
    data = random.Random(seed).randbytes(size).translate(table)
    return b"\r\n".join(data[at:at + 76] for at in range(0, len(data), 76)) + b"\r\n"


def text_corpus():
    """{name: content} that DATA can carry: lines ending in CRLF, no bare CR or LF."""
    every_byte = bytes(b for b in range(256) if b not in b"\r\n\0")
    return {
        "nothing": b"",
        "header only": b"Subject: nothing below\r\n",
        "empty body": HEAD % b"empty" + b"",
        "no header": b"\r\nonly a body\r\n",
        "not even a field": b"this is no header field\r\nand neither is this\r\n",
        "dots": message("dots", b".\r\n..\r\n...\r\n.x\r\n..x\r\n\r\n.\r\n.QUIT\r\n"),
        "first line a dot": b".\r\nrest\r\n",
        "eight bit": message("8bit", every_byte + b"\r\n" + "Grüße, 世界\r\n".encode()),
        "latin 1 header": b"Subject: \xfcml\xe4ut\r\n\r\nbody\r\n",
        "line of 998": message("998", b"x" * 998 + b"\r\n" + b"y" * 999 + b"\r\n"),
        "line of 100,000": message("long", b"z" * 100000 + b"\r\n.after\r\n"),
        "folded": b"Subject: folded\r\n\tonce\r\n  and twice\r\nX-Empty:\r\nX-Space: trailing  \r\n\r\nbody \r\n\t\r\n",
        "mixed case Received": b"received: by nobody\r\nRECEIVED: by somebody\r\nSubject: trace\r\n\r\nbody\r\n",
        "twenty hops": b"Received: from a by b; Mon, 6 Jan 2025 10:00:00 +0000\r\n" * 20 + message("hops"),
        "lonely blank lines": message("blank", b"\r\n\r\n\r\n"),
        "attachment": message("attachment", b"--b\r\nContent-Type: application/octet-stream\r\n"
                              b"Content-Transfer-Encoding: base64\r\n\r\n" + noise(300000) + b"--b--\r\n"),
        "chunk border": message("border", noise(49152 - 64 - len(HEAD % b"border"))[:49152 - 64 - len(HEAD % b"border") - 2] + b"\r\n"),
        "signature": b"DKIM-Signature: v=1; a=rsa-sha256; d=example.net;\r\n\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\r\n"
                     + message("signed"),
    }


def binary_corpus():
    """{name: content} that only BDAT with BODY=BINARYMIME can carry (RFC 3030)."""
    return {
        "NUL": message("nul", b"a\0b\r\n\0\r\n"),
        "bare CR and LF": message("bare", b"a\rb\nc\r\r\nd\n\r\n.\n.\r\n"),
        "no line end at the end": message("open", b"last line without an end"),
        "all bytes": message("all", bytes(range(256)) * 300),
    }


def added(delivered, original):
    """The lines that stand above the original; fails unless they are trace fields and the rest is identical."""
    if not delivered.endswith(original):
        at = next((i for i, (x, y) in enumerate(zip(reversed(delivered), reversed(original))) if x != y), len(original))
        raise Failed(f"changed on the way, {at} octets before its end: ...{delivered[-at - 40:][:120]!r} instead of "
                     f"...{original[-at - 40:][:120]!r}")
    head = delivered[:len(delivered) - len(original)]
    unfolded = re.sub(rb"\r\n[ \t]+", b" ", head).decode("utf-8", "replace").split("\r\n")
    if unfolded.pop() != "":
        raise Failed(f"what was added does not end with CRLF: {head!r}")
    for line in unfolded:
        if not re.match(r"(Received|Return-Path|Delivered-To|X-Original-To|Envelope-To): ", line, re.I):
            raise Failed(f"not a trace field: {line}")
    return unfolded


def fields(content):
    """Header fields of a message as a list of (lower-case name, unfolded value)."""
    head = re.split(rb"\r?\n\r?\n", content, maxsplit=1)[0]
    text = re.sub(r"\r?\n[ \t]+", " ", head.decode("utf-8", "replace"))
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in text.splitlines())]


def field(content, name):
    """The first field of this name, or None."""
    return next((value for one, value in fields(content) if one == name.lower()), None)


def report_of(content):
    """A delivery report (RFC 3464): (message fields, list of recipient fields, returned part), all as lists of
    (name, value) pairs or bytes."""
    boundary = re.search(r'boundary="?([^";]+)', field(content, "content-type") or "")
    if not boundary or "multipart/report" not in (field(content, "content-type") or ""):
        raise Failed(f"not a report: {content[:800]!r}")
    parts = content.replace(b"\r\n", b"\n").split(b"\n--" + boundary.group(1).encode())[1:]
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise Failed(f"a report with {len(parts)} parts: {content!r}")
    status, returned = None, None
    for part in parts[:-1]:
        kind = (field(part.lstrip(b"\n"), "content-type") or "").lower()
        body = part.lstrip(b"\n").split(b"\n\n", 1)[-1]
        if "delivery-status" in kind:
            status = [fields(group.strip(b"\n") + b"\n\n") for group in body.strip(b"\n").split(b"\n\n")]
        elif "rfc822" in kind or "message/global" in kind:
            returned = body
    if not status or returned is None:
        raise Failed(f"a report without its parts: {content!r}")
    return status[0], status[1:], returned
