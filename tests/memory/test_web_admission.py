"""
What is decided when the head of a request is there and its body is not.
"""

from __future__ import annotations

import pytest

from claudeproxy.config import LimitsConfig, ServerConfig, UpstreamConfig
from tests.memory.doubles import JSON
from tests.memory.wire import KEY, House, Wire, chat_body

CHAT = "/v1/chat/completions"


def head(house: House, method: str, path: str, key: str | None = KEY, **headers: str) -> Wire:
    """Send the head of a request with a body, and nothing of that."""
    wire = house.connect()
    given = {"Content-Length": "500", "Content-Type": "application/json", **headers}
    wire.send(method, path, None, headers={name.replace("_", "-"): value for name, value in given.items()}, key=key)
    return wire


REFUSED = [
    ("POST", CHAT, None, 401, "missing_api_key"),
    ("POST", CHAT, "wrong", 401, "invalid_api_key"),
    ("POST", "/v1/files", None, 401, "missing_api_key"),
    ("PUT", "/v1/nowhere", "wrong", 401, "invalid_api_key"),
    ("POST", "/nowhere", KEY, 404, "unknown_url"),
    ("POST", "/v1/models", KEY, 405, "method_not_supported"),
    ("POST", "/health", None, 405, "method_not_supported"),
    ("PUT", CHAT, KEY, 405, "method_not_supported"),
]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("expect", [False, True])
@pytest.mark.parametrize(("method", "path", "key", "status", "code"), REFUSED)
def test_a_refusal_does_not_wait_for_the_body(
    method: str, path: str, key: str | None, status: int, code: str, expect: bool, chunked: bool
) -> None:
    """It comes at once, in the place of "100 Continue", with all its headers; the client may read it while it sends."""
    house = House(upstream=UpstreamConfig())
    more = {"Expect": "100-continue"} if expect else {}
    framing = {"Content_Length": "", "Transfer_Encoding": "chunked"} if chunked else {}
    wire = head(house, method, path, key, **more, **framing)

    assert wire.sent.startswith(b"HTTP/1.1 %d " % status)
    assert (wire.transport.half_closed, wire.transport.disconnecting) == (True, False)
    wire.send_raw(b"x" * 500)
    answer = wire.answer()
    assert (status, code) == (answer.status, answer.error["code"])
    assert "close" == answer.headers["connection"]
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert ("allow" in answer.headers) == (status == 405)
    assert (0, 0) == (house.site.bodies.used, sum(house.admission.running.values()))
    wire.close()
    assert [status] == [event["access"]["status"] for event in house.events]


def test_the_same_as_without_a_body(house: House) -> None:
    """The answer has the headers that it has when the whole request was there."""
    whole = house.ask("DELETE", "/nowhere")
    early = head(house, "DELETE", "/nowhere").answer()

    changing = {"date", "x-request-id", "x-ratelimit-remaining", "x-ratelimit-remaining-requests", "connection"}
    assert set(early.headers) - changing == set(whole.headers) - changing
    assert early.error == whole.error


def test_a_request_is_counted_once() -> None:
    """Rate limits count it when its head is there, and not again when its body is."""
    house = House(limits=LimitsConfig(rate_limit_per_ip=3))
    for _ in range(3):
        wire = head(house, "POST", CHAT)
        wire.send_raw(chat_body("gpt-4o").ljust(500))
        house.relay.exchange.head(200, JSON)
        house.relay.exchange.end()
        assert 200 == wire.answer().status
    refused = head(house, "POST", CHAT)

    answer = refused.answer()
    assert (429, "rate_limit_exceeded", "0") == (
        answer.status,
        answer.error["code"],
        answer.headers["x-ratelimit-remaining"],
    )
    assert "retry-after" in answer.headers


def test_an_upload_has_its_place() -> None:
    """It takes one of the key's places while its body comes, and gives it back when its client leaves."""
    house = House(limits=LimitsConfig(max_concurrent_per_key=2))
    first, second = head(house, "POST", CHAT), head(house, "POST", CHAT)
    third = head(house, "POST", CHAT)
    assert (429, "concurrency_limit_exceeded") == ((answer := third.answer()).status, answer.error["code"])
    first.send_raw(b"x" * 100)
    first.leave()
    assert (1, 0) == (sum(house.admission.running.values()), house.site.bodies.used)
    assert b"" == head(house, "POST", CHAT).sent
    second.send_raw(b"x" * 500)

    assert 400 == second.answer().status


def test_a_stop() -> None:
    """While the daemon drains, no body is taken any more."""
    house = House()
    house.drain.begin()

    assert 503 == head(house, "POST", CHAT).answer().status


def test_one_that_is_let_in_is_told_to_go_on(house: House) -> None:
    """Then its body comes and it is served as ever."""
    wire = head(house, "POST", CHAT, Expect="100-continue")
    assert b"HTTP/1.1 100 Continue\r\n\r\n" == wire.sent
    wire.transport.clear()
    wire.send_raw(chat_body("gpt-4o").ljust(500))

    assert 1 == len(house.relay.exchanges)
    wire.leave()


@pytest.mark.parametrize(("total", "per_address"), [(1000, 0), (0, 1000), (1000, 1000)])
def test_bodies_are_bounded_together(total: int, per_address: int) -> None:
    """Those under way may have so many bytes; what is over or given up makes room."""
    house = House(
        server=ServerConfig(max_body_bytes=900, max_body_bytes_in_flight=total, max_body_bytes_per_address=per_address)
    )
    wires = [head(house, "POST", CHAT, Content_Length="800") for _ in range(2)]
    wires[0].send_raw(b"x" * 700)
    wires[1].send_raw(b"x" * 300)
    assert (b"", b"", 1000) == (wires[0].sent, wires[1].sent, house.site.bodies.used)
    wires[1].send_raw(b"x")

    answer = wires[1].answer()
    assert (429, "capacity_exceeded", "1") == (answer.status, answer.error["code"], answer.headers["retry-after"])
    assert 700 == house.site.bodies.used
    wires[0].leave()
    assert (0, {}) == (house.site.bodies.used, dict(house.site.bodies.by_address))


def test_another_address_has_its_own(house: House) -> None:
    """What one address sends takes nothing from what another may."""
    house.site.bodies._per_address = 100
    house.site.bodies.take("10.0.0.1", 100)
    house.site.bodies.take("10.0.0.2", 100)

    assert 200 == house.site.bodies.used
