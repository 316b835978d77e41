"""
The OpenAPI document as a page of HTML that loads nothing and runs nothing.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from html import escape
from typing import Any

__all__ = ["PAGE_POLICY", "page"]

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --name: #06c; }
@media (prefers-color-scheme: dark) { :root { --name: #6bf; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { border-bottom: 1px solid var(--line); margin-top: 3rem; }
h3 { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
code, pre { font: 0.9em/1.4 ui-monospace, monospace; background: var(--soft); border-radius: 4px; }
code { padding: 0.1em 0.3em; overflow-wrap: anywhere; }
pre { padding: 0.8rem; overflow-x: auto; }
div { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.4rem 0.8rem 0.4rem 0; border-bottom: 1px solid var(--line); }
td > p, td > ul { margin: 0; }
ul { padding-left: 1.2rem; }
a { color: var(--name); }
"""

PAGE_POLICY = (
    b"default-src 'none'; style-src 'sha256-%b'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    % b64encode(sha256(_STYLE.encode()).digest())
)
"""The page's ``Content-Security-Policy``: its one style sheet, known by its hash, and nothing else."""

_CODE = re.compile(r"`([^`]*)`")
_METHODS = ("get", "post", "put", "patch", "delete")


def page(document: Mapping[str, Any]) -> str:
    """
    Return the page.
    """
    info = document["info"]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    operations = [
        (method, path, item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    ]
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{_STYLE}</style></head>",
        f"<body><header><h1>{title}</h1>{_prose(info['description'])}",
        '<p>For programs: <a href="/openapi.json">the same as an OpenAPI document</a>.</p></header>',
        f"<nav>{_contents(document, operations)}</nav><main>",
        *_keys(document),
    ]
    for tag in document["tags"]:
        parts.append(f"<h2>{escape(tag['name'])}</h2>")
        for method, path, operation in operations:
            if tag["name"] in operation["tags"]:
                parts += _operation(method, path, operation)
    parts.append('<h2 id="types">Types</h2>')
    for name, schema in document["components"]["schemas"].items():
        parts += _type(name, schema)
    parts.append("</main></body></html>")
    return "\n".join(parts) + "\n"


def _contents(document: Mapping[str, Any], operations: list[tuple[str, str, Any]]) -> str:
    entries = [
        f'<li><a href="#{escape(operation["operationId"])}"><code>{method.upper()} {escape(path)}</code></a> '
        f"{escape(operation['summary'])}</li>"
        for method, path, operation in operations
    ]
    return f'<ul>{"".join(entries)}<li><a href="#types">Types</a></li></ul>'


def _keys(document: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>Keys</h2><ul>"
    for scheme in document["components"]["securitySchemes"].values():
        header = "Authorization: Bearer ..." if scheme["type"] == "http" else f"{scheme['name']}: ..."
        yield f"<li><code>{escape(header)}</code> {escape(scheme['description'])}</li>"
    yield "</ul>"


# -- Operations ---------------------------------------------------------------


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<section id="{escape(operation["operationId"])}"><h3>{method.upper()} {escape(path)}</h3>'
    yield f"<p><strong>{escape(operation['summary'])}.</strong></p>{_prose(operation['description'])}"
    yield f"<p>{'Asks for no key.' if operation.get('security') == [] else 'Asks for a key.'}</p>"
    if parameters := operation.get("parameters"):
        rows = [
            (_code(each["name"]), escape(each["in"]), _kind(each["schema"]), _text(each["description"]))
            for each in parameters
        ]
        yield "<h4>Parameters</h4>" + _table(("name", "in", "type", "meaning"), rows)
    if body := operation.get("requestBody"):
        for media, content in body["content"].items():
            yield f"<h4>Body</h4><p><code>{escape(media)}</code>: {_kind(content['schema'])}</p>"
            for example in content["examples"].values():
                value = json.dumps(example["value"], indent=2)
                yield f"<p>{escape(example['summary'])}:</p><pre>{escape(value)}</pre>"
    rows = [
        (
            _code(status),
            _bodies(reply.get("content", {})),
            _names(reply.get("headers", {})),
            _prose(reply["description"]),
        )
        for status, reply in operation["responses"].items()
    ]
    yield "<h4>Answers</h4>" + _table(("status", "body", "headers", "meaning"), rows)
    yield "</section>"


def _bodies(content: Mapping[str, Any]) -> str:
    return "<br>".join(f"{escape(media)}: {_kind(each['schema'])}" for media, each in content.items())


def _names(headers: Mapping[str, Any]) -> str:
    return "<br>".join(_code(name) for name in headers)


# -- Types --------------------------------------------------------------------


def _type(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f'<section id="type-{escape(name)}"><h3>{escape(name)}</h3>{_prose(schema["description"])}'
    required = schema.get("required", ())
    rows = [
        (_code(key), _kind(each), "yes" if key in required else "no", _text(each.get("description", "")))
        for key, each in schema["properties"].items()
    ]
    yield _table(("name", "type", "required", "meaning"), rows) + "</section>"


def _kind(schema: Mapping[str, Any]) -> str:
    """
    Say a schema in one line.
    """
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#type-{name}">{name}</a>'
    if "contentSchema" in schema:
        return _kind(schema["contentSchema"])
    if "const" in schema:
        return _code(schema["const"])
    if "allOf" in schema:
        return _kind(schema["allOf"][0])
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(_code(json.dumps(value)) for value in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "object" and "data" in schema.get("properties", ()):
        return f"events, the data of each {_kind(schema['properties']['data'])}"
    if kind == "array":
        return f"array of {_kind(schema.get('items', {}))}{_bounds(schema)}"
    if kind == "object" and schema.get("additionalProperties"):
        return f"object of {_kind(schema['additionalProperties'])}{_bounds(schema)}"
    return escape(schema.get("format", kind)) + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    """
    Say what a schema limits.
    """
    said = [
        f"{word} {schema[key]}"
        for word, keys in (
            ("at least", ("minimum", "minLength", "minItems", "minProperties")),
            ("at most", ("maximum", "maxLength", "maxItems", "maxProperties")),
        )
        for key in keys
        if key in schema
    ]
    return f" ({', '.join(said)})" if said else ""


# -- HTML ---------------------------------------------------------------------


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    first = "".join(f"<th>{name}</th>" for name in head)
    rest = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<div><table><thead><tr>{first}</tr></thead><tbody>{rest}</tbody></table></div>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _text(markdown: str) -> str:
    """
    Return a line of the little Markdown that the document has.
    """
    return _CODE.sub(r"<code>\1</code>", escape(markdown))


def _prose(markdown: str) -> str:
    """
    Return paragraphs and lists.
    """
    blocks = []
    for block in markdown.strip().split("\n\n"):
        if block.startswith("- "):
            entries = "".join(f"<li>{_text(line.removeprefix('- '))}</li>" for line in block.split("\n"))
            blocks.append(f"<ul>{entries}</ul>")
        else:
            blocks.append(f"<p>{_text(block)}</p>")
    return "".join(blocks)
