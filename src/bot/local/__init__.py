"""The embedded engine and the embedded model: what `bot serve --local` runs beside the server."""
