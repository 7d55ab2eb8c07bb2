"""What the command line says to arguments that can't be right: one line, exit code 2, no traceback."""

from __future__ import annotations

import pytest

from raft_actors.cli.main import main
from raft_actors.cli.options import Listen, Member, listen, member, milliseconds_range
from raft_actors.transports.sockets.addresses import Address

NODE = "--node=n1=127.0.0.1:7001,127.0.0.1:6379"
SERVE = ["serve", "--id=n1", "--cluster=kv", "--data=n1.db", NODE]


def fail(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run with these arguments, which must be refused; return what is said."""
    code: object = None
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    assert said.err.startswith("raft-actors: ")
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: SUBCOMMAND; see raft-actors --help"),
        (["nosuch"], "invalid choice: 'nosuch'"),
        (["serve"], "required: --id, --cluster, --node, --data; see raft-actors serve --help"),
        ([*SERVE, "--oops"], "unrecognized arguments: --oops"),
        ([*SERVE, "--node=n2"], "'n2' is no node: write ID=HOST:RAFTPORT,HOST:REDISPORT"),
        ([*SERVE, "--node==h:1,h:2"], "is no node"),
        ([*SERVE, "--node=n2=h:1"], "is no node"),
        ([*SERVE, "--node=n2=h:1,h"], "address 'h' has no port"),
        ([*SERVE, "--node=n2=h:0,h:1"], "nobody can be reached at port 0"),
        ([*SERVE, "--node=n1=h:1,h:2"], "--node n1=… is given twice"),
        ([*SERVE, "--node=n2=h:1,127.0.0.1:7001"], "127.0.0.1:7001 is used by node n1 and by node n2"),
        ([*SERVE, "--id=n2"], "--id n2 is none of the nodes (n1): add its --node"),
        ([*SERVE, "--cluster="], "--cluster: '' is no name: take 1 to 255 printable characters"),
        ([*SERVE, "--cluster=a\nb"], r"--cluster: 'a\nb' is no name"),
        ([*SERVE, "--id=n\udcff"], r"--id: 'n\udcff' is no name"),  # bytes that are no UTF-8
        ([*SERVE, "--node=n\t=h:1,h:2"], r"--node: 'n\t' is no name"),
        ([*SERVE, "--listen=10.0.0.1:7000"], "'10.0.0.1:7000' is neither HOST nor HOST:RAFTPORT,HOST:REDISPORT"),
        ([*SERVE, "--listen=::"], "'::' is neither HOST nor HOST:RAFTPORT,HOST:REDISPORT"),
        ([*SERVE, "--listen=h:1,h"], "address 'h' has no port"),
        ([*SERVE, "--listen=h:1,h:1"], "--listen: nodes and clients can't both be served at h:1"),
        ([*SERVE, "--data=/"], "--data / is a folder: name a file in it, such as /node.db"),
        ([*SERVE, "--data=/dev/null"], "--data /dev/null is no regular file"),
        ([*SERVE, "--max-command-bytes=100"], "100 bytes: take 65536 to 67108864"),
        ([*SERVE, "--election-timeout-ms=400"], "'400' is no range: write SHORTEST-LONGEST"),
        ([*SERVE, "--election-timeout-ms=800-400"], "'800-400' is no range: 400 must be more than 800"),
        ([*SERVE, "--heartbeat-ms=x"], "'x' is no whole number above 0"),
        (
            [*SERVE, "--heartbeat-ms=350"],
            "--heartbeat-ms 350 must be at most half of the shortest --election-timeout-ms",
        ),
        ([*SERVE, "--snapshot-entries=0"], "'0' is no whole number above 0"),
        ([*SERVE, "--trailing-entries=-1"], "'-1' is no whole number from 0 on"),
        (["inspect"], "required: FILE"),
        (["inspect", "n1.db", "--entries=a:b"], "'a:b' is no range of indexes"),
        (["inspect", "n1.db", "--entries=" + "9" * 5000], "is no range of indexes"),
        (["simulate", "--failures=/no/such/folder/f"], "--failures: '/no/such/folder/f': there is no folder"),
        (["simulate", "--failures=/"], "--failures: '/' is a folder: name a file in it"),
        (["simulate", "--trace=/no/such/folder/t.html"], "--trace: '/no/such/folder/t.html': there is no folder"),
        (["demo", "--nodes=2"], "2 nodes: take 3 to 9"),
        (["demo", "--connections=0"], "'0' is no whole number above 0"),
    ],
)
def test_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in fail(arguments, capsys)


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["inspect", "--help"], ["demo", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(arguments)
    assert capsys.readouterr().out.startswith("usage: raft-actors")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.startswith("raft-actors ")


def test_values() -> None:
    assert member("n1=[::1]:7000,db1:6379") == Member("n1", Address("::1", 7000), Address("db1", 6379))
    assert milliseconds_range("400-800") == (0.4, 0.8)
    assert listen("0.0.0.0:7000,db1:6379") == Listen(Address("0.0.0.0", 7000), Address("db1", 6379))
    for text, host in (("0.0.0.0", "0.0.0.0"), ("[::]", "::")):
        assert listen(text).of(member("n1=db1:7000,db1:6379")) == (Address(host, 7000), Address(host, 6379))
