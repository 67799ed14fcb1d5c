"""Ports on loopback: the ones asked for, or free ones.

Free ports are taken from below the range that the kernel gives to outgoing connections, since a port of that range may
be taken by any connection between the choice and the moment the JVM listens on it.
"""

import random
import socket
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from livetower.sandbox.errors import SandboxError

LOOPBACK = "127.0.0.1"
LOWEST_FREE = 15_000
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True, slots=True)
class Ports:
    """The fixed ports of one sandbox; 0 asks for a free one. A TaskManager's own ports are always free ones."""

    kafka: int = 0
    controller: int = 0
    rest: int = 0
    jobmanager: int = 0
    zookeeper: int = 0

    def chosen(self) -> "Ports":
        """Return these ports with a free one in place of each 0.

        Raises SandboxError when a port that was asked for is taken.
        """
        asked = {name: port for name, port in asdict(self).items() if port != 0}
        if len(set(asked.values())) < len(asked):
            raise SandboxError(f"each port may be given once; got {asked}")
        for name, port in asked.items():
            if not is_free(port):
                raise SandboxError(f"port {port} ({name}) is taken on {LOOPBACK}: free it, or pass 0 for any free one")
        chosen: dict[str, int] = dict(asked)
        for name in asdict(self).keys() - asked.keys():
            chosen[name] = free_port(avoid=set(chosen.values()))
        return Ports(**chosen)


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of the loopback interface now."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the JVMs do: TIME_WAIT does not block them
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port(avoid: set[int]) -> int:
    """Return a random free port that is not in `avoid`, below the range of outgoing connections."""
    candidates = [port for port in range(LOWEST_FREE, first_ephemeral_port()) if port not in avoid]
    random.SystemRandom().shuffle(candidates)
    for port in candidates:
        if is_free(port):
            return port
    raise SandboxError(f"no free port on {LOOPBACK} from {LOWEST_FREE} on: stop what holds them (`ss -ltn`)")


def first_ephemeral_port() -> int:
    """Return the first port of the kernel's range for outgoing connections, or Linux's default for it."""
    try:
        return max(int(EPHEMERAL.read_text().split()[0]), LOWEST_FREE + 1000)
    except OSError:
        return 32_768
