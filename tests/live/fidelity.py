"""
Plays random conversations against the real CLI, and compares what the API's stub got with what it should get.

A player is a client, a daemon's Claude backend and a stub of its own; it plays one conversation after the other. What a
client would send goes through the daemon's own decoder, and what it keeps of an answer is the daemon's own answer.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from claudeproxy.core.catalog import Catalog
from claudeproxy.core.chat import ChatRequest
from claudeproxy.store.session_file import SessionFile
from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.stub import RecordedRequest
from claudeproxy.wire.openai_chat import CompletionFolder, decode_request
from tests.live.chatting import THOUGHT, echoed, is_clean, joined, new_messages, without_leading
from tests.live.claude import LiveBackend, RecordingSink
from tests.live.conversations import Conversation, Echo, Loss, Turn, Way
from tests.live.expected import (
    canonical,
    difference,
    expected_choice,
    expected_messages,
    expected_system,
    expected_tools,
    recorded_messages,
    without_end_blanks,
)
from tests.live.odd import JSON, names_of

__all__ = ["Deviation", "Player"]

_CATALOG = Catalog({}, "sonnet")
_THOUGHT = {"type": "thinking", "thinking": THOUGHT, "signature": "c3R1Yg=="}
_SECONDS = 60.0


class Deviation(AssertionError):
    """
    What the API got is not what was sent.
    """


@frozen
class _Served:
    """
    What came of a request.
    """

    message: JSON
    """The answer, as Chat Completions has it."""
    body: JSON
    """What the API got."""
    session_id: str
    process: str
    """The id of the CLI's own session, by which its process is known."""


@define
class _Talk:
    """
    A conversation as it stands: for the client, and for the session.
    """

    tenant: str
    model: str
    offer: JSON
    client: list[JSON]
    known: list[JSON] = field(factory=list)
    system: str = ""
    session_id: str = ""
    process: str = ""
    """The one that rests with the conversation; none when it is gone, or its turn was not clean."""
    session_offer: JSON = field(factory=dict)
    thoughtful: set[str] = field(factory=set)
    """The ids of the calls before which the model thought."""


@define
class Player:
    """
    One client, its daemon and its API.
    """

    _make: Callable[..., LiveBackend]
    _stub: StubAnthropic
    _state: Path
    _clock: Any
    counts: Counter[str] = field(factory=Counter)
    """How many turns went which way; a fuzz that never goes a way proves nothing of it."""
    _live: LiveBackend = field(init=False)
    _before: int = field(init=False, default=0)
    """Processes that were started before the daemon was."""
    _over: set[str] = field(init=False, factory=set)
    """The CLI's sessions whose processes the backend has killed."""

    def __attrs_post_init__(self) -> None:
        self._live = self._make(self._stub)
        self._live.start()

    async def play(self, conversation: Conversation, tenant: str, model: str) -> None:
        """
        Play a conversation to its end.

        :raises Deviation: the API got something else than it should.
        """
        self.counts["conversations"] += 1
        talk = _Talk(tenant, model, conversation.functions, list(conversation.history))
        try:
            for number, turn in enumerate(conversation.turns):
                await self._turn(talk, turn, first=number == 0)
        finally:
            self._end_process(talk.process)
            self._stub.requests.clear()
            self.counts["processes"] = self._before + self._live.started

    def stop(self) -> Any:
        """
        End all processes.
        """
        return self._live.stop()

    # -- A turn ---------------------------------------------------------------

    async def _turn(self, talk: _Talk, turn: Turn, *, first: bool) -> None:
        await self._lose(talk, turn.loss)
        if turn.functions is not None:
            talk.offer = turn.functions
        new = new_messages(talk.client, turn)
        prefill = [] if turn.prefill is None else [turn.prefill]
        sent = [*talk.client, *new, *prefill] if turn.way is not Way.NAMED else [*new, *prefill]
        body = {"model": talk.model, "messages": sent, **talk.offer, **turn.options}
        told, system, offer = self._told(talk, turn.way, sent, [*new, *prefill])
        goes_on = bool(talk.process) and self._goes_on(talk, turn.way, system, offer)
        served = await self._serve(talk, body, named=turn.way is not Way.GROWN)
        self.counts[turn.way] += 1
        self._compare(talk, served, body, told, system, offer, (talk.process if goes_on else None))
        self._settle(talk, turn, served, told, system, offer, new)

    @staticmethod
    def _told(talk: _Talk, way: Way, sent: list[JSON], new: list[JSON]) -> tuple[list[JSON], str, JSON]:
        """
        Return what the model is to be told: the messages, the system prompt and the functions.
        """
        if way is Way.GROWN:
            return sent, expected_system(sent), talk.offer
        offer = talk.offer if talk.offer else talk.session_offer
        said = without_leading(new) if way is Way.NAMED else new
        return [*talk.known, *said], expected_system(sent) or talk.system, offer

    @staticmethod
    def _goes_on(talk: _Talk, way: Way, system: str, offer: JSON) -> bool:
        """
        Return whether the process that rests has seen just what is told again.
        """
        same = (system, expected_tools(offer)) == (talk.system, expected_tools(talk.session_offer))
        client, known = expected_messages(talk.client), expected_messages(talk.known)
        return same and (way is not Way.GROWN or canonical(client) == canonical(known))

    async def _serve(self, talk: _Talk, body: JSON, *, named: bool) -> _Served:
        """
        Send a request as ``POST /v1/chat/completions`` does.
        """
        decoded = decode_request(json.dumps(body, ensure_ascii=False).encode())
        request = ChatRequest(
            model=decoded.model,
            backend_model=_CATALOG.resolve(decoded.model),
            messages=decoded.messages,
            system=decoded.system,
            tools=decoded.tools,
            settings=decoded.settings,
            tenant=talk.tenant,
            session_id=talk.session_id if named else None,
            ignored=decoded.ignored,
        )
        sink, before = RecordingSink(), len(self._stub.requests)
        await self._live.backend.open(request, sink).addTimeout(_SECONDS, self._clock)
        folder = CompletionFolder("chatcmpl-1", decoded.model, 1)
        for event in sink.events:
            folder.add(event)
        recorded, *more = [each for each in self._stub.requests[before:] if _process(each) not in self._over]
        self.counts["asked behind our back"] += len(self._stub.requests) - before - 1 - len(more)
        for each in more:
            raise Deviation(f"the API was asked again: {json.dumps(each.body['messages'][-3:])[:2000]}")
        assert sink.head is not None
        return _Served(
            json.loads(folder.body())["choices"][0]["message"],
            recorded.body,
            sink.head.session_id,
            _process(recorded),
        )

    def _compare(
        self, talk: _Talk, served: _Served, body: JSON, told: list[JSON], system: str, offer: JSON, process: str | None
    ) -> None:
        """
        Compare a recorded request with what it should be.

        :param process: the one that must have served it, if the turn had to go on there.
        """
        got = served.body
        messages, thoughts = recorded_messages(got)
        self._same("messages", without_end_blanks(expected_messages(told)), messages)
        self._same("system", [system] if system else [], [block["text"] for block in got["system"][2:]])
        self._same("tools", expected_tools(offer, told, body.get("tool_choice")), got.get("tools") or [], ordered=True)
        self._same("tool_choice", expected_choice(body, offer, told), got.get("tool_choice"))
        if process is not None:
            self._same("process", process, served.process)
            self.counts["went on"] += 1
            self.counts["went on in the CLI's own way"] += not self._needs_history(served.process)
        self._check_thoughts(talk, got, messages, thoughts)

    def _check_thoughts(self, talk: _Talk, body: JSON, messages: list[JSON], thoughts: list[list[JSON]]) -> None:
        """
        What was thought before calls goes with their results, as the API wants it, and no other thoughts are told.
        """
        for thought in thoughts:
            self._same("thoughts", [_THOUGHT] * len(thought), thought)
        last = max(index for index, message in enumerate(messages) if message["role"] == "user")
        if "thinking" not in body or any(block["type"] == "text" for block in messages[last]["content"]) or last == 0:
            return
        called = {block.get("id") for block in messages[last - 1]["content"]}
        if called & talk.thoughtful:
            self._same("thoughts", [_THOUGHT], thoughts[last - 1])
            self.counts["thought on"] += 1

    @staticmethod
    def _same(what: str, expected: Any, got: Any, *, ordered: bool = False) -> None:
        if canonical(expected, ordered=ordered) != canonical(got, ordered=ordered):
            raise Deviation(difference(what, expected, got))

    # -- Afterwards -----------------------------------------------------------

    def _settle(
        self, talk: _Talk, turn: Turn, served: _Served, told: list[JSON], system: str, offer: JSON, new: list[JSON]
    ) -> None:
        """
        Keep what the client and the session know now.
        """
        message = served.message
        calls = message.get("tool_calls") or []
        if calls and message.get("reasoning_content"):
            talk.thoughtful |= {call["id"] for call in calls}
        begun = [] if turn.prefill is None else [turn.prefill]
        talk.known = [*told[: len(told) - len(begun)], *joined(begun, message, trimmed=True)]
        talk.client = [*talk.client, *new, *echoed(joined(begun, message, trimmed=False), turn.echo)]
        if turn.echo is Echo.EDITED:
            talk.thoughtful.clear()
        talk.system, talk.session_offer, talk.session_id = system, offer, served.session_id
        clean = is_clean(message, names_of(offer))
        if talk.process not in ("", served.process):
            self._end_process(talk.process)
        talk.process = served.process
        if not clean:
            # It is killed, for it would go on by itself; sometimes it is faster.
            self._over.add(talk.process)
            talk.process = ""

    async def _lose(self, talk: _Talk, loss: Loss) -> None:
        if loss is Loss.NONE:
            return
        self.counts[loss] += 1
        if loss is Loss.RESTART:
            # The daemon stops, and another one reads what it has left.
            file = SessionFile(self._state)
            file.write(self._live.sessions.all())
            await self._live.stop()
            self._before += self._live.started
            self._live = self._make(self._stub, file.read())
            self._live.start()
        elif talk.process:
            ended = self._live.spawner.ended
            self._end_process(talk.process, killed=loss is Loss.KILLED)
            await self._live.ended_count(ended + 1)
        talk.process = ""

    def _end_process(self, cli_session: str, *, killed: bool = False) -> None:
        for process, pid in zip(self._live.spawner.started, self._live.spawner.pids, strict=True):
            if process.launch.session_id == cli_session and process.usable:
                if killed:
                    os.kill(pid, signal.SIGKILL)
                else:
                    process.end()

    def _needs_history(self, cli_session: str) -> bool:
        (process,) = [each for each in self._live.spawner.started if each.launch.session_id == cli_session]
        return process.needs_history


def _process(recorded: RecordedRequest) -> str:
    """
    Return the id of the CLI's own session that sent a request.
    """
    found: str = json.loads(recorded.body["metadata"]["user_id"])["session_id"]
    return found
