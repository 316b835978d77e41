"""
The dialect of OpenAI's Chat Completions: requests to the neutral model, events to answers.

``schema`` declares what a request may look like, ``request`` decodes one, ``stream`` and ``completion`` encode what
comes back, ``rewrite`` changes a request that is passed on.
"""

from claudeproxy.wire.openai_chat.answer import AnswerHead
from claudeproxy.wire.openai_chat.completion import CompletionFolder
from claudeproxy.wire.openai_chat.request import ChatBody, Peek, decode_request, peek
from claudeproxy.wire.openai_chat.rewrite import with_model
from claudeproxy.wire.openai_chat.stream import StreamEncoder
from claudeproxy.wire.openai_chat.think_tags import without_thoughts

__all__ = [
    "AnswerHead",
    "ChatBody",
    "CompletionFolder",
    "Peek",
    "StreamEncoder",
    "decode_request",
    "peek",
    "with_model",
    "without_thoughts",
]
