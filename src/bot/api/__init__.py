"""REST under `/api/v1`: a blueprint a resource. A route parses, calls and answers; it decides nothing."""
