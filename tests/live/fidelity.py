"""
Plays random conversations against the real CLI, and compares what the API's stub got with what it should get.

A player is a client, a daemon's Claude backend and a stub of its own; it plays one conversation after the other. What a
client would send goes through the daemon's own decoder, and what it keeps of an answer is the daemon's own answer.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred

from claudeproxy.backends.claude.processes.process import ClaudeProcess
from claudeproxy.store.session_file import SessionFile
from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.strictness import signature
from claudeproxy.testing.stub import RecordedRequest
from tests.live.chatting import THOUGHT, echoed, is_clean, joined, new_messages, with_ids, without_leading
from tests.live.claude import LiveBackend, until
from tests.live.completions import Completion, cli_session, complete
from tests.live.conversations import Conversation, Echo, Loss, Turn, Way
from tests.live.expected import (
    canonical,
    difference,
    expected_messages,
    expected_system,
    expected_tools,
    numbered,
    recorded_messages,
    shown,
)
from tests.live.odd import JSON, names_of
from tests.live.refusing import Retold, is_in_place, requests_of

__all__ = ["Deviation", "Player"]


class Deviation(AssertionError):
    """
    What the API got is not what was sent.
    """


@frozen
class _Told:
    """
    What the model is to be told, in the JSON of Chat Completions.
    """

    messages: list[JSON]
    system: str = ""
    offer: JSON = field(factory=dict)
    """The functions."""


@define
class _Talk:
    """
    A conversation as it stands: for the client, and for the session.
    """

    tenant: str
    model: str
    offer: JSON
    client: list[JSON]
    known: _Told = field(factory=lambda: _Told([]))
    """What the session holds, with all that was answered."""
    calls: list[JSON] = field(factory=list)
    """Of the last answer, with their ids."""
    session_id: str = ""
    process: str = ""
    """The one that rests with the conversation; none when it is gone, or its turn was not clean."""
    thoughtful: dict[str, str] = field(factory=dict)
    """The ids of the calls before which the model thought, with the signatures of these thoughts."""


@define
class Player:
    """
    One client, its daemon and its API.
    """

    _make: Callable[..., LiveBackend]
    _stub: StubAnthropic
    _state: Path
    counts: Counter[str] = field(factory=Counter)
    """How many turns went which way; a fuzz that never goes a way proves nothing of it."""
    _live: LiveBackend = field(init=False)
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
            for turn in conversation.turns:
                await self._turn(talk, turn)
                self.counts["turns"] += 1
        finally:
            self._end_process(talk.process)
            self._stub.requests.clear()
            for session in self._live.sessions.all():
                self._live.sessions.delete(session.session_id, session.tenant)

    def stop(self) -> Deferred[None]:
        """
        End all processes.
        """
        self.counts["processes"] += self._live.started
        return self._live.stop()

    # -- A turn ---------------------------------------------------------------

    async def _turn(self, talk: _Talk, turn: Turn) -> None:
        await self._lose(talk, turn.loss)
        if turn.functions is not None:
            talk.offer = turn.functions
        way = turn.way
        if way is Way.NAMED and talk.client and "function_call" in talk.client[-1]:
            # The older form has no ids, so what a function returned says nothing without the call.
            way = Way.NAMED_WHOLE
        self.counts[way] += 1
        if turn.loss is Loss.RESTART and way is Way.GROWN:
            # What the model thought is with the session, which such a request does not name.
            talk.thoughtful.clear()
        new = new_messages(talk.client, turn)
        prefill = [] if turn.prefill is None else [turn.prefill]
        sent = [*new, *prefill] if way is Way.NAMED else [*talk.client, *new, *prefill]
        # Where nothing is said, nothing can say what the model is to answer, and it must be free.
        body = {"model": talk.model, "messages": sent, **talk.offer, **(turn.options if new else {})}
        told = _told(talk, way, sent, [*new, *prefill])
        goes_on = bool(talk.process) and _goes_on(talk, way, told)
        completion, recorded = await self._serve(talk, body, told, named=way is not Way.GROWN)
        got, process = recorded.body, cli_session(recorded)
        if goes_on and talk.process not in self._over:
            self._same("process", talk.process, process)
            self.counts["went on"] += 1
            self.counts["went on in the CLI's own way"] += not self._needs_history(process)
        self._compare(talk, got, body, told)
        self._settle(talk, turn, completion, told, recorded, new)

    async def _serve(self, talk: _Talk, body: JSON, told: _Told, *, named: bool) -> tuple[Completion, RecordedRequest]:
        """
        Serve a request; return the answer, and what the API got.
        """
        before = len(self._stub.requests)
        session_id = talk.session_id if named else None
        completion = await complete(self._live, body, tenant=talk.tenant, session_id=session_id)
        refused = [each for each in self._stub.requests[before:] if each.status == 400]
        self.counts["refused"] += len(refused)
        requests = [each for each in self._stub.requests[before:] if each not in refused]
        # An attempt that is refused costs a process, unless the CLI itself finds out what to leave out.
        self._over |= {cli_session(each) for each in refused} - {cli_session(each) for each in requests}
        recorded, *more = [each for each in requests if cli_session(each) not in self._over]
        if not is_clean(completion, names_of(told.offer)):
            # The process is killed, for it would go on by itself; sometimes it is faster.
            self._over.add(cli_session(recorded))
            more = [each for each in more if cli_session(each) not in self._over]
        self.counts["asked behind our back"] += len(requests) - len(more) - 1
        for each in more:
            raise Deviation(f"the API was asked again: {shown(each.body['messages'][-3:])}")
        return completion, recorded

    def _compare(self, talk: _Talk, got: JSON, body: JSON, told: _Told) -> None:
        """
        Compare a recorded request with what it should be.
        """
        messages, thoughts = recorded_messages(got)
        retold = Retold(got["model"], body, told.offer, told.messages)
        self._same("requests", retold.requests, requests_of(messages))
        self.counts["in words"] += bool(retold.requests)
        expected = retold.messages
        self._same("messages", numbered(expected), numbered(messages))
        ids = [block["id"] for message in messages for block in message["content"] if block["type"] == "tool_use"]
        self._same("calls of one id", [], [each for each, times in Counter(ids).items() if times > 1])
        asked = [block["id"] for message in expected for block in message["content"] if block["type"] == "tool_use"]
        self.counts["ids that came again"] += len(asked) - len({*asked})
        self._same("system", [told.system] if told.system else [], [block["text"] for block in got["system"][2:]])
        self._same("tools", retold.tools, got.get("tools") or [], ordered=True)
        self._same("tool_choice", retold.choice, got.get("tool_choice"))
        self._check_thoughts(talk, got, messages, thoughts)

    def _check_thoughts(self, talk: _Talk, got: JSON, messages: list[JSON], thoughts: list[list[JSON]]) -> None:
        """
        What was thought before calls goes with their results, as the API wants it, and no other thoughts are told.
        """
        for thought in thoughts:
            self._same("thoughts", [THOUGHT] * len(thought), [each["thinking"] for each in thought])
        last = max(index for index, message in enumerate(messages) if message["role"] == "user")
        if any(block["type"] == "text" for block in messages[last]["content"]) or last == 0:
            return
        forced = (got.get("tool_choice") or {}).get("type") in ("any", "tool")
        if "thinking" not in got and (forced or got["messages"][-1]["role"] == "assistant"):
            return
        called = {block.get("id") for block in messages[last - 1]["content"]}
        signatures = {talk.thoughtful[each] for each in called if each in talk.thoughtful}
        if any(is_in_place(each, got, called) for each in signatures):
            self._same("thoughts", [THOUGHT], [each["thinking"] for each in thoughts[last - 1]])
            self.counts["thought on"] += 1

    @staticmethod
    def _same(what: str, expected: Any, got: Any, *, ordered: bool = False) -> None:
        if canonical(expected, ordered=ordered) != canonical(got, ordered=ordered):
            raise Deviation(difference(what, expected, got))

    # -- Afterwards -----------------------------------------------------------

    def _settle(
        self, talk: _Talk, turn: Turn, completion: Completion, told: _Told, recorded: RecordedRequest, new: list[JSON]
    ) -> None:
        """
        Keep what the client and the session know now.
        """
        message = completion.message
        talk.calls = completion.calls
        if message.get("reasoning_content"):
            talk.thoughtful |= {call["id"]: signature(recorded.body) for call in talk.calls}
        begun = [] if turn.prefill is None else [turn.prefill]
        answered = {"role": "assistant", "content": message["content"], "tool_calls": talk.calls}
        known = [*told.messages[: len(told.messages) - len(begun)], joined(begun, answered, trimmed=True)]
        talk.known = _Told(known, told.system, told.offer)
        talk.client = [*talk.client, *new, echoed(joined(begun, message, trimmed=False), turn.echo)]
        if turn.echo is Echo.EDITED:
            talk.thoughtful.clear()
        talk.session_id = completion.session_id
        process = cli_session(recorded)
        if talk.process != process:
            self._end_process(talk.process)
        talk.process = "" if process in self._over else process

    async def _lose(self, talk: _Talk, loss: Loss) -> None:
        """
        Have the conversation lose its process.
        """
        if loss is Loss.NONE:
            return
        self.counts[loss] += 1
        if loss is Loss.RESTART:
            # The daemon stops, and another one reads what it has left.
            file = SessionFile(self._state)
            file.write(self._live.sessions.all())
            await self.stop()
            self._live = self._make(self._stub, file.read())
            self._live.start()
        elif talk.process:
            ended = self._end_process(talk.process, killed=loss is Loss.KILLED)
            await until(self._live.clock, lambda: all(process.over for process in ended))
        talk.process = ""

    def _end_process(self, session: str, *, killed: bool = False) -> list[ClaudeProcess]:
        ended = []
        for process, pid in zip(self._live.spawner.started, self._live.spawner.pids, strict=True):
            if process.launch.session_id == session and process.usable:
                ended.append(process)
                if killed:
                    os.kill(pid, signal.SIGKILL)
                else:
                    process.end()
        return ended

    def _needs_history(self, session: str) -> bool:
        (process,) = [each for each in self._live.spawner.started if each.launch.session_id == session]
        return process.seen.needs_history


def _told(talk: _Talk, way: Way, sent: list[JSON], new: list[JSON]) -> _Told:
    """
    Return what the model is to be told.
    """
    if way is Way.GROWN:
        return _Told(sent, expected_system(sent), talk.offer)
    # With a session's id the system prompt and the functions can be left out; a system prompt that is sent takes the
    # place of the one before.
    said = with_ids(without_leading(new) if way is Way.NAMED else new, talk.calls)
    known = talk.known
    return _Told([*known.messages, *said], expected_system(sent) or known.system, talk.offer or known.offer)


def _goes_on(talk: _Talk, way: Way, told: _Told) -> bool:
    """
    Return whether the process that rests with a conversation has seen just what is told again.
    """
    known = talk.known
    if told.system != known.system or expected_tools(told.offer) != expected_tools(known.offer):
        return False
    return way is not Way.GROWN or canonical(expected_messages(talk.client)) == canonical(
        expected_messages(known.messages)
    )
