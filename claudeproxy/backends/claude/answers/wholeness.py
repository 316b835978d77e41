"""
Whether the API's response to a turn is whole.

A turn is served by exactly one response: one ``message_start``, one ``message_delta`` with a stop reason, one
``message_stop``. When the API's stream breaks off after a content block has ended, the CLI does not report an error: it
closes the message by itself and asks the API again, so that a second response would be appended to the first. What
Claude Code 2.1.329 prints then (observed), whether by end of file, reset, ``overloaded_error`` or ``api_error``:

========================  ======================================================================================
before the break          after it
========================  ======================================================================================
no block has ended        an ``assistant`` line of model ``<synthetic>``, ``message_delta`` without a reason,
                          ``message_stop``, ``result``
thinking only             ``message_stop``, the ``<synthetic>`` line, ``result``
text                      ``message_stop``, a ``user`` line with ``isSynthetic``, and the next ``message_start``
a tool call               ``message_stop``, the ``<synthetic>`` line, and nothing more: it waits for the tool's result
any, and another error    as in the first row; with a tool call only the ``<synthetic>`` line, and then it waits
========================  ======================================================================================

Only the rows with a ``result`` end by themselves. For the others the first sign counts, because the next API request
follows within some 10 ms.
"""

from __future__ import annotations

from attrs import define, field

from claudeproxy.wire.anthropic import MessageDelta, MessageStart, MessageStop, ModelOutput

__all__ = ["ResponseCut", "Wholeness"]


class ResponseCut(Exception):
    """
    The API's stream broke off before the response was whole; the CLI is about to go on by itself.
    """


@define
class Wholeness:
    """
    Follows one response of the API.
    """

    _started: bool = field(init=False, default=False)
    _closed: bool = field(init=False, default=False)
    """Whether there was a ``message_delta``."""

    def event(self, event: ModelOutput | None) -> None:
        """
        Take the next event of the turn.

        :raises ResponseCut: it shows that the response is not whole and will not be.
        """
        match event:
            case MessageStart():
                if self._started:
                    raise ResponseCut
                self._started = True
            case MessageDelta():
                # One without a reason is the CLI's own, and a result line with the error follows.
                self._closed = True
            case MessageStop():
                # One before the start belongs to the turn before, which ended with its tool calls' message_delta.
                if self._started and not self._closed:
                    raise ResponseCut

    def resend(self) -> None:
        """
        The CLI says that it is about to ask the API again.

        :raises ResponseCut: a response has begun, so that another one cannot take its place.
        """
        if self._started:
            raise ResponseCut
