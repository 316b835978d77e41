"""
Doubles that ship with the package: stub upstreams and in-memory wiring.
"""
