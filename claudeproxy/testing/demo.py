"""
``twist claudeproxy --demo``: the real relay and the real CLI, in front of stubs that answer with canned words.
"""

from __future__ import annotations

import json
import shlex

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.interfaces import IReactorTCP

from claudeproxy.config import Config, Secret
from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.openai import StubOpenAI

__all__ = ["Demo"]

_PACE = 0.03
"""Seconds between words, so that a person sees them stream."""


@define
class Demo:
    """
    The two stub upstreams.
    """

    _anthropic: StubAnthropic = field(factory=lambda: StubAnthropic(every=_PACE))
    _openai: StubOpenAI = field(factory=lambda: StubOpenAI(every=_PACE))

    @classmethod
    def listen(cls, reactor: IReactorTCP) -> Demo:
        """
        Start both stubs on loopback, each at a free port.
        """
        demo = cls()
        for stub in (demo._anthropic, demo._openai):
            # Nothing in it waits.
            ensureDeferred(stub.listen(reactor))
        return demo

    def stop(self) -> Deferred[list[None]]:
        """
        Stop both.
        """
        return gatherResults([self._anthropic.stop(), self._openai.stop()])

    def configure(self, config: Config) -> Config:
        """
        Point both backends to the stubs, so that no real key is used and nothing leaves the machine.
        """
        return evolve(
            config,
            claude=evolve(
                config.claude,
                api_key=Secret("demo"),
                auth_token=None,
                oauth_token=None,
                login=False,
                base_url=self._anthropic.url,
            ),
            upstream=evolve(
                config.upstream,
                enabled=True,
                api_key=Secret("demo"),
                base_url=f"{self._openai.url}/v1",
                base_url_given=True,
            ),
            upstreams=(),
            fallbacks=(),
            routing=evolve(config.routing, route_claude_models=True),
        )

    def greeting(self, url: str, config: Config) -> str:
        """
        What a person at the terminal is told.
        """
        return "\n".join(
            (
                "",
                f"claudeproxy is listening at {url}",
                "This is the demo: the CLI and the relay are real, the models behind them are stubs. All answers are",
                "canned. No key is used and nothing leaves this machine.",
                "",
                "Claude Code, through the CLI:",
                f"  {self._curl(url, 'sonnet', config)}",
                "An OpenAI-compatible API, by streaming passthrough:",
                f"  {self._curl(url, 'gpt-4o', config)}",
                'Add "stream": true to either body to see it stream. Ctrl-C stops the demo.',
                "",
            )
        )

    def _curl(self, url: str, model: str, config: Config) -> str:
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
        headers = ["Content-Type: application/json"]
        headers += [f"Authorization: Bearer {key.value}" for key in config.auth.api_keys[:1]]
        options = " ".join(f"-H {shlex.quote(header)}" for header in headers)
        socket = url.removeprefix("unix:")
        if socket != url:
            url, options = "http://localhost", f"--unix-socket {shlex.quote(socket)} {options}"
        elif url.startswith("https:"):
            # The certificate is hardly one for this address.
            options = f"-k {options}"
        return f"curl -sN {url}/v1/chat/completions {options} -d {shlex.quote(body)}"
