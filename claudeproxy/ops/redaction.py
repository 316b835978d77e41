"""
What must not leave the daemon, taken out of error messages, stderr and logs.

The model's own words never pass through here.

A text may come in pieces, cut anywhere: a line is looked at when it is whole, and what reaches over lines (a PEM block,
a stack trace, a name whose value stands below it) is remembered from one to the next.

Complexity goal: O(length of the text), whatever the text. So a pattern takes a whole run of characters and the next
search begins behind it, or it looks ahead a bounded number of characters; whether a run is a secret is decided by
looking at the run. What follows a run within a pattern is never one of the run's own characters, so that giving some
back, as a failed match does, cannot help, and is over as soon as the run. No group is repeated without a bound: that
would cost memory for each time. And no quantifier is possessive: the first releases of Python 3.11 get those wrong.

A secret is known by its beginning. Whoever cuts a text cuts it after this, not before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["Redactor", "redact", "redact_end", "redact_secrets"]

_SECRET = "[redacted]"
_PATH = "[path]"
_ENVIRONMENT = "[env]"
_CUT = "[cut]"

_LONGEST_LINE = 256 * 1024
"""Characters of a line that are looked at; what follows is dropped."""
_LONGEST_BLOCK = 64 * 1024
"""Characters that a PEM block may have before it is believed that its end was lost."""


def redact(text: str) -> str:
    """
    Return the text without secrets, stack traces, file paths and references to the environment.

    What only looks alike stays: URLs, routes of the API, hashes, identifiers, prose. Redacting twice changes nothing.
    """
    redactor = Redactor()
    return redactor.feed(text) + redactor.close()


def redact_secrets(text: str, known: Iterable[str] = ()) -> str:
    """
    Return the text without what is a secret by its own form, and otherwise unchanged: for texts of others that are
    passed on. Unlike :func:`redact` it leaves paths, names of variables, traces, and values that are secret only by the
    name before them.

    :param known: secrets of any form, to be found as they are.
    """
    for secret in known:
        text = text.replace(secret, _SECRET)
    pieces: list[str] = []
    at = 0
    while begin := _PEM_BEGIN.search(text, at):
        end = _PEM_END.search(text, begin.end())
        pieces += (text[at : begin.start()], _SECRET)
        at = len(text) if end is None else end.end()
    text = "".join((*pieces, text[at:]))
    text = _TOKEN.sub(_SECRET, text)
    text = _SK_RUN.sub(_judge_sk_run, text)
    text = _BEARER.sub(_judge_bearer, text)
    return _USERINFO.sub(rf"\1{_SECRET}@", text)


def redact_end(text: str) -> str:
    """
    Redact the end of a longer text, which may begin in the middle of a secret.
    """
    text = text.partition("\n")[2]
    begin, end = _PEM_BEGIN.search(text), _PEM_END.search(text)
    if end is not None and (begin is None or end.start() < begin.start()):
        text = text[end.end() :]
    return redact(text)


class Redactor:
    """
    Redacts one text that comes in pieces. However it was cut, the results together are the same.
    """

    def __init__(self) -> None:
        self._held: list[str] = []
        """The pieces of a line that is not whole yet."""
        self._held_size = 0
        self._before_block: str | None = None
        """Within a PEM block: the line before its begin."""
        self._block_size = 0
        self._traces = _Traces()
        self._name = ""
        """At the end of the last line: a name whose value is still to come."""
        self._began = False

    def feed(self, piece: str) -> str:
        """
        Take the next piece, and return what can be said by now.
        """
        *lines, rest = piece.split("\n")
        said = []
        for line in lines:
            said.append(self._line(self._whole(line)))
        self._hold(rest)
        return "".join(said)

    def close(self) -> str:
        """
        Return what was still held back: the text is complete.
        """
        line = self._line(self._whole(""))
        if self._before_block is None:
            return line
        before, self._before_block = self._before_block, None
        return self._say(before)

    def _hold(self, piece: str) -> None:
        room = _LONGEST_LINE + 1 - self._held_size
        if piece and room > 0:
            self._held.append(piece[:room])
            self._held_size += len(self._held[-1])

    def _whole(self, end: str) -> str:
        """
        Return the line that ends here, or as much of it as is looked at.
        """
        if not self._held and len(end) <= _LONGEST_LINE:
            return end
        self._hold(end)
        line = "".join(self._held)
        self._held, self._held_size = [], 0
        if len(line) > _LONGEST_LINE:
            # Not within a word: half a secret is not recognised as one.
            line = line[:_LONGEST_LINE].rpartition(" ")[0] + _CUT
        return line

    def _line(self, line: str) -> str:
        at = 0
        said = ""
        if self._before_block is not None:
            end = _PEM_END.search(line)
            lasts = self._block_size <= _LONGEST_BLOCK or _PEM_LINE.fullmatch(line) is not None
            if end is None and lasts:
                self._block_size += len(line)
                return ""
            said, self._before_block = self._before_block, None
            at = len(line) if end is None else end.end()
        while begin := _PEM_BEGIN.search(line, at):
            said += line[at : begin.start()] + _SECRET
            end = _PEM_END.search(line, begin.end())
            if end is None:
                self._before_block, self._block_size = said, 0
                return ""
            at = end.end()
        return self._say(said + line[at:])

    def _say(self, line: str) -> str:
        if "\\n" in line:
            line = _ESCAPED_FRAMES.sub("", line)
        if self._traces.has(line):
            return ""
        words = line.lstrip()
        if self._name and words:
            indent = line[: len(line) - len(words)]
            line = indent + _without_named(self._name + words).removeprefix(self._name)
            self._name = ""
        opened = _OPEN_NAME.search(line)
        if opened is not None:
            self._name = f"{opened[1]} " if opened[1] else "authorization="
        line = _without_secrets(line)
        if self._began:
            return f"\n{line}"
        self._began = True
        return line


def _without_secrets(line: str) -> str:
    # Most lines are short and have nothing that a secret needs; to look for that costs less than the rules.
    if "$" in line or "process.env" in line or "os." in line:
        line = _VARIABLE.sub(_ENVIRONMENT, line)
    if len(line) >= _SHORTEST_TOKEN:
        line = _TOKEN.sub(_SECRET, line)
    if "sk-" in line:
        line = _SK_RUN.sub(_judge_sk_run, line)
    line = _without_named(line)
    if "://" in line:
        line = _USERINFO.sub(rf"\1{_SECRET}@", line)
    return _FILE.sub(_keep_url, line) if "/" in line else line


def _without_named(line: str) -> str:
    if ":" in line or "=" in line:
        line = _NAMED.sub(rf"\1{_SECRET}", line)
        line = _without_cookies(line)
        line = _WEAKLY_NAMED.sub(_judge_weakly_named, line)
    return _BEARER.sub(_judge_bearer, line)


# -- Secrets ------------------------------------------------------------------

_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{1,64}-----")
_PEM_LINE = re.compile(r"[A-Za-z0-9+/]{20,}={0,2}\s?")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{1,64}-----")

_SHORTEST_TOKEN = 15
"""Characters that each of these has."""
_TOKEN = re.compile(
    r"""
      (?: gh[pousr]_ | github_pat_ ) [A-Za-z0-9_]{20,}              # GitHub
    | AIza [A-Za-z0-9_-]{30,}                                       # Google: API keys,
    | GOCSPX- [A-Za-z0-9_-]{10,}                                    # client secrets,
    | ya29\. [A-Za-z0-9_.-]{10,}                                    # access tokens
    | xox[abeprs]- [A-Za-z0-9-]{10,}                                # Slack
    | (?<![A-Z0-9]) (?: AKIA | ASIA | AROA | AIDA ) [A-Z0-9]{16,}   # AWS key ids
    | (?: (?<![A-Za-z0-9_-]) | (?<=\\[nrt]) ) eyJ [A-Za-z0-9_-]{8,} \. [A-Za-z0-9_.-]{8,}  # JSON web tokens
    """,
    re.VERBOSE,
)

_SK_RUN = re.compile(
    # Anthropic's keys are told by their beginning alone. Others begin like the end of many a word ("task-", "risk-"),
    # unless what stands before is an escaped line break or an escaped byte of a URL.
    r"sk-ant-[A-Za-z0-9_*-]+|(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))sk-[A-Za-z0-9_*-]+"
)
_SK_KNOWN = ("sk-ant-", "sk-proj-", "sk-svcacct-", "sk-admin-", "sk-or-")
_DIGIT = re.compile(r"[0-9]")
_SEPARATOR = re.compile(r"[_-]")


def _judge_sk_run(match: re.Match[str]) -> str:
    """
    Tell a key from a word such as ``sk-learn-compatible``: a key has a digit early, or a part longer than any word.
    """
    run = match[0]
    parts = _SEPARATOR.split(run[3:])
    longest = max(parts, key=len)
    secret = (
        "*" in run
        or len(longest) >= 20
        or (run.startswith(_SK_KNOWN) and _DIGIT.search(run) is not None)
        or (len(parts[0]) >= 4 and _DIGIT.search(parts[0]) is not None)
        or (len(longest) >= 12 and _DIGIT.search(longest) is not None)
    )
    return _SECRET if secret else run


_NAME = r"""
    (?: authorization | (?: api | access | secret | private ) [_-]?key s? | password | passwd | client[_-]?secret
      | (?: auth | access | refresh | session | oauth | id ) [_-]?token
    ) [\\"']{0,4} \s{0,4} [:=] \s{0,4} [\\"']{0,4}
"""
_SCHEME = r"(?: bearer | basic | token )"

_NAMED = re.compile(
    # The name stays, its value goes, unless it is a placeholder as <key>. Quotes may be escaped, as in nested JSON.
    # A scheme before a placeholder is not taken for the value.
    rf"""( {_NAME} (?: {_SCHEME} \s{{1,4}} | (?! {_SCHEME} \s ) ) ) (?!<) [^\s\\"',;&]+""",
    re.VERBOSE | re.IGNORECASE,
)

# In these an opening bracket ends a value, so that what is put in its place is never taken for a part of one.

_COOKIE = re.compile(
    r"""(?<![a-z0-9]) cookie [\\"']{0,4} \s{0,4} [:=] \s{0,4} [\\"']{0,4}
        (?= [^\s\\"',;:=\[]{1,256} = )""",
    re.VERBOSE | re.IGNORECASE,
)
_COOKIE_VALUE = re.compile(r"""(?: ; \s? )? [^\s\\"',;:=\[]{1,256} = [^\s\\"',;]*""", re.VERBOSE)


def _without_cookies(line: str) -> str:
    """
    Put one mark in the place of all the cookies of a header, however many they are.
    """
    said: list[str] = []
    at = 0
    while (named := _COOKIE.search(line, at)) is not None:
        said += (line[at : named.end()], _SECRET)
        at = named.end()
        while (value := _COOKIE_VALUE.match(line, at)) is not None:
            at = value.end()
    return "".join((*said, line[at:]))


_WEAKLY_NAMED = re.compile(
    r"""( (?<![a-z0-9]) (?: secret | token ) [\\"']{0,4} \s{0,4} [:=] \s{0,4} [\\"']{0,4} )
        (?!<) ( [^\s\\"',;&\[]{8,} )""",
    re.VERBOSE | re.IGNORECASE,
)


def _judge_weakly_named(match: re.Match[str]) -> str:
    """
    Tell a value from prose, as in "unexpected token: identifier": that has no digit, and nothing is assigned to it.
    """
    secret = "=" in match[1] or _DIGIT.search(match[2]) is not None
    return f"{match[1]}{_SECRET}" if secret else match[0]


_OPEN_NAME = re.compile(
    rf"""(?: {_NAME} (?: {_SCHEME} \s{{0,4}} )? | \b( bearer | basic ) \s{{0,4}} ) $""",
    re.VERBOSE | re.IGNORECASE,
)

_BEARER = re.compile(r"(bearer(?:\s{1,4}|%20))([^\s\\\"',;<>]+)|(basic\s{1,4})([A-Za-z0-9+/]{8,}=*)", re.IGNORECASE)
_AFTER_BEARER = re.compile(
    r"auth(?:entication|orization)?|credentials?|format|headers?|is|keys?|of|or|schemes?|tokens?|realm=.*",
    re.IGNORECASE | re.DOTALL,
)


def _judge_bearer(match: re.Match[str]) -> str:
    """
    Tell a token from the prose about bearer tokens and from the challenge ``Bearer realm=...``.
    """
    if match[3]:
        word = match[4]
        return match[0] if word.isalpha() and word[1:].islower() else f"{match[3]}{_SECRET}"
    return match[0] if _AFTER_BEARER.fullmatch(match[2].rstrip(".:)]")) else f"{match[1]}{_SECRET}"


_USERINFO = re.compile(r"(://)[^\s/@:\"']{0,256}:[^\s/@\"']{1,256}@")


# -- Where the daemon runs ----------------------------------------------------

_FORBIDDEN = r"\s\"'`<>|:;,(){}\[\]*?\\!&"
_SEGMENT = rf"/ [^/{_FORBIDDEN}]+"
_REST = rf"/+ [^/{_FORBIDDEN}] [^{_FORBIDDEN}]*"
"""One or more further parts of a path, whether one slash or more are between them."""

_VARIABLE = re.compile(
    # Upper case only, for $schema and $ref are JSON's.
    rf"""
    (?: \$\{{ [A-Za-z_] [^}}\s]{{0,120}} \}}
      | \$ [A-Z_] [A-Z0-9_]+
      | process\.env (?: \. \w+ | \[ ["'] \w{{1,120}} ["'] \] )
      | os\.(?: environ (?:\.get)? | getenv ) [\[(] ["'] \w{{1,120}} ["'] [\])]?
    ) (?: {_REST} )?
    """,
    re.VERBOSE,
)

_HOME = r"~ (?:[a-z_][a-z0-9_-]{0,31})?"
_FIRST = rf"(?! /(?:v1|chat|health|webui)/ ) {_SEGMENT}"
_FILE = re.compile(
    # A URL is taken whole, to be kept. A path begins where no word, bracket or other path ends; routes of our own,
    # which error messages quote, are none.
    rf"""
    (?P<url> (?:https?|wss?):// [^\s"'`<>]+ )
    | file:/{{1,3}} [^\s"'`<>|:;,()]+
    | (?<= (?P<quote>["']) )  # between quotes a path may have blanks
      (?: {_HOME} | {_FIRST} ) {_REST}
      [ ] [^"'`<>\\]{{1,200}} (?= \\{{0,4}} (?P=quote) (?!\w) )
    | (?: (?<![\w/.~*)\]}}]) | (?<=\\[nrt]) )
      (?: {_HOME} | {_FIRST} ) {_REST}
    """,
    re.VERBOSE,
)


def _keep_url(match: re.Match[str]) -> str:
    return match["url"] or _PATH


# -- Stack traces -------------------------------------------------------------

_PYTHON_FRAME = re.compile(r'File "[^"\n]*", line [0-9]+')
_SCRIPT_PLACE = re.compile(r"(?::[0-9]+:[0-9]+|<anonymous>|native)\)?$")
_ESCAPED_FRAMES = re.compile(r"\\n\s{1,16}at [^\\\"\n]*")


class _Traces:
    """
    Tells the lines of Python's and JavaScript's stack traces; what was raised is not among them.
    """

    def __init__(self) -> None:
        self._frame_indent: int | None = None

    def has(self, line: str) -> bool:
        """
        Whether the next line of a text belongs to a trace.
        """
        words = line.strip()
        indent = len(line) - len(line.lstrip())
        if self._frame_indent is not None and words and indent > self._frame_indent:
            return True  # the frame's source, and the marks below it
        self._frame_indent = indent if _PYTHON_FRAME.match(words) else None
        return self._frame_indent is not None or _is_trace_line(words, indent)


def _is_trace_line(words: str, indent: int) -> bool:
    if words.startswith("Traceback (most recent call last)"):
        return True
    return indent > 0 and words.startswith("at ") and _SCRIPT_PLACE.search(words) is not None
