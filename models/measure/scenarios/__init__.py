"""The scenarios of the access patterns, a module for each kind of thing."""
