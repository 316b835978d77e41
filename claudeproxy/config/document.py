"""
What is written from the table: the reference page, the sample file, and the report of ``--print-config``.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from claudeproxy.config.aliases import ALIASES
from claudeproxy.config.setting import Setting, section_settings
from claudeproxy.config.settings import SECTIONS
from claudeproxy.config.sources import Config
from claudeproxy.config.tables import TABLES, render_tables

__all__ = ["describe", "reference", "report", "sample"]

_REFERENCE_HEAD = """\
# Configuration

<!-- Written by `make reference` from claudeproxy/config/settings.py; a test compares. -->

Nothing is required. Every setting has one name, in four spellings:

| where | spelling | example |
|---|---|---|
| command line | lower case, dashes | `twist claudeproxy --max-body-bytes=1048576` |
| environment | upper case | `MAX_BODY_BYTES=1048576` |
| environment, with the prefix, which wins | upper case | `CLAUDEPROXY_MAX_BODY_BYTES=1048576` |
| configuration file | lower case | `max_body_bytes = 1048576` |

An option wins over the environment, the environment over the file, the file over the default. An empty environment
variable counts as not set. A value that is not allowed stops the start with exit status 1 and one line that names the
setting, where its value came from and what is allowed. `--check-config` only checks; `--print-config` shows every value
with its origin, secrets masked.

The file is [TOML](https://toml.io), named by `CONFIG`; [claudeproxy.toml](claudeproxy.toml) is a full sample.
In it numbers and booleans are written without quotes, lists as arrays, `model_map` as a table. A key that is no setting
is an error.

**Secrets.** A setting marked *secret* can also be read from a file: `API_KEY_FILE=/run/secrets/key`,
`--api-key-file=/run/secrets/key` or `api_key_file = "/run/secrets/key"`. Do not pass secrets as options, since any user
of the machine sees them in the list of processes. In a file of several keys each stands on its own line.

**Changes.** A setting marked *live* takes effect without a restart: at `SIGHUP` the daemon reads the configuration file
and the files of secrets again. [Run it as a daemon](../howto/run-as-a-daemon.md#change-it-while-it-runs) has the
details.
"""

_ALIASES_HEAD = """\
## Names of other gateways

Environment variables that other gateways use are understood, in their spelling alone: no prefix, no option, no key of
the file. They count only where the setting has no value by its own name, wherever that stands; one that is set to
something else is named in the log. Variables of other gateways that are not listed here have no effect.
"""

_TABLES_HEAD = """\
## Tables of the file

Several upstreams, and who stands in for whom, are tables of the configuration file; options and variables cannot say
them. [Several upstreams](../howto/several-upstreams.md) shows their use. In the file they come after all settings.
"""

_SAMPLE_HEAD = """\
# Sample configuration of claudeproxy: every setting with its default, or with nothing where there is none.
# Use it with CONFIG=claudeproxy.toml or --config=claudeproxy.toml. docs/reference/configuration.md has the details.
"""


def describe() -> Iterator[tuple[str, tuple[Setting[Any], ...]]]:
    """
    Return the titles of the sections with their settings; a setting that two sections need is with the first.
    """
    seen: set[str] = set()
    for section in SECTIONS.values():
        rows = tuple(row for _, row in section_settings(section) if row.name not in seen)
        seen.update(row.name for row in rows)
        yield section.title, rows


def reference() -> str:
    """
    Return docs/reference/configuration.md.
    """
    lines = [_REFERENCE_HEAD]
    for title, rows in describe():
        lines += [f"## {title}", "", "| Variable | Option | Default | Must be | Meaning |", "|---|---|---|---|---|"]
        for row in rows:
            marks = [mark for mark, holds in (("secret", row.kind.secret), ("live", row.live)) if holds]
            marked = f" *{', '.join(marks).capitalize()}.*" if marks else ""
            allowed = row.kind.allowed.replace("|", "\\|")
            lines.append(
                f"| `{row.name}` | `--{row.option}` | {_reference_default(row)} | {allowed} | {row.help}{marked} |"
            )
        lines.append("")
    lines += [_ALIASES_HEAD, "| Variable | Stands for | Difference |", "|---|---|---|"]
    lines += [f"| `{alias.name}` | `{alias.setting.name}` | {alias.difference or '—'} |" for alias in ALIASES]
    lines.append("")
    lines += [_TABLES_HEAD]
    for table in TABLES.values():
        lines += [f"### {table.title}", "", table.help, "", "| Key | Must be | Meaning |", "|---|---|---|"]
        for key in table.keys:
            names = f"`{key.name}`, or `{key.name}_file`" if key.kind.secret else f"`{key.name}`"
            secret = " *Secret.*" if key.kind.secret else ""
            lines.append(f"| {names} | {key.kind.allowed} | {key.help}{secret} |")
        lines += ["", "```toml", *table.example, "```", ""]
    return "\n".join(lines)


def _reference_default(row: Setting[Any]) -> str:
    if row.computed_default:
        return row.computed_default
    return f"`{row.default_text}`" if row.default_text else "—"


def sample() -> str:
    """
    Return docs/reference/claudeproxy.toml.
    """
    lines = [_SAMPLE_HEAD]
    for title, rows in describe():
        lines += [f"# -- {title} --", ""]
        for row in rows:
            if row.name == "CONFIG":
                continue
            lines += [f"# {row.help}", f"# Must be {row.kind.allowed}.", f"# {row.toml} = {_sample_default(row)}", ""]
    lines += ["# -- Tables, after all settings --", ""]
    for table in TABLES.values():
        lines += [f"# {line}" for line in wrap(table.help, 110)]
        # Set off from the settings, which can be made real one by one.
        lines += [f"#   {line}" for line in table.example]
        lines.append("")
    return "\n".join(lines)


def _sample_default(row: Setting[Any]) -> str:
    if row.computed_default:
        return f"...  # {row.computed_default}".replace("`", "")
    return "..." if row.default is None else row.kind.render_toml(row.default)


def report(config: Config) -> str:
    """
    Return every setting with its value and origin; secrets are masked.
    """
    lines = []
    for title, rows in describe():
        lines.append(f"# {title}")
        for row in rows:
            reading = config.readings[row.name]
            # What has no value is left out by a comment sign, so that the report is TOML all the same.
            line = f"# {row.toml} =" if reading.value is None else f"{row.toml} = {row.kind.render_toml(reading.value)}"
            lines.append(f"{line:<48}  # {reading.origin}")
        lines.append("")
    lines += render_tables(config.upstreams, config.fallbacks)
    return "\n".join(lines).rstrip()
