"""What each attribute of each entity is, for the documentation; a test fails where one is missing.

Types, keys and writers are not said here: they are read from the models and from the declarations.
"""

from models.table.item import Item

# Names of the source documents for what the table calls otherwise.
SOURCE_NAMES = {
    "user_id": "UserId",
    "api_integration_details": "APIIntegrationDetails",
    "system_message": "SystemMessage",
    "started_at": "StartedAt",
    "last_active_at": "LastActiveAt, lastActive",
    "sender": "Sender",
    "message_id": "MessageId",
    "llm_response_id": "llmResponseId",
    "type": "messageType",
}

_SHARED = {
    "PK": "The partition key, rendered from its template.",
    "SK": "The sort key, rendered from its template.",
    "entity": "The item's type; readers choose the class by it.",
    "expires_at": "Epoch seconds after which the item is gone (TTL); absent: it stays. Every read asks, as DynamoDB "
    "deletes late.",
    "user_id": "The owner.",
    "agent_id": "The agent.",
    "conversation_id": "The conversation.",
    "turn_id": "The turn.",
    "created_at": "When it was made.",
    "updated_at": "When it was changed last.",
    "version": "Counts the changes, from 1.",
    "erasure_id": "The erasure that removes it, while that goes on.",
    "packed": "A text of more than 4 KB, compressed (zlib); then its own attribute is absent.",
    "blob": "Where in the bucket a text is that is too large for the item: JSON with `key`, `size`, `sha256`, "
    "`preview`.",
    "status": "`deleting` while its removal goes on: nobody sees it any more.",
}

_OWN: dict[str, dict[str, str]] = {
    "User": {
        "user_id": "`usr_…`, made with the user.",
        "email": "Unique, in its normal form (`models.emails`); the `EmailClaim` holds it. None for some with a token.",
        "identity_hash": "Leads to the `Identity` of a user who came with a token.",
        "name": "What to call the user.",
        "role": "`user`, or `admin`, who may manage users.",
        "status": "`active`, or `deleting` while its removal goes on.",
        "preferences": "Names and JSON values that the user chose; each is set and removed by itself.",
        "settings": "Names and JSON values of the application; each is set and removed by itself.",
        "api_integration_details": "The user's own credentials, a name a provider, encrypted by the application.",
        "last_active_at": "When the user last began a conversation.",
        "directory": "A constant that puts all users into one partition of `users_by_id`.",
    },
    "EmailClaim": {
        "email": "The claimed email, as its user has it; a `#` is a backslash here.",
        "user_id": "Who has it.",
    },
    "Identity": {
        "identity_hash": "SHA-256 of issuer and subject, which are free text.",
        "user_id": "Which user that is; gone when the user is.",
        "issuer": "Who vouches for them; gone when the user is.",
        "subject": "Who they are there; gone when the user is.",
        "status": "`open`, or `closed` since the user was deleted: the same subject stays out.",
        "created_at": "When they were first seen.",
        "closed_at": "When the user was deleted.",
    },
    "Agent": {
        "agent_id": "`agt_…`, made with the agent.",
        "agent_key": "Leads from the id alone to the agent, in `agents_by_id`; removed first when it is deleted.",
        "name": "What to call it.",
        "description": "What it is for.",
        "provider": "Who answers: `openai`, `embedded`, `echo`.",
        "model": "The provider's name of the model.",
        "credentials": "`own`: the user's integration details; `deployment`: the deployment's.",
        "system_message": "What the model is told first.",
        "functions": "The functions that it may call, as JSON.",
        "settings": "The model's: temperature, max_tokens …; each is set and removed by itself.",
        "status": "`active`, or `deleting` while its removal goes on.",
        "published": "Whether all users of the deployment may talk to it; absent: no.",
        "shared_with": "The ids of the users who may talk to it by name, at most 100; absent: nobody.",
        "share_credentials": "Whether `own` credentials serve other people's turns too; absent: no.",
    },
    "AgentGrant": {
        "user_id": "With whom it is shared.",
        "owner_id": "Whose the agent is.",
        "created_at": "When it was shared.",
    },
    "AuditEvent": {
        "user_id": "Whose things it was done to.",
        "event_id": "`evt_…`; carries the moment, so records sort by time.",
        "action": "What was done: `key.created`, `agent.shared` …",
        "actor_id": "Who did it: a user's id, `operator` for a command, `system` for the server itself.",
        "key_id": "The API key with which it was done.",
        "target_id": "To what it was done.",
        "details": "Ids and names of fields; never a secret, nor anything that was said.",
        "request_id": "The request, as the log names it.",
        "address": "From where; through proxies only as far as they are trusted.",
        "at": "When.",
    },
    "PublishedAgent": {"owner_id": "Whose the agent is.", "created_at": "When it was published."},
    "ApiKey": {
        "key_hash": "SHA-256 of the key; the key itself is never stored.",
        "key_id": "`key_…`, the id in the user's list.",
        "user_id": "Whom the key stands for.",
        "role": "The user's role when the key was made; an administrator's counts as long as the user is one.",
        "scope": "`full`, `read` (reads alone) or `agent` (one agent and the conversations with it).",
        "agent_id": "The one agent of a key of the scope `agent`.",
    },
    "ApiKeyEntry": {
        "key_id": "`key_…`, made with the key.",
        "key_hash": "Leads to the `ApiKey`.",
        "name": "What it is for.",
        "hint": "The key's last four characters, by which a person tells keys apart.",
        "scope": "As on the `ApiKey`, for the list.",
        "agent_id": "As on the `ApiKey`, for the list.",
        "last_used_at": "When it was last used, exact to the hour; absent, if it was not.",
    },
    "Conversation": {
        "conversation_id": "`conv_…`, made with the conversation.",
        "listed_at": "The activity as the indexes have it: follows `last_active_at` at most once a minute.",
        "user_activity": "Sorts a user's conversations by status and activity.",
        "user_agent": "A user's conversations with one agent.",
        "agent_activity": "Sorts them by activity.",
        "agent_owner_id": "Whose the agent is, where it is not the user's own.",
        "title": "What it is about; at most 200 characters through the API.",
        "status": "`active`, `completed` or `archived`; `deleting` while its removal goes on.",
        "metadata": "Names and JSON values; each is set and removed by itself.",
        "started_at": "When it began.",
        "last_active_at": "When somebody last said something; looking does not count.",
        "last_message_at": "The `ts` of the newest message; the next one comes after it, whatever the clocks say.",
        "message_count": "How many messages it has.",
        "turn_count": "How many turns have begun.",
        "input_tokens": "The tokens of all questions, as the providers counted them.",
        "output_tokens": "The tokens of all answers, as the providers counted them.",
        "retention_days": "After how many days what is written in it expires; absent: never (see `retention`).",
        "fence": "Grows with every lease: who holds an older one writes nothing.",
        "lease_turn": "The turn that runs at this moment.",
        "lease_expires_at": "Until when, by DynamoDB's clock, unless the lease is renewed.",
        "cancel_turn": "The turn that shall stop; it cannot complete any more.",
        "lease_claim": "What the turn has claimed of its user's allowance, as `[day, tokens]`; absent without limits.",
    },
    "Message": {
        "ts": "UTC in microseconds, 27 characters; strictly increasing in a conversation.",
        "message_id": "`msg_…`; carries `ts`, so it leads to the item without an index.",
        "sender": "`user`, `agent`, `system` or `tool`.",
        "role": "What the models call the sender.",
        "type": "`text`, `parts`, `function_call` or `function_result`.",
        "content": "The text; for `parts` their JSON. One of more than 4 KB is in `packed` or `blob` instead.",
        "attributes": "The rest: `is_function_call`, `function_name`, `call_id`, `finish_reason` …",
        "turn_id": "The turn that it belongs to; absent, if it was only stored.",
        "llm_response_id": "The provider's id of the answer.",
    },
    "Turn": {
        "status": "`running`, `completed`, `failed`, `cancelled` or `interrupted`; a plain turn is written at its end.",
        "provider": "Who answered.",
        "model": "Which model.",
        "started_at": "When it began.",
        "ended_at": "When it ended.",
        "first_message_at": "The `ts` of the first message that it stored.",
        "last_message_at": "The `ts` of the last one.",
        "last_event": "The number of the event that told its end.",
        "finish_reason": "Why the model stopped.",
        "input_tokens": "The tokens of the question with its context.",
        "output_tokens": "The tokens of the answer.",
        "error": "Where it did not end well: `code` and `detail`, and `retry_after` and `extra`, if they were told.",
        "partial_text": "What an unfinished answer had come to.",
    },
    "RequestCount": {
        "minute": "The minute, in UTC.",
        "who": "`user` for all that the user sends, or the id of an API key.",
        "requests": "How many.",
    },
    "TurnCount": {
        "model": "Which model.",
        "input_tokens": "The tokens of the question with its context.",
        "output_tokens": "The tokens of the answer.",
    },
    "Allowance": {
        "limits": "The user's own limits, in the place of the deployment's, by name.",
        "tokens": "By day (`2026-11-22`) and month (`2026-11`): tokens that were used, and those that are reserved.",
        "running": "The turns that run, each as `{conversation_id} {turn_id}`.",
    },
    "IdempotencyRecord": {
        "user_id": "Who made the request.",
        "fingerprint": "SHA-256 of the caller, the route and the `Idempotency-Key`.",
        "body_hash": "SHA-256 of the request's body, as canonical JSON.",
        "effect_id": "The id of what was made: a turn, a message, an agent …",
        "answer": "The first answer, compressed and encrypted, where what was made can change or holds a secret.",
        "created_at": "When the request had its effect.",
    },
    "TurnEntry": {},
    "ConversationEntry": {},
    "Erasure": {
        "erasure_id": "`era_…`, made with the job.",
        "user_id": "Whose the thing is.",
        "kind": "`conversation`, `agent` or `user`.",
        "target_id": "The id of what is removed.",
        "asked_by": "The id of the user who asked, or `operator`.",
        "asked_at": "When it was asked for.",
        "completed_at": "When all was removed; with it, the item is the receipt.",
        "removed": "How many items of each kind, and how many `S3Object`, as JSON.",
        "counted": "Up to where they are counted, as JSON: a step of the walk, and a sort key.",
        "fence": "Grows with every worker: who holds an older one counts nothing.",
        "worker": "Who goes on with it.",
        "lease_expires_at": "Until when, unless the worker renews it.",
    },
    "PendingErasure": {"erasure_id": "The erasure that is not completed."},
    "TurnEvents": {
        "last": "The number of the last piece, in ten digits.",
        "texts": "The pieces, as JSON.",
    },
    "UserState": {
        "kind": "`session` or `application`.",
        "key": "Its name.",
        "value": "Any JSON value; at most 393,216 bytes; absent is `null`.",
        "version": "Counts the puts, from 1.",
    },
    "ConversationState": {
        "kind": "`session` or `application`.",
        "key": "Its name.",
        "value": "Any JSON value; at most 393,216 bytes; absent is `null`.",
        "version": "Counts the puts, from 1.",
    },
}


def describe(entity: type[Item], attribute: str) -> str:
    """Return what an attribute of an entity is.

    Raises:
        LookupError: nobody has said so.
    """
    own = _OWN.get(entity.ENTITY, {})
    text = own.get(attribute) or _SHARED.get(attribute)
    if text is None:
        raise LookupError(f"{entity.ENTITY}.{attribute} is not described in models/export/fields.py")
    return text
