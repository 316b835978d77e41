"""
The form that a Chat Completions request asks the answer's text to have.
"""

from __future__ import annotations

import re

from claudeproxy.core.chat import AnswerFormat
from claudeproxy.wire.openai_chat.schema import ResponseFormat
from claudeproxy.wire.openai_chat.schemas import fit_answer_schema
from claudeproxy.wire.validation import invalid, missing

__all__ = ["decode_format"]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def decode_format(format: ResponseFormat | None) -> AnswerFormat | None:
    """
    Return the form of the answer's text; None leaves it free.

    :raises MissingParameter: a schema is announced and not there.
    :raises InvalidValue: a name that OpenAI does not allow, or a schema that is not an object's or nests too deeply.
    """
    if format is None or format.type == "text":
        return None
    if format.type == "json_object":
        return AnswerFormat()
    described = format.json_schema
    if described is None:
        raise missing("response_format.json_schema")
    if not _NAME.fullmatch(described.name):
        raise invalid("response_format.json_schema.name", "1 to 64 letters, digits, underscores or dashes")
    if described.schema is None:
        raise missing("response_format.json_schema.schema")
    schema = fit_answer_schema(described.schema, "response_format.json_schema.schema")
    return AnswerFormat(schema, described.name, described.description or "")
