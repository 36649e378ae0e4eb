"""A user's own provider credentials, from the user's integration details, and whose turns may use them."""

from bot.access.secrets import Vault
from bot.errors import CredentialsMissing
from bot.llm.types import Credentials
from models.access_patterns.users import get_user
from models.agent import Agent
from models.table.errors import ItemNotFound
from models.table.tenancy import acting_for
from models.user import User


def own_credentials(user: User, provider: str, vault: Vault) -> Credentials:
    """Return the credentials that a user has stored for a provider.

    Cost: with KMS 1 Decrypt, unless the data key has been cached within five minutes; no request to DynamoDB.

    Raises:
        CredentialsMissing: none are stored, or none that this deployment's keys decrypt.
        SecretsUnavailable: KMS does not answer.
        NotConfigured: KMS refuses this deployment.
    """
    sealed = user.api_integration_details.get(provider)
    if sealed is None:
        raise CredentialsMissing(
            f"There are no credentials for the provider '{provider}': the deployment has none, and you have "
            "stored none under api_integration_details."
        )
    try:
        details = vault.open(user.user_id, provider, sealed)
    except ValueError as error:
        raise CredentialsMissing(
            f"Your credentials for the provider '{provider}' were encrypted with a key that this deployment does not "
            "have: store them again under api_integration_details."
        ) from error
    return Credentials(details["api_key"], details.get("base_url"))


def lent_credentials(agent: Agent, vault: Vault) -> Credentials | None:
    """Return the credentials of an agent's owner for another user's turn, or None to use the deployment's.

    The owner must have chosen to lend them, and they must not have a base URL, because the owner could read other
    users' messages there. The talking user's own credentials are never used, because the owner chose where the agent's
    requests go.

    Cost: nothing; for lent credentials AP-02.
    """
    if agent.credentials != "own" or not agent.share_credentials:
        return None
    try:
        credentials = own_credentials(get_user(acting_for(agent.user_id)), agent.provider, vault)
    except (CredentialsMissing, ItemNotFound):
        return None
    return credentials if credentials.base_url is None else None
