"""A user's own credentials for a provider, as they stand in the user's integration details."""

from bot.access.secrets import Vault
from bot.errors import CredentialsMissing
from bot.llm.types import Credentials
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
