"""
Packaging. Everything that a tool can read from elsewhere is elsewhere: tox.ini, .ci/ruff.toml, docs/towncrier.toml.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search('__version__ = "(.+)"', (HERE / "claudeproxy" / "_version.py").read_text("utf-8")).group(1)

CLI = ["claude-agent-sdk==0.2.186"]  # carries the CLI that is tested against
TEST = [
    "build",
    "h11>=0.16",
    "hypothesis>=6.170",
    "jsonschema>=4.23",
    "openai>=3.52",
    "pytest>=9.2",
    "pytest-twisted>=1.14.3",
    "pytest-xdist>=3.8",
    "schemathesis>=4.32",
]
LINT = ["mypy>=2.4", "mypy-zope>=1.0.17", "ruff>=0.17.5"]
# Clients that are tested against the daemon, and no part of it. An extra each where their requirements exclude each
# other's, so none of them can be in "dev": `make clients` gives each extra an environment.
CLIENTS = {
    "clients": [
        "langchain==1.4.7",
        "langchain-openai==1.7.3",
        "llm==0.36",
        "openai==3.54.0",
        "pydantic-ai-slim[openai]==2.68.0",
    ],
    "client-aider": ["aider-chat==0.86.2"],
    "client-instructor": ["instructor==1.17.0", "openai==3.3.0"],
    "client-llama-index": ["llama-index-core==0.14.25", "llama-index-llms-openai-like==0.8.1", "openai==2.54.0"],
}

setup(
    name="claudeproxy",
    version=VERSION,
    description="OpenAI's and Anthropic's protocols in front of Claude Code and any compatible API.",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    author="The claudeproxy authors",
    license="MIT",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: No Input/Output (Daemon)",
        "Framework :: Twisted",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3 :: Only",
        # Those that are tested: `make test` and `make pythons`.
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.15",
        "Topic :: Internet :: Proxy Servers",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    # twisted.plugins is a namespace that Twisted searches; it has no __init__.py, so it must be named. The explicit
    # package_dir has an editable install put this directory on sys.path, where the plugin search looks.
    packages=[*find_packages(include=["claudeproxy", "claudeproxy.*"]), "twisted.plugins"],
    package_dir={"": "."},
    package_data={"claudeproxy": ["py.typed"]},
    include_package_data=False,
    zip_safe=False,
    install_requires=[
        "Twisted[tls]>=26.10",
        "attrs>=24.2",
        "hyperlink>=21.0",
        "klein>=24.8",
        "limits>=5.8",
        "msgspec>=0.19",
        "treq>=26.7",
        "zope.interface>=7.0",
    ],
    extras_require={
        "cli": CLI,
        "test": CLI + TEST,
        "lint": LINT,
        "dev": [*CLI, *TEST, *LINT, "towncrier>=25.8", "tox>=4.30"],
        **CLIENTS,
    },
)
