"""
State that outlives a request: sessions, keys.
"""
