"""
A scripted stand-in for the Claude Code CLI, for faults that the real one does not have to offer.

It speaks the control protocol on stdin and stdout: every control request succeeds, a user line is answered by stream
events, the assistant's message and a result, in the shapes of Claude Code 2.1.329. Its first argument is a JSON object
of the options below; the CLI's own arguments follow. ``tests.helpers.scripted_cli`` writes a wrapper that gives them.

Standard library only, one file: it is started as often as the CLI would be.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
import uuid

OPTIONS = {
    # What is wrong with it; see the functions at the end.
    "mode": "normal",
    # The answer: so many deltas of this text, so many seconds apart.
    "text": "word ",
    "deltas": 3,
    "every": 0.0,
    # Seconds before it reads anything.
    "boot_delay": 0.0,
    # What it exits with and says on stderr when it dies.
    "exit_code": 3,
    "stderr": "scripted failure",
    # In the mode dies-mid-turn: after so many deltas.
    "after": 1,
    # In the modes huge-line and floods-stderr: how many bytes.
    "size": 0,
    # In the mode fails: the status and the words of the API's error.
    "status": 500,
    "message": "API Error: scripted",
    # What it does not react to: any of "TERM", "INT", "eof", "interrupt".
    "ignores": [],
    # What it answers to --version.
    "version": "2.1.329",
    # A file that gets a JSON line for each start and for each line of stdin.
    "log": "",
}

VERSION = "2.1.329"


class Script:
    """
    One process: what it was told, and the turn that it is in.
    """

    def __init__(self, options, arguments):
        self.options = {**OPTIONS, **options}
        self.session_id = self.argument(arguments, "--resume") or self.argument(arguments, "--session-id")
        self.session_id = self.session_id or str(uuid.uuid4())
        self.arguments = arguments
        self.lines = queue.Queue()
        self.turns = 0

    @staticmethod
    def argument(arguments, name):
        for at, argument in enumerate(arguments):
            if argument.startswith(name + "="):
                return argument.partition("=")[2]
            if argument == name and at + 1 < len(arguments):
                return arguments[at + 1]
        return None

    # -- Reading and writing --------------------------------------------------

    def log(self, **entry):
        if self.options["log"]:
            with open(self.options["log"], "a") as log:
                log.write(json.dumps({"pid": os.getpid(), **entry}) + "\n")

    def read(self):
        """Put stdin's lines into the queue, None at its end; a thread's work, since a turn must hear an interrupt."""
        for line in sys.stdin.buffer:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def write(self, data):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def say(self, **line):
        self.write(json.dumps(line).encode() + b"\n")

    def event(self, **event):
        self.say(
            type="stream_event",
            event=event,
            session_id=self.session_id,
            parent_tool_use_id=None,
            uuid=str(uuid.uuid4()),
        )

    # -- Life -----------------------------------------------------------------

    def run(self):
        self.log(event="start", argv=self.arguments, cwd=os.getcwd(), env=dict(os.environ))
        for name in ("TERM", "INT"):
            if name in self.options["ignores"]:
                signal.signal(getattr(signal, "SIG" + name), signal.SIG_IGN)
        if self.arguments == ["--version"]:
            self.write(f"{self.options['version']} (Claude Code)\n".encode())
            os._exit(0)
        time.sleep(self.options["boot_delay"])
        if self.options["mode"] == "dies-at-start":
            self.die()
        if self.options["mode"] == "holds-stdout":
            child = os.fork()
            if child == 0:
                time.sleep(600)
                os._exit(0)
            self.log(event="child", child=child)
        threading.Thread(target=self.read, daemon=True).start()
        while True:
            line = self.lines.get()
            if line is None:
                self.end_of_input()
            self.log(event="line", line=line)
            if line["type"] == "control_request":
                self.control(line)
            elif line["type"] == "user":
                self.turn(line)

    def end_of_input(self):
        while "eof" in self.options["ignores"]:
            time.sleep(600)
        # Other threads may hold stdin's lock, which an ordinary exit would wait for.
        os._exit(0)

    def die(self):
        sys.stderr.write(self.options["stderr"])
        sys.stderr.flush()
        os._exit(self.options["exit_code"])

    def hang(self):
        """Do nothing, but hear an interrupt and the end of input; return when interrupted."""
        while not self.interrupted(600):
            pass

    def interrupted(self, seconds):
        """Wait so long, answering control requests; return True at an interrupt."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return False
            if line is None:
                self.end_of_input()
            self.log(event="line", line=line)
            asked = self.control(line) if line["type"] == "control_request" else None
            if asked == "interrupt" and "interrupt" not in self.options["ignores"]:
                return True

    def control(self, line):
        subtype = line["request"]["subtype"]
        if self.options["mode"] == "deaf":
            return subtype
        if self.options["mode"] == "another-protocol":
            self.say(jsonrpc="2.0", id=line["request_id"], error={"code": -32601, "message": "Method not found"})
            return subtype
        payload = {"version": VERSION} if subtype == "get_binary_version" else {}
        if subtype == "interrupt":
            payload = {"still_queued": []}
        self.say(
            type="control_response",
            response={"subtype": "success", "request_id": line["request_id"], "response": payload},
        )
        return subtype

    # -- A turn ---------------------------------------------------------------

    def turn(self, line):
        self.turns += 1
        mode = self.options["mode"]
        if mode == "wrong-session-id":
            self.session_id = str(uuid.uuid4())
        if mode == "another-protocol":
            return None
        if mode == "hangs-before-turn":
            self.hang()
            return self.interrupted_result()
        self.say(type="system", subtype="init", session_id=self.session_id, tools=[], claude_code_version=VERSION)
        if mode == "fails":
            return self.failed_result()
        if mode == "floods-stderr":
            sys.stderr.write("e" * self.options["size"])
            sys.stderr.flush()
        if mode == "huge-line":
            self.huge_line()
        if mode == "garbage":
            self.garbage()
        message = {"id": f"msg_{self.turns}", "type": "message", "role": "assistant", "model": "claude-scripted"}
        usage = {"input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3, "output_tokens": 1}
        self.event(type="message_start", message={**message, "content": [], "stop_reason": None, "usage": usage})
        self.event(type="content_block_start", index=0, content_block={"type": "text", "text": ""})
        for number in range(self.options["deltas"]):
            if mode == "dies-mid-turn" and number == self.options["after"]:
                self.write(b'{"type":"stream_event","event":{"type":"content_bl')
                self.die()
            if mode == "hangs-mid-turn" and number == self.options["after"]:
                self.hang()
                return self.interrupted_result()
            if self.interrupted(self.options["every"] if number else 0.0):
                return self.interrupted_result()
            delta = {"type": "text_delta", "text": self.options["text"]}
            self.event(type="content_block_delta", index=0, delta=delta)
        text = self.options["text"] * self.options["deltas"]
        usage = {**usage, "output_tokens": self.options["deltas"]}
        content = [{"type": "text", "text": text}]
        self.say(
            type="assistant",
            message={**message, "content": content, "stop_reason": None, "usage": usage},
            parent_tool_use_id=None,
            session_id=self.session_id,
        )
        self.event(type="content_block_stop", index=0)
        self.event(type="message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=usage)
        self.event(type="message_stop")
        self.result(subtype="success", is_error=False, result=text, stop_reason="end_turn", usage=usage)

    def result(self, **fields):
        self.say(
            type="result",
            session_id=self.session_id,
            total_cost_usd=0.001 * self.turns,
            num_turns=self.turns,
            duration_ms=1,
            uuid=str(uuid.uuid4()),
            **fields,
        )

    def interrupted_result(self):
        content = [{"type": "text", "text": "[Request interrupted by user]"}]
        self.say(type="user", message={"role": "user", "content": content}, session_id=self.session_id)
        self.result(
            subtype="error_during_execution",
            is_error=True,
            stop_reason=None,
            terminal_reason="aborted_streaming",
            errors=["scripted interruption"],
            usage={"input_tokens": 0, "output_tokens": 0},
        )

    def failed_result(self):
        text = self.options["message"]
        content = [{"type": "text", "text": text}]
        self.say(
            type="assistant",
            message={"model": "<synthetic>", "role": "assistant", "content": content},
            session_id=self.session_id,
            is_api_error_message=True,
            api_error_status=self.options["status"],
        )
        self.result(
            subtype="success",
            is_error=True,
            api_error_status=self.options["status"],
            terminal_reason="api_error",
            result=text,
            stop_reason="stop_sequence",
            usage={"input_tokens": 0, "output_tokens": 0},
        )

    def huge_line(self):
        """Write one line of exactly ``size`` bytes, its newline not counted."""
        head, tail = b'{"type":"a_kind_of_tomorrow","filler":"', b'"}'
        self.write(head + b"x" * (self.options["size"] - len(head) - len(tail)) + tail + b"\n")

    def garbage(self):
        """Write lines that are not the protocol's, or not of today's."""
        for line in (
            b"not JSON",
            b"\xff\xfe\x00",
            b"[]",
            b"42",
            b"",
            b"{}",
            b'{"type":"a_kind_of_tomorrow"}',
            b'{"type":',
        ):
            self.write(line + b"\n")


if __name__ == "__main__":
    Script(json.loads(sys.argv[1]), sys.argv[2:]).run()
