"""
The client's functions, as a process of the CLI sees them: an MCP server whose answers take as long as the client.

The CLI asks for one call after the other, and only goes on when it is answered. So the model's calls end one request of
the client, the process waits, parked, and the client's next request brings what the functions returned.
"""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred

from claudeproxy.backends.claude.requests.exchange import DOTS, Results
from claudeproxy.core.chat import Image, Text
from claudeproxy.wire.anthropic import MessageStart, decode_event
from claudeproxy.wire.claude_cli import Line, McpRequest, ModelEvent, TurnResult, mcp_answer, tool_answer

__all__ = ["Parking"]


@define
class Parking:
    """
    What one process has asked for, and what it is still to be told.
    """

    tools: tuple[str, ...] = ()
    """The names of the conversation's functions."""
    waits: bool = False
    """Whether the process is parked."""
    _called: tuple[str, ...] = field(init=False, default=())
    """The ids of the calls that it waits for."""
    _asked: dict[str, McpRequest] = field(init=False, factory=dict)
    """Calls that the CLI has asked for, by their ids."""
    _returned: dict[str, tuple[Text | Image, ...]] = field(init=False, factory=dict)
    """What it will ask for."""
    _given_up: Deferred[None] | None = field(init=False, default=None)

    def heard(self, request: McpRequest) -> bytes | None:
        """
        Return what to answer the CLI, or None while that is not known.
        """
        if request.method != "tools/call":
            return mcp_answer(request)
        if request.call_id in self._returned:
            return tool_answer(request, self._returned.pop(request.call_id))
        self._asked[request.call_id] = request
        return None

    def park(self, calls: tuple[str, ...]) -> None:
        """
        The model has made calls with these ids; from now on the process waits.
        """
        self.waits, self._called = True, calls

    def is_left_by(self, line: Line) -> bool:
        """
        Whether a line shows that the CLI goes on by itself, which nobody asked it to, while the process waits.
        """
        if not self.waits:
            return False
        return isinstance(line, TurnResult) or (
            isinstance(line, ModelEvent) and isinstance(decode_event(line.event), MessageStart)
        )

    def give_up(self) -> Deferred[None]:
        """
        Wait no longer, nor for what was returned already; fires when the CLI's turn is over.
        """
        self.waits = False
        self._asked.clear()
        self._returned.clear()
        self._given_up = Deferred()
        return self._given_up

    def turn_over(self) -> None:
        """
        The CLI's turn is over.
        """
        given_up, self._given_up = self._given_up, None
        if given_up is not None:
            given_up.callback(None)

    def give(self, results: Results) -> bytes:
        """
        Take what the functions returned; the process goes on. Returns what to tell it at once.

        A call that has no result gets a dot, which will do where the API gets the conversation from us.
        """
        self.waits = False
        self._returned.update({call_id: results.get(call_id, DOTS) for call_id in self._called})
        answerable = [call_id for call_id in self._asked if call_id in self._returned]
        return b"".join(tool_answer(self._asked.pop(each), self._returned.pop(each)) for each in answerable)
