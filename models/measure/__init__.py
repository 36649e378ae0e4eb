"""What the access patterns take: each request as it goes over the wire, held against the declarations, and its cost.

Tests watch themselves with it, and `bot patterns measure` makes the figures of the documentation.
"""
