"""One turn of a conversation: lease, context, model, end."""
