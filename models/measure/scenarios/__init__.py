"""The scenarios of the access patterns, one module per topic."""
