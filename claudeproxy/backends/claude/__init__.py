"""
The Claude Code CLI as a backend: processes, pool, conversations.
"""
