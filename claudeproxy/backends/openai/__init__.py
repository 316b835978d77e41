"""
OpenAI-compatible upstreams: a pooled client and a relay of bytes.
"""
