"""
Sans-io codecs: bytes to values and back, no Twisted.
"""
