"""Takes what a scenario of the official conformance suite says of its client. Gives the credentials it asks for.

Never asks a person: an authorization page of the suite answers by a redirect at once.
"""

from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata

CALLBACK = "http://localhost:3030/callback"
# The document that the suite expects as a client id where a server takes one; it is never fetched.
METADATA_DOCUMENT = "https://conformance-test.local/client-metadata.json"


class Storage:
    """Tokens and registration of one run."""

    def __init__(self, registered=None):
        self.tokens = None
        self.registered = registered

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.registered

    async def set_client_info(self, client_info):
        self.registered = client_info


class Browser:
    """Follows the authorization page as far as its redirect."""

    def __init__(self):
        self.location = {}

    async def open(self, url):
        async with httpx2.AsyncClient(timeout=None) as client:
            answer = await client.get(url)
        self.location = parse_qs(urlsplit(answer.headers["location"]).query)

    async def result(self):
        def first(name):
            return self.location.get(name, [None])[0]

        return AuthorizationCodeResult(code=first("code"), state=first("state"), iss=first("iss"))


def registered_before(context):
    """What a client that was registered by hand knows, or None."""
    if "client_id" not in context:
        return None
    return OAuthClientInformationFull(
        client_id=context["client_id"],
        client_secret=context.get("client_secret"),
        redirect_uris=[CALLBACK],
        token_endpoint_auth_method="client_secret_basic",
        issuer=context.get("issuer"),
    )


def credentials(scenario, url, context):
    """An authenticator for the scenario's server."""
    if scenario == "auth/client-credentials-basic":
        return ClientCredentialsOAuthProvider(url, Storage(), context["client_id"], context["client_secret"])
    if scenario == "auth/client-credentials-jwt":
        signed = SignedJWTParameters(
            issuer=context["client_id"],
            subject=context["client_id"],
            signing_key=context["private_key_pem"],
            signing_algorithm=context["signing_algorithm"],
        )
        return PrivateKeyJWTOAuthProvider(url, Storage(), context["client_id"], signed.create_assertion_provider())
    browser = Browser()
    return OAuthClientProvider(
        url,
        OAuthClientMetadata(client_name="conformance-fixture", redirect_uris=[CALLBACK]),
        Storage(registered_before(context)),
        browser.open,
        browser.result,
        client_metadata_url=METADATA_DOCUMENT,
    )
