"""
Feeding a child's stdin.
"""

from __future__ import annotations

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import IPushProducer
from zope.interface.verify import verifyObject

from claudeproxy.backends.claude.processes.stdin import StdinFeeder


@define
class Pipe:
    """
    A consumer that pauses its producer after each write beyond its buffer, as a process's stdin does.
    """

    buffer_size: int = 65536
    read: bytearray = field(factory=bytearray)
    held: bytearray = field(factory=bytearray)
    producer: IPushProducer | None = None

    def write(self, data: bytes) -> None:
        self.held += data
        if len(self.held) > self.buffer_size and self.producer is not None:
            self.producer.pauseProducing()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def drain(self) -> None:
        """The child reads all that is held."""
        self.read += self.held
        self.held.clear()
        if self.producer is not None:
            self.producer.resumeProducing()


def test_it_is_a_push_producer() -> None:
    """The feeder offers what IPushProducer promises."""
    assert verifyObject(IPushProducer, StdinFeeder(Pipe()))


@given(st.lists(st.binary(max_size=200_000), max_size=6))
def test_everything_arrives_in_order(lines: list[bytes]) -> None:
    """Whatever the sizes, the child reads all lines, whole and in order."""
    pipe = Pipe()
    feeder = StdinFeeder(pipe)
    feeder.start()
    for line in lines:
        feeder.write(line)
    while pipe.held:
        pipe.drain()

    assert bytes(pipe.read) == b"".join(lines)


def test_a_child_that_does_not_read_is_not_flooded() -> None:
    """A long message stays where it is until the child reads: the pipe never holds more than it and a slice."""
    pipe = Pipe()
    feeder = StdinFeeder(pipe)
    feeder.start()
    feeder.write(b"x" * 10_000_000)
    largest = 0
    while pipe.held:
        largest = max(largest, len(pipe.held))
        pipe.drain()

    assert len(pipe.read) == 10_000_000
    assert largest <= 2 * 65536


def test_nothing_is_written_once_stdin_is_closed() -> None:
    """After close, by us or by the child, what still comes is dropped in silence."""
    for close in (StdinFeeder.close, StdinFeeder.stopProducing):
        pipe = Pipe()
        feeder = StdinFeeder(pipe)
        feeder.start()
        close(feeder)
        feeder.write(b"late")

        assert not pipe.held
