"""A user's own credentials for a provider, as they stand in the user's integration details, and whom they serve."""

from bot.access.secrets import Vault
from bot.errors import CredentialsMissing
from bot.llm.types import Credentials
from models.access_patterns.users import get_user
from models.agent import Agent
from models.table.errors import ItemNotFound
from models.table.tenancy import acting_for
from models.user import User


def own_credentials(user: User, provider: str, vault: Vault) -> Credentials:
    """Return what a user has stored for a provider.

    Cost: with KMS 1 Decrypt, unless this process has asked within five minutes; no request to DynamoDB.

    Raises:
        CredentialsMissing: nothing, or nothing that this deployment's keys open.
        SecretsUnavailable: KMS does not answer.
        NotConfigured: KMS refuses this deployment.
    """
    sealed = user.api_integration_details.get(provider)
    if sealed is None:
        raise CredentialsMissing(
            f"There are no credentials for the provider '{provider}': neither the deployment's own, nor yours under "
            "api_integration_details."
        )
    try:
        details = vault.open(user.user_id, provider, sealed)
    except ValueError as error:
        raise CredentialsMissing(
            f"Your credentials for the provider '{provider}' were stored under a key that this deployment does not "
            "have: store them again under api_integration_details."
        ) from error
    return Credentials(details["api_key"], details.get("base_url"))


def lent_credentials(agent: Agent, vault: Vault) -> Credentials | None:
    """Return the credentials of an agent's owner for somebody else's turn, or None for the deployment's.

    Never those of the user who talks: the owner chose where the agent's requests go. And never with an address of the
    owner's, where the owner could read what others say. The owner must have said that they are lent.

    Cost: nothing, but for lent ones AP-02.
    """
    if agent.credentials != "own" or not agent.share_credentials:
        return None
    try:
        credentials = own_credentials(get_user(acting_for(agent.user_id)), agent.provider, vault)
    except (CredentialsMissing, ItemNotFound):
        return None
    return credentials if credentials.base_url is None else None
