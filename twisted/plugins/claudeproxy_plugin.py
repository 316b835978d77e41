"""
Makes ``twist claudeproxy`` known. This file is imported for every ``twist`` command, so it does nothing else.
"""

from twisted.application.service import ServiceMaker

claudeproxy = ServiceMaker(
    "claudeproxy",
    "claudeproxy.tap",
    "OpenAI's and Anthropic's protocols in front of Claude Code and any compatible API.",
    "claudeproxy",
)
