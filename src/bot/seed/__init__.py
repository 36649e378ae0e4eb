"""Sample data: people, their agents and what they talked about, the same for the same seed."""
