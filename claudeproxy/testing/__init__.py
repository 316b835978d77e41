"""
Doubles that ship with the package: stubs of both APIs, and the demo that runs on them.
"""
