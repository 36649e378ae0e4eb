"""Who calls, and what they may see: API keys, secrets at rest, signed cursors."""
