"""
One door for OpenAI's and Anthropic's protocols to Claude Code and any compatible API.

Importing this package imports neither Twisted nor the reactor.
"""

from claudeproxy._version import __version__

__all__ = ["__version__"]
