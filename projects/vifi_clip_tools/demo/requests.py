"""Requests that no page makes: refused in words, with a line in the log.

Gradio takes what a program sends for what its page sends, and answers the rest
with a traceback in the log and without a reason.
"""
import contextvars
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, Awaitable, Callable, MutableMapping

from starlette.responses import JSONResponse

from ..cli.terminal import one_line

_MOST_CHARACTERS = 200
_PACKAGE = str(Path(__file__).parents[2])
Message = MutableMapping[str, Any]
_refused = contextvars.ContextVar('refused', default=False)


class WrongRequests:
    """An ASGI layer around Gradio's routes: what they raise, they raise for
    the request's sake, since what the page computes is called elsewhere."""

    def __init__(self, app: Callable) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable],
                       send: Callable[[Message], Awaitable]) -> None:
        started = False

        async def pass_on(message: Message) -> None:
            nonlocal started
            started = True
            # Gradio's status of all that goes wrong in a direct call
            if message.get('status') == 500 and _refused.get():
                message = {**message, 'status': 400}
            await send(message)

        _refused.set(False)
        try:
            await self.app(scope, receive, pass_on)
        except Exception as error:
            if scope['type'] != 'http':
                raise
            reason = _short(f'{type(error).__name__}: {error}')
            _log(f'{scope["method"]} {scope["path"]}', reason)
            if not started:
                await JSONResponse(
                    dict(detail='This request cannot be read.'), 400)(
                        scope, receive, send)
            with suppress(Exception):  # the visitor has gone
                await send(dict(type='http.response.body'))


def check_inputs(page: Any) -> None:
    """Let a page of Gradio say what is wrong with the inputs of an event, to
    the visitor, too. Errors of our own functions pass, and are logged with
    their traceback."""
    import gradio as gr
    process, queue = page.process_api, page._queue
    send = queue.send_message

    async def checked(block_fn: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await process(block_fn, *args, **kwargs)
        except Exception as error:
            if _is_ours(error):
                raise
            _refused.set(True)
            reason = _short(getattr(error, 'message', str(error)))
            _log(f'event {block_fn.name}', reason)
            raise gr.Error(f'This cannot be answered: {reason}',
                           print_exception=False) from error

    def send_message(event: Any, message: Any) -> None:
        if event.session_hash in queue.pending_messages_per_session:
            send(event, message)  # the visitor is still there

    page.process_api, queue.send_message = checked, send_message
    # Statistics, for a page of Gradio's that is off: the name of one session
    # can spoil them, and so each later answer's end.
    queue.compute_analytics_summary = lambda records: {}


def _is_ours(error: Exception) -> bool:
    """Whether an error comes out of what the page computes."""
    return any(frame.f_code.co_filename.startswith(_PACKAGE)
               and frame.f_code.co_filename != __file__
               for frame, _ in traceback.walk_tb(error.__traceback__))


def _short(reason: str) -> str:
    """Make one line of a text, of bounded length."""
    text = one_line(' '.join(reason[:2 * _MOST_CHARACTERS].split()))
    return text[:_MOST_CHARACTERS] + '…' * (len(text) > _MOST_CHARACTERS)


def _log(what: str, reason: str) -> None:
    print(f'refused {_short(what)}: {reason}', file=sys.stderr, flush=True)
