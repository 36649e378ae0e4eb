"""The courses of the access patterns, a module for each kind of thing."""
