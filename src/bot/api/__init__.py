"""REST under `/api/v1`: one blueprint per resource. A route parses, calls and answers; it has no logic of its own."""
