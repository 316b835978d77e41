"""
The dialect of OpenAI's Chat Completions: requests to the neutral model, events to answers.

``schema`` declares what a request may look like, ``request`` decodes one, ``answer`` encodes what comes back,
``rewrite`` changes a request that is passed on.
"""

from claudeproxy.wire.openai_chat.answer import CompletionFolder, StreamEncoder
from claudeproxy.wire.openai_chat.request import ChatBody, Peek, decode_request, peek
from claudeproxy.wire.openai_chat.rewrite import with_model

__all__ = ["ChatBody", "CompletionFolder", "Peek", "StreamEncoder", "decode_request", "peek", "with_model"]
