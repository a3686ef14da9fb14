"""The service desk of a firm: its rows as readable files (rows/), and how the demo runs.

Nothing here is used by the product itself.
"""
