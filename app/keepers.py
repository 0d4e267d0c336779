"""How this process comes by its keeper: it was started by one, or becomes one; and what a keeper of it is told."""

import os
import signal
import socket
import sys
from typing import Any

from supervisor_core.failing import point
from supervisor_core.keeper.orders import CHANNEL, HELD, NEXT, Orders, command

from .settings import Instance


def orders_of(instance: Instance, **more: Any) -> Orders:
    """What a keeper of this instance is told: its service is what runs now, as it was started."""
    told = ["-c", str(instance.config), "--state", str(instance.state)]
    program = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv[1:])]
    given = [word for word in sys.argv[1:] if word != "--"]  # no name begins with a dash, and options follow
    if given[-len(told) :] != told:
        given += told
    return Orders(str(instance.state), instance.mark, (sys.executable, *program, *given), **more)


def own_keeper() -> tuple[socket.socket | None, bool]:
    """The channel to the keeper that started this process; None when none did. To be asked once.

    Also whether this is a successor that waits for another one to end.
    """
    number, waits = os.environ.pop(CHANNEL, ""), bool(os.environ.pop(NEXT, ""))  # no worker's business
    if not number:
        return None, False
    channel = socket.socket(fileno=int(number))
    channel.set_inheritable(False)
    return channel, waits


def become_kept(instance: Instance, lock: int) -> socket.socket:
    """This process becomes the keeper, and a fork of it, which is all that returns, its first service.

    So the keeper has the pid that was started, and whoever waits for that waits for all of it. `lock` is a descriptor
    that holds the instance, and goes to the keeper.
    """
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)  # until somebody can take them, here and there
    child = os.fork()
    if child:
        point("service forked")
        try:
            arguments = command(sys.executable, orders_of(instance, lock=lock, pid=child, channel=theirs.fileno()))
            os.execv(arguments[0], arguments)  # noqa: S606 - our own program
        except OSError:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
    os.setsid()
    os.close(lock)
    theirs.close()
    return ours
