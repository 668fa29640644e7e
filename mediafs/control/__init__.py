"""The control socket: how a command talks to the daemon of a mounted account.

One request a line, `{"verb": .., "arguments": {..}}`, and one line back: `{"reply": {..}}`, or
`{"error": KIND, "message": ..}` where KIND is the name of a class in `errors.py`, or `Bug`. Only the
daemon's own user and root are answered. What the verbs mean is the caller's affair.

Some verbs begin a conversation: before the reply the daemon sends any number of lines `{"news": {..}}`, and
the client any number of objects, one a line. Who hangs up ends it.
"""

from .client import (
    ControlFailed,
    Conversation,
    NoDaemon,
    call,
    conversation,
    find_sockets,
    socket_path,
)
from .server import Converse, Handle, Talk, serve_control

__all__ = [
    "ControlFailed",
    "Conversation",
    "Converse",
    "Handle",
    "NoDaemon",
    "Talk",
    "call",
    "conversation",
    "find_sockets",
    "serve_control",
    "socket_path",
]
