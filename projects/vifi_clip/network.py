"""Whether the network is there: one look, of seconds, before libraries try
again and again for minutes."""
import socket
import threading
from contextlib import contextmanager
from functools import lru_cache
from typing import Iterator
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

_SECONDS = 4.


@lru_cache
def unreachable(address: str, seconds: float = _SECONDS) -> str:
    """Say why the server of a web address, or the proxy on the way to it,
    cannot be reached; '' if it can. Asked once for each address."""
    parts = urlsplit(address)
    host = parts.hostname or ''
    proxy = '' if proxy_bypass(host) else (
        getproxies().get(parts.scheme) or getproxies().get('all'))
    parts = urlsplit(proxy or address)
    port = parts.port or (443 if parts.scheme == 'https' else 80)
    reason = f'no answer in {seconds:g} s'

    def look() -> None:
        nonlocal reason
        try:
            socket.create_connection((parts.hostname, port), seconds).close()
            reason = ''
        except OSError as error:
            reason = error.strerror or str(error)

    # In a thread: the search for a name has no limit of its own.
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(seconds)
    return f'{parts.hostname} cannot be reached ({reason})' if reason else ''


def hub_unreachable() -> str:
    """Say why the Hugging Face Hub cannot be reached; '' if it can. With
    HF_HUB_OFFLINE set, nothing is tried."""
    from huggingface_hub import constants
    return ('HF_HUB_OFFLINE is set' if constants.HF_HUB_OFFLINE else
            unreachable(constants.ENDPOINT))


@contextmanager
def hub_or_cache() -> Iterator[str]:
    """Let huggingface_hub look for downloaded files only while the Hub cannot
    be reached; yield why it cannot (:func:`hub_unreachable`)."""
    from huggingface_hub import constants
    offline, reason = constants.HF_HUB_OFFLINE, hub_unreachable()
    constants.HF_HUB_OFFLINE = bool(reason)
    try:
        yield reason
    finally:
        constants.HF_HUB_OFFLINE = offline
