"""
What is taken out of errors, stderr and logs, and what stays readable.
"""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.ops.redaction import Redactor, redact, redact_end

PEM_BODY = "MIIEpAIBAAKCAQEA7\n+x/yz-abc=\n"
SECRETS = [
    # Anthropic
    "sk-ant-api03-AbCdEf_123-xyz",
    "sk-ant-oat01-abcdefghijklmnop-qrstuvwxyz_0123456789AA",
    "sk-ant-abcdefghijklmnopqrstuvwx",
    # OpenAI, and those who make keys like them
    "sk-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKL",
    "sk-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv",
    "sk-proj-Ab1_c-D2efgh",
    "sk-svcacct-0a1b2c3d4e",
    "sk-admin-XyZ123",
    "sk-or-v1-0123456789abcdef0123456789abcdef",
    "sk-0123456789abcdef0123456789abcdef",
    "sk-1234",
    "sk-proj-********************abcd",
    # AWS
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    # GitHub
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "gho_0123456789abcdefghijABCDEFGHIJ012345",
    "ghs_0123456789abcdefghijABCDEFGHIJ012345",
    "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
    # Google
    "AIzaSyA-0123456789_abcdefghijklmnopqrstu",
    "GOCSPX-abcdefghij_KLMNOP",
    "ya29.a0AfH6SMBx-abc_def.ghi",
    # Slack
    "xoxb-123456789012-abcdefGHIJKL",
    # Tokens and keys in general
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln-bmF0_dXJl",
    f"-----BEGIN RSA PRIVATE KEY-----\n{PEM_BODY}-----END RSA PRIVATE KEY-----",
    f"-----BEGIN OPENSSH PRIVATE KEY-----\n{PEM_BODY}-----END OPENSSH PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----",
]
AROUND = ["{}", "before {} after", '{{"error": "{}"}}', "key={}", "'{}'", "({})", "a:{},b", "x\n{}\ny", "x\\n{}"]


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_taken_out_wherever_they_stand(secret: str, around: str) -> None:
    """Keys are found in prose, in JSON, in assignments and at line breaks, and what is around them stays."""
    assert redact(around.format(secret)) == around.format("[redacted]")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Authorization: Bearer my-secret", "Authorization: Bearer [redacted]"),
        ("authorization: letmein", "authorization: [redacted]"),
        ('{"Authorization": "Basic dXNlcjpw"}', '{"Authorization": "Basic [redacted]"}'),
        ("(b'authorization', b'Bearer abc')", "(b'authorization', b'Bearer [redacted]')"),
        ("got bearer abc.def-123~x", "got bearer [redacted]"),
        ("Basic dXNlcjpwYXNzd29yZA==", "Basic [redacted]"),
        ("x-api-key: letmein", "x-api-key: [redacted]"),
        ("X-OpenAI-API-Key: letmein", "X-OpenAI-API-Key: [redacted]"),
        ("ANTHROPIC_API_KEY=letmein", "ANTHROPIC_API_KEY=[redacted]"),
        ("ANTHROPIC_AUTH_TOKEN='letmein'", "ANTHROPIC_AUTH_TOKEN='[redacted]'"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfi", "aws_secret_access_key = [redacted]"),
        ('"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG"', '"SecretAccessKey": "[redacted]"'),
        ('{\\"api_key\\": \\"letmein\\"}', '{\\"api_key\\": \\"[redacted]\\"}'),
        ("password=hunter2&user=ann", "password=[redacted]&user=ann"),
        ("Cookie: session=letmein; theme=dark", "Cookie: [redacted]"),
        ("set-cookie: sid=letmein; Path=/; HttpOnly", "set-cookie: [redacted]; HttpOnly"),
        (
            "cookie: a=1;b=2; Cookie: c=3, cookie=d=4 e=5",
            "cookie: [redacted]; Cookie: [redacted], cookie=[redacted] e=5",
        ),
        ('{"Cookie": "a=1; b=2", "x": 1}', '{"Cookie": "[redacted]", "x": 1}'),
        ("https://example.com/?token=letmeinplease&x=1", "https://example.com/?token=[redacted]&x=1"),
        ("secret=letmeinplease", "secret=[redacted]"),
        ('"token": "letmein1234"', '"token": "[redacted]"'),
        ("https://ann:hunter2@example.com/a/b", "https://[redacted]@example.com/a/b"),
        ("postgresql://ann:hunter2@db/claudeproxy", "postgresql://[redacted]@db/claudeproxy"),
        (
            "https://example.com/v1?key=AIzaSyA-0123456789_abcdefghijklmnopqrstu",
            "https://example.com/v1?key=[redacted]",
        ),
        ("https://example.com/?k%3Dsk-proj-Ab1cD2efgh", "https://example.com/?k%3D[redacted]"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEpAIB", "[redacted]"),
    ],
)
def test_secrets_are_known_by_what_stands_before_them(text: str, redacted: str) -> None:
    """Headers, settings, URLs with passwords, and a key that was cut off before its end."""
    assert redact(text) == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("ENOENT: no such file or directory, open '/home/ann/.claude/settings.json'", "open '[path]'"),
        ("at /usr/lib/node_modules/x/cli.js:3:14", "at [path]:3:14"),
        ("cwd=/var/lib/claudeproxy/state", "cwd=[path]"),
        ("Error:/Users/ann/project", "Error:[path]"),
        ("x\\n/opt/claude/bin/claude", "x\\n[path]"),
        ("open '/home/ann/My Documents/a (1).txt' failed", "open '[path]' failed"),
        ('{"error": "no \\"/srv/a b/c d\\" here"}', '{"error": "no \\"[path]\\" here"}'),
        ("file:///etc/passwd and file:/etc/passwd", "[path] and [path]"),
        ("~/.ssh/id_rsa ~ann/notes ~/x", "[path] [path] [path]"),
        ("/srv/gr\u00fc\u00dfe/x", "[path]"),
        ("in /home/ann//notes/a.txt, /srv//x and ~//x/", "in [path], [path] and [path]"),
        ("no '/srv//a b/c' here, $HOME//x/", "no '[path]' here, [env]"),
        ("(/a/b) [/a/b] </a/b> |/a/b|", "([path]) [[path]] <[path]> |[path]|"),
        ("set $HOME or ${API_KEY:-none}", "set [env] or [env]"),
        ("$HOME/.claude/x and ${XDG_STATE_HOME}/y", "[env] and [env]"),
        ("process.env.ANTHROPIC_API_KEY is empty", "[env] is empty"),
        ("process.env['HOME'] + os.environ[\"HOME\"]", "[env] + [env]"),
        ("os.environ.get('HOME') or os.getenv('HOME')", "[env] or [env]"),
    ],
)
def test_paths_and_the_environment_are_taken_out(text: str, redacted: str) -> None:
    """Nobody learns from an error how the machine is set up."""
    assert redact(text).endswith(redacted)


PYTHON_TRACE = """\
Starting
Traceback (most recent call last):
  File "/opt/app/main.py", line 10, in <module>
    run(
        secret,
    )
    ^^^^
  File "<string>", line 3, in run
    raise ValueError("bad")

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/opt/app/main.py", line 12, in <module>
KeyError: 'bad'
Goodbye
"""
SCRIPT_TRACE = """\
TypeError: x is not a function
    at Object.<anonymous> (/home/ann/a.js:1:23)
    at async run (node:internal/modules/run_main:129:12)
    at new Promise (<anonymous>)
\tat C:/x/b.js:4:5\r
    at the end of the day
Goodbye
"""


def test_stack_traces_lose_their_frames() -> None:
    """What was raised stays; where, and the source around it, goes."""
    assert redact(PYTHON_TRACE) == (
        "Starting\n\nDuring handling of the above exception, another exception occurred:\n\nKeyError: 'bad'\nGoodbye\n"
    )
    assert redact(SCRIPT_TRACE) == "TypeError: x is not a function\n    at the end of the day\nGoodbye\n"


def test_a_stack_trace_within_json_loses_its_frames() -> None:
    """A logged error object is one line, with its line breaks escaped."""
    line = '{"stack": "TypeError: x\\n    at f (/a/b.js:1:2)\\n    at g (/a/b.js:3:4)", "code": 1}'

    assert redact(line) == '{"stack": "TypeError: x", "code": 1}'


INNOCENT = [
    "The task-force is risk-free; its disk-usage asks for sk-learn and sk-learn-compatible-estimators-1.4.",
    "Use a key such as sk-... or sk-ant-...; see sk-admin-panel and desk-proj-plan.",
    "Missing bearer authentication. A bearer token is required; Basic Authentication is not.",
    'WWW-Authenticate: Bearer realm="claudeproxy"',
    "Send it as 'Authorization: Bearer <key>'.",
    "Set ANTHROPIC_API_KEY or API_KEYS. No API key was given.",
    "max_tokens: 777, input_tokens=5, password rules, tokens: none",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b, sha256:" + "0f" * 32,
    "session 550e8400-e29b-41d4-a716-446655440000, req_011CSHoEeqs5C35K2UUqR7Fy, msg_01XFDUDYJgAACzvnptvVoYEL",
    "See https://example.com/docs/errors/codes?x=1#top, http://[::1]:8000/a/b and wss://example.com/a/b.",
    "No route for POST /v1/chat/completions/x; try /v1/models/{id}, /health/live or /chat/completions.",
    "text/event-stream, application/json, and/or, client/server, 1/2/3, TCP/IP, n/a, / and // and /etc",
    "./relative/path and ../other/path and src/app/main.py",
    "It costs $5 or US$100. Expected `$.messages[0].role`, see $schema and $ref.",
    "<b>bold</b></div> a < b > c",
    "Invalid value for 'temperature': expected a number from 0 to 2, got a string.",
    "AKIA is short for a key id; AKIAISTOOSHORT; eyJ is how a token begins; ghp_short; AIzaShort.",
    "Unexpected token: identifier; the secret: patience. token=none, Cookie: none, cookie: a small cake.",
    "The route '/v1/models and more' isn't there; a 'token' is a word, xoxo-hugs.",
    "meet me\n   at the corner\n   at 10:30:15 sharp",
    "ein h\u00fcbscher Satz \U0001f600 \x00 \ud83d",
    "",
]


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_looks_alike_stays(text: str) -> None:
    """Prose, routes, URLs, hashes and identifiers are what makes an error message useful."""
    assert redact(text) == text


BEGINNINGS = [
    "sk-", "sk-ant-", "sk-a*", "-----BEGIN A-----", "-----BEGIN A-----x", "-----END A-----", "-----", "--", "-",
    "eyJ", "eyJa.", "AIza", "gh", "ghp_a", "github_pat_", "ya29.", "AKIA", "bearer ", "bearer a", "basic ", "api_key",
    "api_key=", "api_key= ", "api_key\\\"", "authorization : ", "://", "://a:", "://a", "http://", "file:",
    "token=", "token: ", "secret=a", "secret", "cookie: ", "Cookie: a=", "cookie=b; c=", "; a=b", "xoxb-", "xoxb-a",
    "'/a/b ", '"/a/b c', '\\\\"/a/b ', "'~/a ", "abcdefgh", "[",
    "/", "//", "/a", "/a/", "/v1/", "~a", "~a/", "a-", "a.", "$", "$A", "${A", "}", "@", "process.env", "process.env['",
    "os.environ['", "\\n at ", "\\n   at x", "\n   at ", "\n   at :1:1", " at :1:1 ", ":1", '  File "',
    '\n  File "x", line 1\n   ', "Traceback (most recent call last)", "\n", " ", " \n", "a", "A", "0", "\\", '"', "'",
    "%", "%0", "[redacted]", "\u00e9",
]  # fmt: skip
fragments = st.sampled_from([*(f"{secret} " for secret in SECRETS), *BEGINNINGS])


@given(st.lists(fragments, max_size=12).map("".join))
def test_redacting_twice_changes_nothing(text: str) -> None:
    """A message that is redacted where it arises and again where it is logged reads the same."""
    once = redact(text)

    assert redact(once) == once


def in_pieces(*pieces: str) -> str:
    """
    Redact a text that comes in pieces.
    """
    redactor = Redactor()
    return "".join(map(redactor.feed, pieces)) + redactor.close()


@pytest.mark.parametrize("words", [*SECRETS, *INNOCENT, PYTHON_TRACE, SCRIPT_TRACE])
def test_a_text_that_is_cut_anywhere_reads_the_same(words: str) -> None:
    """A secret that is split over two pieces is found all the same, and what only looks like one stays."""
    for text in (f"password: {words}, and\nmore", f'{{"error": "{words}"}}'):
        assert [redact(text)] * len(text) == [in_pieces(text[:at], text[at:]) for at in range(len(text))]


@given(st.lists(fragments, max_size=12).map("".join), st.lists(st.integers(0, 200)))
def test_a_text_that_is_cut_in_many_places_reads_the_same(text: str, cuts: list[int]) -> None:
    """It does not matter how a text came, byte by byte or all at once."""
    places = [0, *sorted(cuts), len(text)]

    assert redact(text) == in_pieces(*(text[a:b] for a, b in pairwise(places)))
    assert redact(text) == in_pieces(*text)


@given(st.lists(fragments, max_size=12).map("".join), st.integers(0, 200))
def test_what_was_said_is_not_taken_back(text: str, at: int) -> None:
    """Each piece of the result can be sent on at once."""
    redactor = Redactor()

    assert redact(text).startswith(redactor.feed(text[:at]))


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("password:\n  hunter2 and more", "password:\n  [redacted] and more"),
        ('{"api_key":\n\n "letmein"}', '{"api_key":\n\n "[redacted]"}'),
        ("Authorization: Bearer\n  my-secret", "Authorization: [redacted]\n  [redacted]"),
        ("send the bearer\nabc.def-123~x", "send the bearer\n[redacted]"),
        ("send the bearer\ntoken with it", "send the bearer\ntoken with it"),
        ("password:\n<your password>\nhunter2", "password:\n<your password>\nhunter2"),
    ],
)
def test_a_value_below_its_name(text: str, redacted: str) -> None:
    """A line break between a name and its value hides nothing."""
    assert redact(text) == redacted


def test_a_line_without_an_end_takes_no_memory() -> None:
    """Of an endless line the beginning is read, up to a word's end, and the rest is not even kept."""
    redactor = Redactor()
    for _ in range(1000):
        assert redactor.feed("key sk-proj-Ab1_c-D2efgh " * 100) == ""
    said = redactor.feed("\nnext") + redactor.close()

    assert said.endswith("key [redacted][cut]\nnext") or said.endswith("key[cut]\nnext")
    assert len(said) < 300_000
    assert "sk-proj" not in said


def test_a_block_without_an_end_is_given_up() -> None:
    """The mention of a block's begin does not silence a process for ever."""
    redactor = Redactor()
    said = redactor.feed("see -----BEGIN X-----\n" + "line\n" * 30_000 + "later\n") + redactor.close()

    assert said.startswith("see [redacted]\nline\n")
    assert said.endswith("line\nlater\n")


def test_a_key_without_an_end_is_never_said() -> None:
    """However long it is: the block is only given up where something else comes."""
    text = "-----BEGIN PRIVATE KEY-----\n" + f"{'Ab+/' * 16}\n" * 2_000 + "and then\nmore\n"

    assert redact(text) == "[redacted]\nmore\n"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("proj-Ab1_c-D2efgh is the rest of a key\nnext", "next"),
        (f"x\n{PEM_BODY}-----END A-----\nnext", "\nnext"),
        (f"x\nfirst\n-----BEGIN A-----\n{PEM_BODY}-----END A-----\nnext", "first\n[redacted]\nnext"),
        ("only half a line", ""),
    ],
)
def test_an_end_begins_with_a_whole_line(text: str, redacted: str) -> None:
    """Where the beginning was cut off, half a secret is dropped, be it a line's or a block's."""
    assert redact_end(text) == redacted


def cpu_seconds(text: str) -> float:
    """
    Return the processor time that redacting the text takes: other work on the machine does not count.
    """
    before = time.process_time()
    redact(text)
    return time.process_time() - before


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_no_text_takes_more_than_linear_time(beginning: str) -> None:
    """64 KiB of whatever is worst take milliseconds; if each start searched to the end, it would be minutes."""
    text = (beginning * (2**16 // len(beginning) + 1))[: 2**16]

    assert cpu_seconds(text) < 1.5
    assert cpu_seconds(text + "\x00") < 1.5


def test_a_mebibyte_of_everything_takes_linear_time() -> None:
    """All that could be a beginning of something, mixed, is no worse."""
    text = "".join(BEGINNINGS)

    assert cpu_seconds((text * (2**20 // len(text) + 1))[: 2**20]) < 20


def test_lines_with_nothing_in_them_are_cheap() -> None:
    """A line without any of the characters that a secret needs costs far less than one that has to be searched."""
    assert cpu_seconds("nothing in here\n" * 30_000) * 2 < cpu_seconds("$ sk- :// / = n\n" * 30_000)
