"""
What a turn asks of the API, and the other ways to ask it where a model refuses one.
"""
