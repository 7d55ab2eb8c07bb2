"""The handshake of a client, which is no member: a hello with a name of its own, and the answer that nodes get, too.

A node of a version that serves no clients answers it as it does a stranger's, and says what it can do: so a client
knows what is wrong there.
"""

from __future__ import annotations

from raft_actors.errors import ConfigurationError, ProtocolError
from raft_actors.raft.features import CLIENTS
from raft_actors.transports.abc import Endpoint
from raft_actors.transports.wire.handshake import MAX_ID_BYTES, Answer, Hello, ProtocolRange, Verdict, other_version


def client_hello(cluster_id: str, name: str, protocol: ProtocolRange) -> Hello:
    """What a client says first.

    Raises:
        ConfigurationError: its name can't be one.
    """
    if not name or len(name.encode()) > MAX_ID_BYTES:
        raise ConfigurationError(f"a client's name has 1 to {MAX_ID_BYTES} bytes, not {len(name.encode())}")
    return Hello(cluster_id, "", "", protocol, client=name)


def judge_client(hello: Hello, endpoint: Endpoint, protocol: ProtocolRange) -> Answer:
    """Decide whether the node of this endpoint serves the client that says this hello, of which the transport knows
    what it may do.
    """
    if protocol.agree(hello.protocol) is None:
        return Answer(Verdict.OTHER_VERSION, protocol, other_version(protocol, hello.protocol))
    if hello.cluster_id != endpoint.cluster_id:
        return Answer(Verdict.OTHER_CLUSTER, protocol, f"this is a node of cluster {endpoint.cluster_id!r}")
    if endpoint.converse is None:
        return Answer(Verdict.OTHER_REASON, protocol, "this node serves no clients")
    return Answer(Verdict.ACCEPTED, protocol, "", endpoint.incarnation, endpoint.configuration_index())


def check_answer(answer: Answer, ours: ProtocolRange) -> None:
    """See that a node serves this client.

    Raises:
        ProtocolError: it does not; the message says why.
    """
    if ours.agree(answer.protocol) is None:
        raise ProtocolError(other_version(ours, answer.protocol).replace("this node", "this client"))
    if CLIENTS not in answer.protocol.features:
        raise ProtocolError("it is of a version that serves no clients: upgrade it")
    if answer.verdict is not Verdict.ACCEPTED:
        said = f"{answer.verdict.name}: {answer.detail}" if answer.detail else answer.verdict.name
        raise ProtocolError(f"it refuses: {said}")
