"""
Adapters that serve the neutral model, or relay bytes.
"""
