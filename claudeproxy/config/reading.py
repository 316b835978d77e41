"""
What all readers of the configuration share.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["ConfigError", "read_text"]


class ConfigError(Exception):
    """
    The configuration cannot be used. The message is one line: the setting, where its value came from, what is allowed.
    """


def read_text(name: str, path: str, origin: str) -> str:
    """
    Return the text of a file.

    :param name: the setting that names the file.
    :param origin: where that came from.
    :raises ConfigError: it cannot be read.
    """
    try:
        return Path(path).expanduser().read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{name} ({origin}): {path!r} is not UTF-8 text") from None
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{name} ({origin}): cannot read {path!r}: {reason}") from None
