"""Serving the page on one port, until it is stopped, without leftovers."""
import ipaddress
import os
import socket
import sys
import tempfile
import threading
from contextlib import contextmanager
from typing import Any, Iterator, Optional, Tuple

from ..cli.processes import ended_by_signals
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.errors import need
from .style import CSS

AUTH = 'VIFI_DEMO_AUTH'


def check_address(host: str, port: int) -> int:
    """See that a port is free, before any long work.

    Args:
        host (str): Name or address of this machine.
        port (int): From 0; 0 takes one that is free.

    Returns:
        int: The port.

    Raises:
        ValueError: No port, or no address of this machine.
        UserError: The port is in use, or not allowed.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f'--port {port}: from 0 to 65535')
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, proto) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
            return trial.getsockname()[1]
    except (socket.gaierror, UnicodeError) as error:
        raise ValueError(f'--host {host} is no address of this machine: '
                         f'{error}') from error
    except PermissionError as error:
        raise UserError(f'--port {port} needs the rights of root; take one '
                        'from 1024') from error
    except OSError as error:
        raise UserError(f'{host}:{port} cannot be used: {error.strerror}; '
                        'choose another --port or --host') from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip('[]')).is_loopback
    except ValueError:
        return host == 'localhost'


def read_auth() -> Optional[Tuple[str, str]]:
    """User and password out of the environment, where ps does not show them.

    Raises:
        ValueError: Not of the form USER:PASSWORD.
    """
    text = os.environ.get(AUTH)
    if not text:
        return None
    user, _, password = text.partition(':')
    if not user or not password:
        raise ValueError(f'{AUTH} must be USER:PASSWORD')
    return user, password


@contextmanager
def workplace() -> Iterator[str]:
    """A temporary folder for everything, gone at the end, whatever ends it.

    Gradio reads the environment when it is imported, so it must not be
    before this.
    """
    with ended_by_signals(), tempfile.TemporaryDirectory(
            prefix='vifi_clip_demo_', ignore_cleanup_errors=True) as folder:
        settings = dict(
            GRADIO_TEMP_DIR=os.path.join(folder, 'uploads'),
            GRADIO_ANALYTICS_ENABLED='False', HF_HUB_DISABLE_TELEMETRY='1')
        # Gradio asks itself whether it can be reached.
        for name in 'no_proxy', 'NO_PROXY':
            listed = os.environ.get(name)
            settings[name] = ','.join(filter(None, (
                listed, 'localhost,127.0.0.1,::1')))
        before = {name: os.environ.get(name) for name in settings}
        os.makedirs(settings['GRADIO_TEMP_DIR'])
        os.environ.update(settings)
        try:
            yield folder
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


@contextmanager
def served(page: Any, theme: Any, host: str, port: int, upload_mb: float,
           auth: Optional[Tuple[str, str]] = None) -> Iterator[str]:
    """Serve a page while the context is open.

    Args:
        page (gradio.Blocks): The page.
        theme (gradio.Theme): How it looks.
        host (str): Address to listen at.
        port (int): From :func:`check_address`.
        upload_mb (float): Most of a file, 10^6 bytes.
        auth (tuple[str, str], optional): User and password.

    Yields:
        str: The page's address.

    Raises:
        UserError: The port was taken meanwhile.
    """
    need('gradio', 'demo')
    try:
        page.launch(
            server_name=host, server_port=port, auth=auth, quiet=True,
            prevent_thread_lock=True, share=False, inline=False,
            inbrowser=False, ssr_mode=False, pwa=False, mcp_server=False,
            enable_monitoring=False, run_history=False, show_error=False,
            max_file_size=int(upload_mb * 1e6), state_session_capacity=200,
            footer_links=[], theme=theme, css=CSS)
    except OSError as error:
        raise UserError(f'{host}:{port} cannot be used: {error}') from error
    try:
        name = 'localhost' if host in ('0.0.0.0', '::') else host
        yield f'http://{f"[{name}]" if ":" in name else name}:{port}'
    finally:
        page.close(verbose=False)


def warn_if_open(host: str, auth: Any) -> None:
    """Say that others can reach the page, if so."""
    if is_loopback(host):
        return
    secret = ('and has no encryption' if auth else
              f'and has no password;\n{AUTH}=USER:PASSWORD sets one')
    print(f'warning: {host} is open to other machines {secret}. Browsers\n'
          'give a camera to http://localhost and to https:// only.',
          file=sys.stderr)


def wait() -> None:
    """Until a signal."""
    threading.Event().wait()
