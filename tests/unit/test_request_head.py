"""
The rules for the head of a request, one by one.
"""

from __future__ import annotations

import pytest

from claudeproxy.errors import MalformedRequest
from claudeproxy.wire.request_head import (
    body_length,
    check_transfer_encoding,
    has_bare_line_end,
    is_field_line,
    line_fault,
    target_host,
    wants_close,
)

EXABYTE = 10**18


@pytest.mark.parametrize(
    ("value", "length"),
    [
        (b"0", 0),
        (b"000", 0),
        (b"5", 5),
        (b"0" * 5000 + b"5", 5),
        (b"9" * 18, 10**18 - 1),
        (b"1" + b"0" * 18, EXABYTE),
        (b"9" * 20, EXABYTE),
        (b"9" * 4301, EXABYTE),
        (b"9" * 16000, EXABYTE),
    ],
)
def test_lengths(value: bytes, length: int) -> None:
    """Any number of digits is read, leading zeros too; what no body can have is an exabyte."""
    assert length == body_length(value)


@pytest.mark.parametrize(
    "value", [b"", b"+5", b"-5", b"5 5", b"5, 5", b"5,5", b"1_0", b"0x5", b"5.0", b"5e1", b"\xd9\xa5", b"\xb2", b"x"]
)
def test_what_is_no_length(value: bytes) -> None:
    """A length is one number in the ten digits of ASCII."""
    with pytest.raises(MalformedRequest):
        body_length(value)


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"CHUNKED"])
def test_the_transfer_encoding(value: bytes) -> None:
    """Chunked is taken in any case, and not with HTTP/1.0."""
    check_transfer_encoding(value, b"HTTP/1.1")
    with pytest.raises(MalformedRequest):
        check_transfer_encoding(value, b"HTTP/1.0")


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"identity", b"Identity", b"IDENTITY", b"gzip", b"xchunked", b"chunked1", b'"chunked"', b"chunked;a=b"),
        *(b"chunked, identity", b"identity, chunked", b"gzip, chunked", b"chunked, chunked", b"chunked,", b", chunked"),
        *(b"chunked\x0b", b"chun ked", b"\xa0chunked"),
    ],
)
def test_other_transfer_encodings(value: bytes) -> None:
    """Any other value is refused."""
    with pytest.raises(MalformedRequest):
        check_transfer_encoding(value, b"HTTP/1.1")


@pytest.mark.parametrize(
    ("lines", "closes"),
    [
        ([b"close"], True),
        ([b"Close"], True),
        ([b"close, TE"], True),
        ([b"TE,close"], True),
        ([b"TE ,\tCLOSE\t, x"], True),
        ([b"close, keep-alive"], True),
        ([b"keep-alive", b"close"], True),
        ([b"close", b"keep-alive"], True),
        ([b",,close"], True),
        ([b"keep-alive"], False),
        ([b"closed"], False),
        ([b"close keep-alive"], False),
        ([b'"close"'], False),
        ([b""], False),
        ([], False),
    ],
)
def test_the_option_close(lines: list[bytes], closes: bool) -> None:
    """It is honoured wherever it stands among the options."""
    assert closes == wants_close(lines)


HOSTS = b"""
localhost localhost: localhost:80 a_b.example:65535 127.0.0.1:8080 [::1] [::1]:80 [::ffff:127.0.0.1] a.b.c. a~b!c 1 :80
xn--bcher-kva.example %C3%A4.example a:00080
""".split()

NO_HOSTS = b"""
user@localhost user:pw@localhost a:b a:-1 a:+1 a:65536 a:1:2 ::1 [::1 ::1] [] [x] [::1]x [127.0.0.1] [v1.a] [::1%eth0]
a,b a\\b %zz %4 <a> localhost/path http://localhost a?b a#b
""".split()
NO_HOSTS += [b"a b", b"a, b", b"\xe4.example", b"a:\xb2", b"a" + b":1" * 2000, b"a:" + b"1" * 5000]


@pytest.mark.parametrize("host", [b"", *HOSTS])
def test_hosts(host: bytes) -> None:
    """What is a host, with or without a port, is taken as it is; it may be empty."""
    assert target_host(b"GET", b"/", b"HTTP/1.1", [host]) is None


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_host(host: bytes, version: bytes) -> None:
    """Whatever else stands in Host, or where a URL has its host, is refused."""
    with pytest.raises(MalformedRequest):
        target_host(b"GET", b"/", version, [host])
    if host not in (b"localhost/path", b"a?b", b"a#b", b"http://localhost"):
        with pytest.raises(MalformedRequest):
            target_host(b"GET", b"http://" + host + b"/", version, [b"localhost"])


@pytest.mark.parametrize(
    ("version", "hosts"),
    [
        (b"HTTP/1.1", []),
        (b"HTTP/1.1", [b"a", b"a"]),
        (b"HTTP/1.1", [b"a", b"b"]),
        (b"HTTP/1.1", [b"", b""]),
        (b"HTTP/1.0", [b"a", b"a"]),
    ],
)
@pytest.mark.parametrize("target", [b"/", b"http://localhost/"])
def test_how_many_hosts(version: bytes, hosts: list[bytes], target: bytes) -> None:
    """There is one Host, whatever the target; only HTTP/1.0 may have none."""
    with pytest.raises(MalformedRequest):
        target_host(b"GET", target, version, hosts)
    assert target_host(b"GET", b"/", b"HTTP/1.0", []) is None


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"http://a.example/v1", b"a.example"),
        (b"HTTPS://a.example:8443", b"a.example:8443"),
        (b"http://[::1]:80?x", b"[::1]:80"),
        (b"/v1", None),
        (b"/http://a/", None),
    ],
)
def test_the_host_of_a_target(target: bytes, host: bytes | None) -> None:
    """The host of a whole URL counts, whatever Host says."""
    assert host == target_host(b"GET", target, b"HTTP/1.1", [b"localhost"])


@pytest.mark.parametrize("target", [*b"http:///x http:// http://:80/ http://?x * a a:80 ftp://a/ ?x".split(), b"/\xff"])
def test_a_target_without_a_host(target: bytes) -> None:
    """A URL without a host is none, an asterisk is for OPTIONS, and nothing else is a target."""
    with pytest.raises(MalformedRequest):
        target_host(b"GET", target, b"HTTP/1.1", [b"localhost"])
    assert target_host(b"OPTIONS", b"*", b"HTTP/1.1", [b"localhost"]) is None


def test_lines() -> None:
    """Every control character but the tab is found; so are line ends that are not CRLF, and trailers that are none."""
    found = [code for code in range(256) if line_fault(b"X: a%cb" % code) is not None]
    assert [*range(9), *range(10, 32), 127] == found
    assert line_fault(b" X: a") and line_fault(b"\tX: a") and line_fault(b"") is None
    assert has_bare_line_end(b"a\nb") and has_bare_line_end(b"a\rb") and has_bare_line_end(b"\n")
    assert not has_bare_line_end(b"a\r") and not has_bare_line_end(b"")
    assert is_field_line(b"X-Sum: 1\t2 \xff") and is_field_line(b"a:")
    assert not any(map(is_field_line, (b"", b"a", b": a", b"a b: c", b" a: b", b"a : b", b"a: \0", b"a: b\nc")))
