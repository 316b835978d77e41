"""
The dialect of OpenAI's Chat Completions: requests to the neutral model, events to answers.

``schema`` declares what a request may look like, ``request`` decodes one, ``answer`` encodes what comes back.
"""

from claudeproxy.wire.openai_chat.answer import CompletionFolder, StreamEncoder
from claudeproxy.wire.openai_chat.request import ChatBody, Peek, decode_request, peek

__all__ = ["ChatBody", "CompletionFolder", "Peek", "StreamEncoder", "decode_request", "peek"]
