"""
The processes of the CLI, from launch to end, and what they are told.
"""
