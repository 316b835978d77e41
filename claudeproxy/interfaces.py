"""
The few seams of our own. Clocks, spawners, agents and producers use Twisted's interfaces instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    # For the types alone: nothing is below this module.
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IPushProducer

    from claudeproxy.core.access import KeyPolicy
    from claudeproxy.core.chat import ChatRequest, Image, ImageLink
    from claudeproxy.core.events import StreamEvent, TurnHead, Usage
    from claudeproxy.core.health import ChatHealth, UpstreamHealth
    from claudeproxy.core.relay import Refusal, RelayRequest
    from claudeproxy.core.sessions import Session

__all__ = [
    "IByteSink",
    "IChatBackend",
    "IEventSink",
    "IFlow",
    "IImageFetcher",
    "IKeyStore",
    "IReadiness",
    "IRelay",
    "ISessionStore",
]


class IFlow(Interface):
    """
    Something that can be paused: where back-pressure enters.
    """

    def flow_from(producer: IPushProducer) -> None:
        """
        Let ``producer`` (an ``IPushProducer``) feed this sink; it is paused while the reader is slow and told to stop
        when the reader leaves. Called at most once in a try, before the first byte.
        """

    def flow_ended() -> None:
        """
        The producer is finished and must not be called again. Harmless when there is none.
        """


class IEventSink(IFlow):
    """
    Where a chat backend writes its answer, knowing neither HTTP nor a dialect.
    """

    def started(head: TurnHead) -> None:
        """
        A slot is granted; ``head`` is a :class:`claudeproxy.core.events.TurnHead`. Nothing has been sent yet.
        """

    def event(event: StreamEvent) -> None:
        """
        One :data:`claudeproxy.core.events.StreamEvent`.
        """


class IByteSink(IFlow):
    """
    Where a relay writes an upstream's answer as it comes.
    """

    begun = Attribute("Whether the reader has been sent anything, so that no other answer can take this one's place.")

    def trying() -> None:
        """
        The upstream is about to be asked, for the first time or again. What was said of an answer before is void.
        """

    def head(status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """
        The upstream's status (int) and those of its headers that travel on: a sequence of (name, value) bytes pairs.
        """

    def raw(data: bytes) -> None:
        """
        Bytes of the body, unchanged.
        """


class IChatBackend(Interface):
    """
    Serves the neutral model.
    """

    name = Attribute("What ``X-Backend-Mode`` says.")

    def open(request: ChatRequest, sink: IEventSink) -> Deferred[None]:
        """
        Serve ``request`` (:class:`claudeproxy.core.chat.ChatRequest`) into ``sink`` (:class:`IEventSink`).

        Returns a Deferred that fires with None after the last event, or fails with a
        :class:`claudeproxy.errors.ClaudeProxyError`. Cancelling it abandons the turn: the work is stopped at once.
        """

    def health() -> ChatHealth:
        """
        Return how the backend is now. No model is asked.
        """


class IRelay(Interface):
    """
    Passes a request to an upstream and its answer back, byte for byte.
    """

    name = Attribute("What ``X-Backend-Mode`` says.")

    def relay(request: RelayRequest, sink: IByteSink) -> Deferred[Usage | Refusal | None]:
        """
        Send ``request`` (:class:`claudeproxy.core.relay.RelayRequest`) on and its answer into ``sink``
        (:class:`IByteSink`).

        Returns a Deferred as :meth:`IChatBackend.open` does; its result is the usage that was seen on the way, or None.
        If the request hands over, it may be a :class:`claudeproxy.core.relay.Refusal`; the sink has then got nothing.
        """

    def upstream_models() -> Deferred[tuple[dict[str, Any], ...]]:
        """
        Return the entries of the upstream's list of models, as it wrote them. Never fails, waits some seconds at most,
        and is empty when there is no list to be had.
        """

    def health() -> UpstreamHealth:
        """
        Return how the upstream is now. It is not asked.
        """


class IImageFetcher(Interface):
    """
    Fetches pictures for backends that cannot be sent links.
    """

    def fetch(link: ImageLink, tenant: str) -> Deferred[Image]:
        """
        Fetch the picture that ``link`` (:class:`claudeproxy.core.chat.ImageLink`) leads to, for one tenant.

        Returns a Deferred that fires with a :class:`claudeproxy.core.chat.Image`, or fails with a
        :class:`claudeproxy.errors.ClaudeProxyError` that names the link's parameter. Cancelling it drops the connection
        at once.
        """


class IKeyStore(Interface):
    """
    Who may come in.
    """

    is_open = Attribute("True when no key exists, so that nobody is asked for one.")

    def lookup(presented: bytes) -> KeyPolicy | None:
        """
        Return the :class:`claudeproxy.core.access.KeyPolicy` of the presented key (bytes), or None.
        """


class ISessionStore(Interface):
    """
    Conversations by session id; the database takes this place later.
    """

    def get(session_id: str, tenant: str) -> Session | None:
        """
        Return the :class:`claudeproxy.core.sessions.Session`, or None when it is unknown, expired or another tenant's.
        """

    def put(session: Session) -> None:
        """
        Store a new or changed session.
        """

    def delete(session_id: str, tenant: str) -> None:
        """
        Forget it. Harmless when it is not there.
        """


class IReadiness(Interface):
    """
    Something that can make the daemon unready.
    """

    def unready_reasons() -> tuple[str, ...]:
        """
        Return a tuple of short texts; empty when all is well.
        """
