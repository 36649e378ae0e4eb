"""What AP-73 (`models.access_patterns.removal.erase`) is made of; nothing here sends a request outside of it.

`steps` says what goes and in which order, `pages` how one page of it is counted and deleted, `progress` how a removal
keeps its place and its lease, and ends with its receipt.
"""
