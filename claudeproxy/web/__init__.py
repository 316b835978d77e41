"""
The HTTP side: the only package that touches Klein and ``IRequest``.
"""
