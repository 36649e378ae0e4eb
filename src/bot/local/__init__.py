"""The embedded engine and the embedded model, which `bot serve --local` runs next to the server."""
