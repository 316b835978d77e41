"""
The control protocol of the Claude Code CLI: JSON lines both ways.

Written from what Claude Code 2.1.329 does on the wire with ``-p --input-format stream-json --output-format stream-json
--verbose --include-partial-messages``; the types are declared in the npm package ``@anthropic-ai/claude-agent-sdk``
(``sdk.d.ts``). New kinds of lines appear with every release, so everything that is not known here decodes to None.

``lines`` decodes what the CLI says, ``requests`` encodes what is said to it.
"""

from claudeproxy.wire.claude_cli.lines import (
    TESTED_VERSION,
    ControlRequest,
    ControlResponse,
    Initialized,
    LimitSignal,
    Line,
    McpRequest,
    Misshapen,
    ModelEvent,
    NotALine,
    Resend,
    SyntheticAnswer,
    TurnResult,
    binary_version,
    decode_line,
    session_cost,
)
from claudeproxy.wire.claude_cli.requests import (
    apply_settings,
    ask_cost,
    initialize,
    interrupt,
    mcp_answer,
    mcp_servers,
    refuse_request,
    show_thinking,
    simple_request,
    tool_answer,
    user_line,
)

__all__ = [
    "TESTED_VERSION",
    "ControlRequest",
    "ControlResponse",
    "Initialized",
    "LimitSignal",
    "Line",
    "McpRequest",
    "Misshapen",
    "ModelEvent",
    "NotALine",
    "Resend",
    "SyntheticAnswer",
    "TurnResult",
    "apply_settings",
    "ask_cost",
    "binary_version",
    "decode_line",
    "initialize",
    "interrupt",
    "mcp_answer",
    "mcp_servers",
    "refuse_request",
    "session_cost",
    "show_thinking",
    "simple_request",
    "tool_answer",
    "user_line",
]
