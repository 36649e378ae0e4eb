"""The OpenAI-compatible API under `/v1`: the same agents and services as `bot.api`, for OpenAI's clients."""
