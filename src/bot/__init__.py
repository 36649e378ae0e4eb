"""Turntable's application: the HTTP API, turns and providers over the single table in `models`."""

__version__ = "0.1.0"
