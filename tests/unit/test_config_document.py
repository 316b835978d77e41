"""
What is written from the table of settings.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from claudeproxy.config import SETTINGS, load
from claudeproxy.config.document import report, sample


def test_sample_holds_the_defaults(tmp_path: Path) -> None:
    """
    The sample file with its comment signs removed is valid and changes nothing.
    """
    lines = re.findall(r"^# ([a-z_]+ = (?!\.\.\.).*)$", sample(), re.MULTILINE)
    file = tmp_path / "claudeproxy.toml"
    file.write_text("\n".join(lines))
    config = load({"config": str(file)}, {})
    defaults = load({}, {})
    for name in SETTINGS.keys() - {"CONFIG"}:
        assert defaults.readings[name].value == config.readings[name].value


def test_sample_names_every_setting() -> None:
    """
    The sample file has a line for every setting but the one that names the file.
    """
    assert [row.toml for row in SETTINGS.values() if row.name != "CONFIG"] == re.findall(
        r"^# (\w+) = ", sample(), re.MULTILINE
    )


def test_report_masks_secrets() -> None:
    """
    The report shows where a secret came from but not the secret.
    """
    text = report(load({"api-keys": "hush1,hush2"}, {"API_KEY": "hush3", "OPENAI_API_KEY": "hush4"}))
    assert "hush" not in text
    assert re.search(r'^api_keys = \["\*\*\*", "\*\*\*"\] +# option --api-keys$', text, re.MULTILINE)
    assert re.search(r'^openai_api_key = "\*\*\*" +# environment OPENAI_API_KEY$', text, re.MULTILINE)


def test_report_is_toml() -> None:
    """
    The report of a configuration without secrets can be used as a configuration file, in effect the same.
    """
    text = report(load({"port": "1", "model-map": "gpt-5*=opus"}, {"HOME": "/h"}))
    table = tomllib.loads(text)
    assert table["port"] == 1
    assert table["model_map"] == {"gpt-5*": "opus"}
    assert "openai_api_key" not in table
    assert table["state_dir"] == "/h/.local/state/claudeproxy"
