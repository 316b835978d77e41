"""
The rules of RFC 9110 and RFC 9112 for the head of a request that Twisted does not enforce, or enforces too loosely.

A head that two servers can read in two ways lets a client hide a request from the first of them (request smuggling), so
nothing is guessed here: what has no single meaning is refused, and its connection ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import AddressValueError, IPv6Address

from claudeproxy.errors import MalformedRequest

__all__ = [
    "body_length",
    "check_transfer_encoding",
    "has_bare_line_end",
    "is_field_line",
    "line_fault",
    "target_host",
    "wants_close",
]

_CONTROLS = bytes(code for code in (*range(32), 127) if code != 9)
"""What can stand nowhere in a head, its line ends apart (RFC 9110, section 5.5); a tab can."""

_FIELD_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*")

_ABSOLUTE = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)

_HOST = re.compile(
    rb"""
    (?P<name> \[ (?P<literal>[0-9A-Fa-f:.]+) \] | (?: [A-Za-z0-9._~!$&'()*+;=-] | %[0-9A-Fa-f]{2} )* )
    (?: : (?P<port>[0-9]{0,9}) )?
    """,
    re.VERBOSE,
)
"""
``uri-host [ ":" port ]`` of RFC 3986, without future kinds of addresses and the comma, which joins two hosts.
"""

_MOST_DIGITS = 18
_EXABYTE: int = 10**_MOST_DIGITS


def line_fault(line: bytes) -> str | None:
    """
    Return what is wrong with a line of a head, or with its beginning; None if nothing is, as far as any line goes.
    """
    if len(line.translate(None, _CONTROLS)) != len(line):
        if has_bare_line_end(line):
            return "The lines of a request's head must end with CRLF."
        return "There are control characters in the request's head."
    if line.startswith((b" ", b"\t")):
        return "A line of a request's head may not begin with a blank (it is folded)."
    return None


def has_bare_line_end(rest: bytes) -> bool:
    """
    Whether ``rest``, the beginning of a line that has not ended with CRLF so far, has another line end in it.
    """
    return b"\n" in rest or b"\r" in rest[:-1]


def is_field_line(line: bytes) -> bool:
    """
    Whether ``line`` is a field's name, a colon and a value.
    """
    return _FIELD_LINE.fullmatch(line) is not None


def body_length(value: bytes) -> int:
    """
    Read the value of ``Content-Length``; what is beyond an exabyte is one.

    :raises MalformedRequest: it is not one number, in digits.
    """
    if not value.isdigit():
        raise MalformedRequest("Content-Length must be one number, in digits.")
    digits = value.lstrip(b"0")
    # Python refuses to read numbers of more than 4,300 digits.
    return int(digits or b"0") if len(digits) <= _MOST_DIGITS else _EXABYTE


def check_transfer_encoding(value: bytes, version: bytes) -> None:
    """
    Check the value of ``Transfer-Encoding``: with any other than ``chunked`` the body's end is not known.

    ``identity``, which RFC 7230 removed, is read as no encoding by some servers and refused by others.

    :raises MalformedRequest: it is not ``chunked`` alone, or the version has no transfer encodings.
    """
    if version != b"HTTP/1.1":
        raise MalformedRequest("Transfer-Encoding is not taken with HTTP/1.0.")
    if value.lower() != b"chunked":
        raise MalformedRequest("Transfer-Encoding must be chunked, alone, or absent.")


def wants_close(values: Iterable[bytes]) -> bool:
    """
    Whether ``close`` is among the options of the lines of ``Connection`` (RFC 9112, section 9.6).
    """
    return any(option.strip().lower() == b"close" for value in values for option in value.split(b","))


def target_host(method: bytes, target: bytes, version: bytes, hosts: Sequence[bytes]) -> bytes | None:
    """
    Return the host, with its port, that a request is for, or None when ``Host`` says it, or nothing does.

    That is the target's where the target is a whole URL; it stands in the place of ``Host`` (RFC 9112, section 3.2.2).

    :param hosts: the values of ``Host``, one for each line.
    :raises MalformedRequest: ``Host`` is missing, is there twice or is no host (section 3.2); or the target is neither
        a path nor a URL with a host, nor the asterisk of OPTIONS.
    """
    if len(hosts) != 1 and (hosts or version != b"HTTP/1.0"):
        raise MalformedRequest("A request must have the header Host exactly once.")
    if hosts and not _is_host(hosts[0]):
        raise MalformedRequest("The header Host must be a host, which a colon and a port may follow.")
    if not target.isascii():
        raise MalformedRequest("The request target must be ASCII, with all else percent-encoded.")
    if target.startswith(b"/"):
        return None
    if target == b"*" and method == b"OPTIONS":
        return None
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        raise MalformedRequest("The request target must be a path or a URL of http or https, and * only for OPTIONS.")
    authority = absolute[1]
    if not _is_host(authority) or authority.partition(b":")[0] == b"":
        raise MalformedRequest("The request target must have a host, which a colon and a port may follow.")
    return authority


def _is_host(value: bytes) -> bool:
    """
    Whether this is a host, which may be empty, and perhaps a port.
    """
    match = _HOST.fullmatch(value)
    if match is None:
        return False
    if match["literal"] is not None:
        try:
            IPv6Address(match["literal"].decode("ascii"))
        except AddressValueError:
            return False
    return not match["port"] or int(match["port"]) <= 65535
