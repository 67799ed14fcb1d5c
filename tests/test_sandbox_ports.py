import socket

import pytest

from livetower.sandbox.errors import SandboxError
from livetower.sandbox.ports import LOOPBACK, Ports, first_ephemeral_port, free_port, is_free


@pytest.fixture
def taken_port():
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_each_zero_becomes_a_port_of_its_own():
    chosen = Ports().chosen()
    numbers = {chosen.kafka, chosen.controller, chosen.rest, chosen.jobmanager}
    assert len(numbers) == 4
    assert 0 not in numbers


def test_a_port_that_was_asked_for_is_kept():
    wanted = free_port(avoid=set())
    assert Ports(kafka=wanted).chosen().kafka == wanted


def test_a_taken_port_is_refused_by_name(taken_port):
    with pytest.raises(SandboxError, match=rf"port {taken_port} \(rest\) is taken"):
        Ports(rest=taken_port).chosen()


def test_the_same_port_cannot_be_asked_for_twice():
    with pytest.raises(SandboxError, match="each port may be given once"):
        Ports(kafka=20_001, rest=20_001).chosen()


def test_a_free_port_lies_below_the_ports_of_outgoing_connections():
    assert free_port(avoid=set()) < first_ephemeral_port()


def test_a_port_is_free_again_when_its_server_is_gone():
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)
