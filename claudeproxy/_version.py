"""
The version, alone in its file so that ``setup.py`` can read it without an import.
"""

__version__ = "26.11.0.dev0"
