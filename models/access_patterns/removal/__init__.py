"""The implementation of AP-73 (`models.access_patterns.removal.erase`).

`steps` defines what is deleted in which order, `pages` counts and deletes one page of it, and `progress` stores a
removal's checkpoints, renews its lease, and writes the receipt at the end.
"""
