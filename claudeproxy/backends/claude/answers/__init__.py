"""
What a turn brings: the answer as it comes, and the errors that end it.
"""
