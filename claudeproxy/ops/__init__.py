"""
What cuts across requests: logs, redaction, draining.
"""
