"""
Pictures that requests only link to: fetched, checked, and kept for a while.
"""
