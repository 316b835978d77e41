"""
What must not leave the daemon, taken out of error messages, stderr and logs.

The model's own words never pass through here.

Complexity goal: O(length of the text), whatever the text. So a pattern either takes a whole run of characters at once,
possessively, and the next search begins behind it, or it looks ahead a bounded number of characters; whether a run is a
secret is decided by looking at the run.

A secret is known by its beginning. Whoever cuts a text cuts it after this, not before.
"""

from __future__ import annotations

import re

__all__ = ["redact"]

_SECRET = "[redacted]"
_PATH = "[path]"
_ENVIRONMENT = "[env]"


def redact(text: str) -> str:
    """
    Return the text without secrets, stack traces, file paths and references to the environment.

    What only looks alike stays: URLs, routes of the API, hashes, identifiers, prose. Redacting twice changes nothing.
    """
    text = _PEM.sub(_SECRET, text)
    text = _without_traces(text)
    text = _VARIABLE.sub(_ENVIRONMENT, text)
    text = _TOKEN.sub(_SECRET, text)
    text = _SK_RUN.sub(_judge_sk_run, text)
    text = _NAMED.sub(rf"\1{_SECRET}", text)
    text = _BEARER.sub(_judge_bearer, text)
    text = _USERINFO.sub(rf"\1{_SECRET}@", text)
    return _FILE.sub(_keep_url, text)


# -- Secrets ------------------------------------------------------------------

_PEM = re.compile(
    # A block without an end was cut off: everything after its begin belongs to it.
    r"-----BEGIN [A-Z0-9 ]{1,64}-----[^-]*+(?:-(?!----END )[^-]*+)*+(?:-----END [A-Z0-9 ]{1,64}-----)?"
)

_TOKEN = re.compile(
    r"""
      (?: gh[pousr]_ | github_pat_ ) [A-Za-z0-9_]{20,}+             # GitHub
    | AIza [A-Za-z0-9_-]{30,}+                                      # Google: API keys,
    | GOCSPX- [A-Za-z0-9_-]{10,}+                                   # client secrets,
    | ya29\. [A-Za-z0-9_.-]{10,}+                                   # access tokens
    | (?<![A-Z0-9]) (?: AKIA | ASIA | AROA | AIDA ) [A-Z0-9]{16,}+  # AWS key ids
    | (?: (?<![A-Za-z0-9_-]) | (?<=\\[nrt]) ) eyJ [A-Za-z0-9_-]{8,}+ \. [A-Za-z0-9_.-]{8,}+  # JSON web tokens
    """,
    re.VERBOSE,
)

_SK_RUN = re.compile(
    # Anthropic's keys are told by their beginning alone. Others begin like the end of many a word ("task-", "risk-"),
    # unless what stands before is an escaped line break or an escaped byte of a URL.
    r"sk-ant-[A-Za-z0-9_*-]++|(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))sk-[A-Za-z0-9_*-]++"
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


_NAMED = re.compile(
    # The name stays, its value goes, unless it is a placeholder as <key>. Quotes may be escaped, as in nested JSON.
    r"""
    ( (?:
            authorization | (?: api | access | secret | private ) [_-]?key s? | password | passwd | client[_-]?secret
          | (?: auth | access | refresh | session | oauth | id ) [_-]?token
        ) [\\"']{0,4}+ \s{0,4}+ [:=] \s{0,4}+ [\\"']{0,4}+ (?: (?: bearer | basic | token ) \s{1,4}+ )?+
    )
    (?!<) [^\s\\"',;&]++
    """,
    re.VERBOSE | re.IGNORECASE,
)

_BEARER = re.compile(r"(bearer(?:\s{1,4}|%20))([^\s\\\"',;<>]++)|(basic\s{1,4})([A-Za-z0-9+/]{8,}+=*+)", re.IGNORECASE)
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

_SEGMENT = r"/[^\s/\"'`<>|:;,(){}\[\]*?\\!&]++"

_VARIABLE = re.compile(
    # Upper case only, for $schema and $ref are JSON's.
    rf"""
    (?: \$\{{ [A-Za-z_] [^}}\s]{{0,120}} \}}
      | \$ [A-Z_] [A-Z0-9_]++
      | process\.env (?: \. \w++ | \[ ["'] \w{{1,120}} ["'] \] )
      | os\.(?: environ (?:\.get)? | getenv ) [\[(] ["'] \w{{1,120}} ["'] [\])]?
    ) (?: {_SEGMENT} )*+
    """,
    re.VERBOSE,
)

_FILE = re.compile(
    # A URL is taken whole, to be kept. A path begins where no word, bracket or other path ends; routes of our own,
    # which error messages quote, are none.
    rf"""
    (?P<url> (?:https?|wss?):// [^\s"'`<>]++ )
    | file:/{{1,3}} [^\s"'`<>|:;,()]++
    | (?: (?<![\w/.~*)\]}}]) | (?<=\\[nrt]) )
      (?: ~ (?:[a-z_][a-z0-9_-]{{0,31}})? (?:{_SEGMENT})++
        | (?! /(?:v1|chat|health|webui)/ ) {_SEGMENT} (?:{_SEGMENT})++
      ) /?
    """,
    re.VERBOSE,
)


def _keep_url(match: re.Match[str]) -> str:
    return match["url"] or _PATH


# -- Stack traces -------------------------------------------------------------

_PYTHON_FRAME = re.compile(r'File "[^"\n]*", line [0-9]+')
_SCRIPT_PLACE = re.compile(r"(?::[0-9]+:[0-9]+|<anonymous>|native)\)?$")
_ESCAPED_FRAMES = re.compile(r"(?:\\n\s{1,16}at [^\\\"\n]*+)++")


def _without_traces(text: str) -> str:
    """
    Drop the lines of Python's and JavaScript's stack traces; what was raised stays.
    """
    text = _ESCAPED_FRAMES.sub("", text)
    kept: list[str] = []
    frame_indent: int | None = None
    for line in text.split("\n"):
        words = line.strip()
        indent = len(line) - len(line.lstrip())
        if frame_indent is not None and words and indent > frame_indent:
            continue  # the frame's source, and the marks below it
        frame_indent = None
        if _PYTHON_FRAME.match(words):
            frame_indent = indent
        elif not _is_trace_line(words, indent):
            kept.append(line)
    return "\n".join(kept)


def _is_trace_line(words: str, indent: int) -> bool:
    if words.startswith("Traceback (most recent call last)"):
        return True
    return indent > 0 and words.startswith("at ") and _SCRIPT_PLACE.search(words) is not None
