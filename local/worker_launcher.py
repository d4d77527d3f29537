"""Have the worker server fork a Lambda worker, and end with it: for the engine, this process is the worker.

It runs with ``-I -S`` and imports nothing from a file, because each worker waits for it.
"""

import _socket
import marshal
import posix
import sys

_FOLDER, _, _NAME = posix.environ[b"WORKER_SERVER"].rpartition(b"/")


def main() -> None:
    """Send this process's folder, environment, output and errors to the server; then wait for the worker's end."""
    request = marshal.dumps((posix.getcwd(), dict(posix.environ)))
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    # A path relative to the folder, because the path of a socket has at most 107 bytes.
    posix.chdir(_FOLDER)
    connection.connect(_NAME)
    files = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    connection.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
    # The worker holds the other end. It never writes to it, so this ends with the worker.
    connection.recv(1)
    posix._exit(1)


main()
