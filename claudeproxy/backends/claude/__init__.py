"""
The Claude Code CLI as a backend: which process serves a turn. What it is made of has rooms of its own.
"""
