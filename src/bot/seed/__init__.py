"""Sample data: users, their agents and their conversations, the same for the same seed."""
