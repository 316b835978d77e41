"""
Values and rules: no input or output, no Twisted, no JSON.
"""
