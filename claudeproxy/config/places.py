"""
Kinds of settings that say where something is: addresses, paths, URLs.
"""

from __future__ import annotations

import os
import re
from ipaddress import ip_address

from attrs import frozen
from hyperlink import URL

from claudeproxy.config.kinds import Kind

__all__ = ["BaseURL", "Host", "Path"]


@frozen
class Host(Kind[str]):
    """
    An address or name to bind.
    """

    allowed = "an IP address or a host name"

    def parse(self, text: str) -> str:
        if re.fullmatch(r"\[.*\]|.*:.*", text):
            return str(ip_address(text.strip("[]")))
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?", text):
            raise ValueError
        return text


@frozen
class Path(Kind[str]):
    """
    A place in the file system; children run in other directories, so it is made absolute.
    """

    bare_name: bool = False
    """Leave a name without a slash alone: it is looked up on ``PATH``."""

    @property
    def allowed(self) -> str:
        return "a path, or a name on PATH" if self.bare_name else "a path"

    def parse(self, text: str) -> str:
        if not text or not text.isprintable():
            raise ValueError
        if self.bare_name and "/" not in text:
            return text
        return os.path.abspath(os.path.expanduser(text))


@frozen
class BaseURL(Kind[str]):
    """
    The address below which an API's paths begin; held without the slash at its end.
    """

    allowed = "an absolute http or https URL without user, query or fragment"

    def parse(self, text: str) -> str:
        if not re.fullmatch("[!-~]+", text):
            raise ValueError
        url = URL.from_text(text)
        odd = url.userinfo or url.query or url.fragment or "?" in text or "#" in text
        if url.scheme not in ("http", "https") or not url.host or not 0 < (url.port or 0) < 65536 or odd:
            raise ValueError
        return url.to_text().rstrip("/")
