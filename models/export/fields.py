"""A description of each attribute of each entity, for the documentation; a test fails if one is missing.

Types, keys and writers are not described here: they are derived from the models and the declarations.
"""

from models.table.item import Item

# The source documents' names for attributes that the table names differently.
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
    "entity": "The item's type, which determines its class.",
    "expires_at": "When the item expires (TTL), in epoch seconds; absent: never. Every read checks it, because "
    "DynamoDB deletes late.",
    "user_id": "The owner.",
    "agent_id": "The agent.",
    "conversation_id": "The conversation.",
    "turn_id": "The turn.",
    "created_at": "When it was created.",
    "updated_at": "When it was last changed.",
    "version": "The number of its version, from 1; each change increments it.",
    "erasure_id": "The erasure that removes it, while that is running.",
    "packed": "A text of more than 4 KB, compressed (zlib); its own attribute is then absent.",
    "blob": "The location in the bucket of a text that is too large for the item: JSON with `key`, `size`, `sha256`, "
    "`preview`.",
    "status": "`deleting` while it is being removed: it is no longer visible.",
}

_OWN: dict[str, dict[str, str]] = {
    "User": {
        "user_id": "`usr_…`, generated with the user.",
        "email": "Unique, in its normal form (`models.emails`); the `EmailClaim` enforces it. Optional with a token.",
        "identity_hash": "The key of the `Identity` of a user who signed in with an issuer's token.",
        "name": "The user's display name.",
        "role": "`user`, or `admin`, who may manage users.",
        "status": "`active`, or `deleting` while it is being removed.",
        "preferences": "The user's preferences, names and JSON values; each is set and removed individually.",
        "settings": "The application's settings, names and JSON values; each is set and removed individually.",
        "api_integration_details": "The user's own credentials by provider name, encrypted by the application.",
        "last_active_at": "When the user last began a conversation.",
        "directory": "A constant that puts all users into one partition of `users_by_id`.",
    },
    "EmailClaim": {
        "email": "The claimed email, in its normal form, with a backslash for each `#`.",
        "user_id": "The user who has it.",
    },
    "Identity": {
        "identity_hash": "SHA-256 of issuer and subject, which are free text.",
        "user_id": "The user; removed when the user is deleted.",
        "issuer": "The token's issuer; removed when the user is deleted.",
        "subject": "The user's id at the issuer; removed when the user is deleted.",
        "status": "`open`, or `closed` after the user was deleted: the same subject cannot sign in again.",
        "created_at": "When the subject first signed in.",
        "closed_at": "When the user was deleted.",
    },
    "Agent": {
        "agent_id": "`agt_…`, generated with the agent.",
        "agent_key": "The key of `agents_by_id`, which finds the agent by its id alone; removed first on deletion.",
        "name": "Its display name.",
        "description": "Its purpose.",
        "provider": "The provider that answers: `openai`, `embedded`, `echo`.",
        "model": "The provider's name for the model.",
        "credentials": "`own`: the user's integration details; `deployment`: the deployment's.",
        "system_message": "The system message that starts the model's context.",
        "functions": "The functions that it may call, as JSON.",
        "settings": "The model's settings: temperature, max_tokens …; each is set and removed individually.",
        "status": "`active`, or `deleting` while it is being removed.",
        "published": "Whether all users of the deployment may talk to it; absent: no.",
        "shared_with": "The ids of the users it is shared with, at most 100; absent: nobody.",
        "share_credentials": "Whether `own` credentials are also used for other users' turns; absent: no.",
    },
    "AgentGrant": {
        "user_id": "The user it is shared with.",
        "owner_id": "The agent's owner.",
        "created_at": "When it was shared.",
    },
    "AuditEvent": {
        "user_id": "The user whose data was affected.",
        "event_id": "`evt_…`; carries the time, so records sort by time.",
        "action": "What was done: `key.created`, `agent.shared` …",
        "actor_id": "Who did it: a user's id, `operator` for a command, `system` for the server itself.",
        "key_id": "The API key that was used.",
        "target_id": "The id of what was changed.",
        "details": "Ids and field names; never a secret or message content.",
        "request_id": "The id of the request, as in the log.",
        "address": "The client's IP address; behind proxies, only as far as they are trusted.",
        "at": "When it was done.",
    },
    "PublishedAgent": {"owner_id": "The agent's owner.", "created_at": "When it was published."},
    "ApiKey": {
        "key_hash": "SHA-256 of the key; the key itself is never stored.",
        "key_id": "`key_…`, the id in the user's list.",
        "user_id": "The user whom the key authenticates.",
        "role": "The user's role when the key was created; `admin` is valid only as long as the user has that role.",
        "scope": "`full`, `read` (read only) or `agent` (one agent and the conversations with it).",
        "agent_id": "The agent that a key with the scope `agent` is for.",
    },
    "ApiKeyEntry": {
        "key_id": "`key_…`, generated with the key.",
        "key_hash": "The key of the `ApiKey`.",
        "name": "Its purpose.",
        "hint": "The key's last four characters, so that people can tell keys apart.",
        "scope": "As on the `ApiKey`, for the list.",
        "agent_id": "As on the `ApiKey`, for the list.",
        "last_used_at": "When it was last used, to the hour; absent: never.",
    },
    "Conversation": {
        "conversation_id": "`conv_…`, generated with the conversation.",
        "listed_at": "The last activity for the indexes: follows `last_active_at` at most once a minute.",
        "user_activity": "Sorts a user's conversations by status and activity.",
        "user_agent": "Groups a user's conversations with one agent.",
        "agent_activity": "Sorts a user's conversations with one agent by activity.",
        "agent_owner_id": "The agent's owner, if that is another user.",
        "title": "Its title; at most 200 characters.",
        "status": "`active`, `completed` or `archived`; `deleting` while it is being removed.",
        "metadata": "Names and JSON values; each is set and removed individually. Up to 64 names, 32 KB in total.",
        "metadata_version": "The number of changes of the metadata, by which parallel changes are detected.",
        "started_at": "When it began.",
        "last_active_at": "When the last message was sent; reading does not count.",
        "last_message_at": "The `ts` of the newest message; the next one is always later, despite clock skew.",
        "message_count": "The number of messages.",
        "turn_count": "The number of turns that have begun.",
        "input_tokens": "The input tokens of all turns, as counted by the providers.",
        "output_tokens": "The output tokens of all turns, as counted by the providers.",
        "retention_days": "Days after which what is written in it expires; absent: never (see `retention`).",
        "root_id": "Of a branch: the conversation that its tree began with.",
        "parent_id": "Of a branch: the conversation that it leaves.",
        "left_at": "Of a branch: the `ts` of the last message that it continues; 1970 if it begins anew.",
        "from_message_id": "Of a branch: the id of that message.",
        "ancestors": "Of a branch: what it continues, from the root on, as JSON: `[conversation_id, ts]`.",
        "branched": "Of a root: true once it has had a branch.",
        "active_branch_id": "Of a root: the branch that was continued last; absent: the root itself.",
        "linked": "True once it has had a share link.",
        "fence": "The fencing number: grows with every lease, so a worker with an older one cannot write.",
        "lease_turn": "The turn that is running and has the lease.",
        "lease_expires_at": "When the lease expires unless it is renewed, by DynamoDB's clock.",
        "cancel_turn": "The turn that has been cancelled; it can no longer complete.",
        "lease_claim": "What the turn has claimed of its user's allowance, as `[day, tokens]`; absent without limits.",
    },
    "Message": {
        "ts": "UTC in microseconds, 27 characters; strictly increasing in a conversation.",
        "message_id": "`msg_…`; carries `ts`, so the item is found without an index.",
        "sender": "`user`, `agent`, `system` or `tool`.",
        "role": "The sender's role in the model's terms.",
        "type": "`text`, `parts`, `function_call` or `function_result`.",
        "content": "The text; for `parts`, their JSON. If it is over 4 KB, it is in `packed` or `blob` instead.",
        "attributes": "Further attributes: `is_function_call`, `function_name`, `call_id`, `finish_reason` …",
        "turn_id": "The turn that it belongs to; absent if it was appended without a turn.",
        "llm_response_id": "The provider's id of the response.",
        "reasoned": "True if the model's reasoning is kept, in a `MessageReasoning`.",
    },
    "MessageReasoning": {
        "ts": "That of the message.",
        "text": "The reasoning. If it is over 4 KB, it is in `packed` or `blob` instead.",
    },
    "Turn": {
        "status": "`running`, `completed`, `failed`, `cancelled` or `interrupted`; a plain turn is written at its end.",
        "provider": "The provider that answered.",
        "model": "The model that answered.",
        "started_at": "When it began.",
        "ended_at": "When it ended.",
        "first_message_at": "The `ts` of the first message that it stored.",
        "last_message_at": "The `ts` of the last message that it stored.",
        "last_event": "The number of the event that reported its end.",
        "finish_reason": "Why the model stopped.",
        "input_tokens": "The tokens of the prompt, including its context.",
        "output_tokens": "The tokens of the answer.",
        "error": "Why it did not complete: `code` and `detail`; also `retry_after` and `extra`, if they were reported.",
        "partial_text": "The text of an unfinished answer.",
        "kept": "Whether its stream is stored while it runs; absent if it was written only at its end.",
        "fence": "The fencing number of its lease, which counts the turns of its conversation.",
        "pieces": "The sizes of the pieces of a stream that was not stored, as packed JSON; negative for reasoning.",
    },
    "RequestCount": {
        "minute": "The minute, in UTC.",
        "who": "`user` for all the user's requests, or the id of an API key.",
        "requests": "The number of requests.",
    },
    "TurnCount": {
        "model": "The model that answered.",
        "input_tokens": "The tokens of the prompt, including its context.",
        "output_tokens": "The tokens of the answer.",
    },
    "Allowance": {
        "limits": "The user's own limits by name, which override the deployment's.",
        "tokens": "The tokens used and reserved by day (`2026-11-22`) and month (`2026-11`).",
        "running": "The running turns, each as `{conversation_id} {turn_id}`; completions as `until={time} {turn_id}`.",
    },
    "IdempotencyRecord": {
        "user_id": "The user who made the request.",
        "fingerprint": "SHA-256 of the caller, the route and the `Idempotency-Key`.",
        "body_hash": "SHA-256 of the request's body, as canonical JSON.",
        "effect_id": "The id of what was created: a turn, a message, an agent …",
        "answer": "The first response, compressed and encrypted, if what was created can change or contains a secret.",
        "created_at": "When the request took effect.",
    },
    "TurnEntry": {},
    "ConversationEntry": {},
    "BranchEntry": {
        "parent_id": "The conversation that the branch leaves: the root or another branch.",
        "left_at": "The `ts` of the last message that the branch continues; 1970 if it begins anew.",
        "branch_id": "The branch.",
        "from_message_id": "The id of that message.",
        "status": "`copying` until the branch exists, if a part of its path is copied; else absent.",
    },
    "ShareLink": {
        "token_hash": "SHA-256 of the link's token; the token itself is not stored.",
        "link_id": "The id of its entry.",
        "tree": "The ids of the conversations that it depends on, as JSON: the shared one, then those that a branch "
        "continues.",
        "title": "The conversation's title when it was shared.",
        "until": "The `ts` of the last message that it shows.",
        "expires_at": "When the link expires (TTL), in epoch seconds: after the requested days, or with the last "
        "message that it shows.",
    },
    "ShareLinkEntry": {
        "link_id": "`lnk_…`, generated with the link.",
        "token_hash": "The key of the `ShareLink`.",
        "until": "The `ts` of the last message that it shows.",
        "expires_at": "As of the `ShareLink`.",
    },
    "Erasure": {
        "erasure_id": "`era_…`, generated with the job.",
        "user_id": "The owner of what is removed.",
        "kind": "`conversation`, `agent` or `user`.",
        "target_id": "The id of what is removed.",
        "asked_by": "The id of the user who requested it, or `operator`.",
        "asked_at": "When it was requested.",
        "completed_at": "When everything was removed; from then on the item is the receipt.",
        "removed": "The number of removed items by type, and of `S3Object`, as JSON.",
        "counted": "The position up to which items are counted, as JSON: a step of the job and a sort key.",
        "fence": "The fencing number: grows with every worker, so one with an older number counts nothing.",
        "worker": "The worker that runs the job.",
        "lease_expires_at": "When the lease expires unless the worker renews it.",
    },
    "PendingErasure": {"erasure_id": "The unfinished erasure."},
    "TurnEvents": {
        "last": "The id of the last piece: its number in ten digits, for reasoning followed by `-` and its part.",
        "texts": "The pieces of text or reasoning, as JSON.",
    },
    "UserState": {
        "kind": "`session` or `application`.",
        "key": "Its name.",
        "value": "Any JSON value of at most 393,216 bytes; absent: `null`.",
        "version": "The number of its version, from 1; each put increments it.",
    },
    "ConversationState": {
        "kind": "`session` or `application`.",
        "key": "Its name.",
        "value": "Any JSON value of at most 393,216 bytes; absent: `null`.",
        "version": "The number of its version, from 1; each put increments it.",
    },
}


def describe(entity: type[Item], attribute: str) -> str:
    """Return the description of an entity's attribute.

    Raises:
        LookupError: it has none.
    """
    own = _OWN.get(entity.ENTITY, {})
    text = own.get(attribute) or _SHARED.get(attribute)
    if text is None:
        raise LookupError(f"{entity.ENTITY}.{attribute} is not described in models/export/fields.py")
    return text
