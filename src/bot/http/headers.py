"""Security headers of every answer: run only our own scripts, frame nothing, send no referrer.

Sources: https://owasp.org/www-project-secure-headers/, https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html
"""

import base64
import hashlib
import re
from functools import lru_cache

from flask import Flask, Response, request

_EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # For browsers that do not know frame-ancestors.
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_CLOSED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# The API page uses style attributes and small images as data: URLs. Scripts are our own files, and the page's own
# inline scripts by their hash.
_PAGE = (
    "default-src 'none'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def install(app: Flask, *, hsts_seconds: int = 0) -> None:
    """Add the headers to every answer, including errors; a header that the answer has already set is kept.

    Args:
        app: the application.
        hsts_seconds: the max-age of Strict-Transport-Security, over TLS; 0 sends no such header.
    """

    @app.after_request
    def _secure(response: Response) -> Response:
        for name, value in _EVERYWHERE.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", _policy(response))
        # Over plain http the header means nothing (RFC 6797, 7.2), and a laptop should not be told to use TLS.
        if hsts_seconds and request.is_secure:
            response.headers.setdefault("Strict-Transport-Security", f"max-age={hsts_seconds}; includeSubDomains")
        if request.path.startswith(("/api/", "/v1/")):
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def _policy(response: Response) -> str:
    if response.mimetype != "text/html" or response.direct_passthrough or response.is_streamed:
        return _CLOSED
    return page_policy(response.get_data(as_text=True))


@lru_cache(maxsize=32)
def page_policy(page: str) -> str:
    """Return the policy of one of our HTML pages; none of them contains anything from a request."""
    digests = (hashlib.sha256(script.encode()).digest() for script in _INLINE_SCRIPT.findall(page))
    return _PAGE.format(hashes="".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests))
