"""Reports: the week's numbers and how they are shown.

Nothing here changes data beyond storing a report.
"""
