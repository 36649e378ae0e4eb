"""Measurement of the access patterns: each request on the wire, checked against the declarations, and its cost.

The tests check their own requests with it, and `bot patterns measure` produces the figures of the documentation.
"""
