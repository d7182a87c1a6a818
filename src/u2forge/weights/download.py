"""An http(s) address → its bytes, block by block, resumed where the line breaks. The only network client."""

from __future__ import annotations

import base64
import http.client
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit, urlunsplit

from u2forge import __version__
from u2forge.weights.digest import BLOCK_BYTES
from u2forge.weights.source_failure import SourceFailure

# Each one but the last has brought bytes; the bound ends a server that gives a few bytes at a time for ever.
_ATTEMPTS = 20
# What a broken line raises: OSError covers timeouts, resets, name resolution, certificates and urllib's own.
_LINE_ERRORS = (OSError, http.client.HTTPException)


def download(address: str, *, size_bytes: int, timeout_s: float) -> Iterator[bytes]:
    """The bytes at an http or https address. Proxies come from the environment, redirects stay on http(s).

    A break after some bytes is resumed from there while each attempt brings more; an attempt that brings none
    is the last. timeout_s: to connect, and between two blocks. Raises SourceFailure with the reason.
    """
    received = 0
    for _ in range(_ATTEMPTS):
        before = received
        try:
            with _opened(address, start=before, timeout_s=timeout_s) as response:
                _check_answer(response, start=before, size_bytes=size_bytes)
                while block := response.read(BLOCK_BYTES):
                    received += len(block)
                    yield block
            reason = f"truncated: {received} of {size_bytes} bytes"
        except _LINE_ERRORS as error:
            reason = _reason(error)
            if received:
                reason = f"broke off after {received} of {size_bytes} bytes: {reason}"
        if received >= size_bytes:
            return
        if received == before:
            break
    raise SourceFailure(reason)


def without_secrets(address: str) -> str:
    """The address as it may be shown and logged: no user, no password, no query."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _opened(address: str, *, start: int, timeout_s: float) -> http.client.HTTPResponse:
    parts = urlsplit(address)
    credentials, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)))
    request.add_header("User-Agent", f"u2forge/{__version__}")
    if start:
        request.add_header("Range", f"bytes={start}-")
    if credentials:
        token = base64.b64encode(unquote(credentials).encode()).decode()
        # Unredirected: a mirror's password must not travel to the host that it redirects to.
        request.add_unredirected_header("Authorization", f"Basic {token}")
    response: http.client.HTTPResponse = _http_opener().open(request, timeout=timeout_s)
    return response


def _http_opener() -> urllib.request.OpenerDirector:
    """Like urllib's own opener, without its ftp, file and data schemes: a redirect must not reach those."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _check_answer(response: http.client.HTTPResponse, *, start: int, size_bytes: int) -> None:
    """Before any byte is read: is this the size that is expected, and the part that was asked for?"""
    if start:
        answered = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status != 206 or answered is None or int(answered[1]) != start:
            raise SourceFailure(f"truncated: {start} of {size_bytes} bytes, and the server cannot resume")
    elif response.length is not None and response.length != size_bytes:
        kind = response.headers.get_content_type()
        raise SourceFailure(f"not the right file: {response.length} bytes of {kind}, expected {size_bytes}")


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException):
        return _reason(error.reason)
    if isinstance(error, socket.gaierror):
        return f"the host's name cannot be resolved ({error.strerror}): no network, or a proxy is needed"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted ({error.verify_message}); $SSL_CERT_FILE names more"
    return str(error) or type(error).__name__
