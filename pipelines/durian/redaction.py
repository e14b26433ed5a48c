"""Keys and passwords of the environment, kept out of what is shown and written.

Libraries and servers put into their errors what they were given: a header that is no header, a
proxy's address, a key that a server repeats.
"""

from __future__ import annotations

import os
import re
from urllib.parse import unquote, urlsplit

_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS)$", re.IGNORECASE)
_PROXY = re.compile(r"_PROXY$", re.IGNORECASE)
SHORTEST = 8  # characters; a shorter value would turn up in words


def redacted(text: str) -> str:
    """The text with the values of secret environment variables replaced by [NAME].

    Secret are OPENAI_API_KEY, HF_TOKEN and whatever else ends in KEY, TOKEN, SECRET, PASSWORD or
    CREDENTIALS, and the password in a proxy's address. A value counts as it is, and as Python
    writes it between quotes.
    """
    for secret, name in sorted(_secrets(), key=lambda item: -len(item[0])):
        text = text.replace(secret, f"[{name}]")
    return text


def _secrets() -> set[tuple[str, str]]:
    found = set()
    for name, value in os.environ.items():
        secrets = [value] if _SECRET.search(name) else []
        if _PROXY.search(name):
            secrets = _passwords(value)
        for secret in secrets:
            forms = {secret, secret.strip(), repr(secret)[1:-1]}
            forms.add(" ".join(secret.split()))  # as one line of an error has it
            found |= {(form, name) for form in forms if len(form) >= SHORTEST}
    return found


def _passwords(address: str) -> list[str]:
    try:
        password = urlsplit(address if "//" in address else f"//{address}").password
    except ValueError:
        return [address]
    return [password, unquote(password)] if password else []
