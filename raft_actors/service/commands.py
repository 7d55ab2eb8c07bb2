"""The table of the commands that the service knows, and how a request finds its command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import attrs

from raft_actors.service import admin, authentication, cluster, data, timed, transactions
from raft_actors.service.command import AfterMulti, Command, KeyWalk, Local, Read, Write
from raft_actors.service.connection import Context, Session
from raft_actors.service.data import SYNTAX_ERROR
from raft_actors.service.keyvalue import Question
from raft_actors.service.replies import ErrorReply, Reply
from raft_actors.service.resp import Request
from raft_actors.service.users import Rights

_ALL, _PAIRS, _NO_KEYS = (1, -1, 1), (1, -1, 2), (0, 0, 0)
_LOCAL_FLAGS = ("loading", "stale")


def _write(
    name: str,
    arity: int,
    summary: str,
    prepare: Callable[[Request], bytes | ErrorReply],
    keys: tuple[int, int, int] = (1, 1, 1),
    weight: int = 1,
    *,
    appends: bool = False,
) -> Write:
    flags = ("write", "denyoom")
    return Write(name, arity, summary, flags, keys, prepare=prepare, weight=weight, appends=appends)


def _read(
    name: str,
    arity: int,
    summary: str,
    prepare: Callable[[Request], Question | ErrorReply],
    keys: tuple[int, int, int] = (1, 1, 1),
    weight: int = 1,
) -> Read:
    return Read(name, arity, summary, ("readonly",), keys, prepare=prepare, weight=weight)


def _walk(name: str, arity: int, summary: str, prepare: Callable[[Request], data.Walk | ErrorReply]) -> KeyWalk:
    refused = AfterMulti.REFUSED
    return KeyWalk(name, arity, summary, ("readonly",), _NO_KEYS, prepare=prepare, after_multi=refused)


def _local(
    name: str,
    arity: int,
    summary: str,
    answer: Callable[[Context, Session, Request], Awaitable[Reply]],
    after_multi: AfterMulti = AfterMulti.QUEUED,
    *,
    waits: bool = False,
    weight: int = 1,
    before_login: bool = False,
) -> Local:
    return Local(
        name,
        arity,
        summary,
        (*_LOCAL_FLAGS, *(["no_auth"] if before_login else ())),
        _NO_KEYS,
        answer=answer,
        after_multi=after_multi,
        waits=waits,
        weight=weight,
        before_login=before_login,
    )


def _group(name: str, summary: str, *subcommands: Local) -> Command:
    """A command of which there are only subcommands."""
    return attrs.evolve(Command(name, -2, summary, _LOCAL_FLAGS, _NO_KEYS), subcommands=_by_last_name(subcommands))


def _by_last_name(subcommands: Iterable[Command]) -> dict[bytes, Command]:
    return {command.name.partition("|")[2].encode(): command for command in subcommands}


def _client() -> Command:
    return _group(
        "client",
        "This connection's name and number",
        _local("client|id", 2, "Its number", admin.client_id),
        _local("client|getname", 2, "Its name", admin.client_getname),
        _local("client|setname", 3, "Give it a name", admin.client_setname),
        _local("client|setinfo", 4, "What the client is: it is not kept", admin.client_setinfo),
    )


def _cluster() -> Command:
    return _group(
        "cluster",
        "Who serves clients, and where",
        _local("cluster|slots", 2, "The nodes, the master first", cluster.slots, weight=100),
        _local("cluster|shards", 2, "The same with more of each", cluster.shards, weight=100),
        _local("cluster|nodes", 2, "The same as text", cluster.nodes, weight=100),
        _local("cluster|info", 2, "How the cluster is", cluster.info, weight=100),
        _local("cluster|myid", 2, "This node's id", cluster.my_id, weight=100),
        _local("cluster|keyslot", 3, "The slot of a key", cluster.key_slot, weight=100),
    )


def _raft_wait() -> Command:
    leader, applied = "raft.wait|leader", "raft.wait|applied"
    refused = AfterMulti.REFUSED
    return _group(
        "raft.wait",
        "Wait for LEADER, or until an index is APPLIED here",
        _local(leader, 2, "Wait until there is a leader", admin.wait_leader, refused, waits=True),
        _local(applied, 3, "Wait until an index is applied here", admin.wait_applied, refused, waits=True),
    )


def _command() -> Command:
    subcommands = (
        _local("command|count", 2, "How many commands there are", command_count),
        _local("command|list", -2, "Their names", command_list, weight=100),
        _local("command|info", -2, "What they take", command_info, weight=100),
        _local("command|docs", -2, "What they do", command_docs, weight=100),
    )
    command = _local("command", -1, "The commands of this service", command_, weight=100)
    return attrs.evolve(command, subcommands=_by_last_name(subcommands))


def _command_table() -> dict[str, Command]:
    at_once, refused = AfterMulti.AT_ONCE, AfterMulti.REFUSED
    entries: Iterable[Command] = (
        _write("set", -3, "Set a key to a value [NX | XX] [GET] [EX | PX | EXAT | PXAT | KEEPTTL]", timed.prepare_set),
        _write("setnx", 3, "Set a key that does not exist yet", data.prepare_setnx),
        _write("getset", 3, "Set a key and return its old value", data.prepare_getset),
        _write("setex", 4, "Set a key for some seconds", timed.prepare_setex),
        _write("psetex", 4, "Set a key for some milliseconds", timed.prepare_psetex),
        _write("getdel", 2, "Return the value of a key, and delete it", data.prepare_getdel),
        _write("getex", -2, "Return the value of a key, and have it expire, or not", timed.prepare_getex),
        _write("expire", -3, "Have a key expire in some seconds", timed.prepare_expire),
        _write("pexpire", -3, "Have a key expire in some milliseconds", timed.prepare_pexpire),
        _write("expireat", -3, "Have a key expire at a time in seconds", timed.prepare_expireat),
        _write("pexpireat", -3, "Have a key expire at a time in milliseconds", timed.prepare_pexpireat),
        _write("persist", 2, "Have a key expire no more", timed.prepare_persist),
        _write("mset", -3, "Set many keys at once", data.prepare_mset, _PAIRS),
        _write("del", -2, "Delete keys", data.prepare_del, _ALL),
        _write("unlink", -2, "Delete keys", data.prepare_del, _ALL),
        _write("incr", 2, "Add one to an integer", data.prepare_incr),
        _write("incrby", 3, "Add to an integer", data.prepare_incrby),
        _write("decr", 2, "Subtract one from an integer", data.prepare_decr),
        _write("decrby", 3, "Subtract from an integer", data.prepare_decrby),
        _write("append", 3, "Append to a value", data.prepare_append, appends=True),
        _write("flushall", -1, "Delete all keys", data.prepare_flushall, _NO_KEYS, weight=1000),
        _write("flushdb", -1, "Delete all keys", data.prepare_flushall, _NO_KEYS, weight=1000),
        _read("get", 2, "The value of a key", data.prepare_get),
        _read("mget", -2, "The values of many keys", data.prepare_mget, _ALL),
        _read("exists", -2, "How many of the keys exist", data.prepare_exists, _ALL),
        _read("strlen", 2, "The length of a value", data.prepare_strlen),
        _read("type", 2, "The type of a value: string or none", data.prepare_type),
        _read("ttl", 2, "How many seconds a key has left", timed.prepare_ttl),
        _read("pttl", 2, "How many milliseconds a key has left", timed.prepare_pttl),
        _read("dbsize", 1, "How many keys there are", data.prepare_dbsize, _NO_KEYS, weight=500),
        _walk("keys", 2, "All keys that match a pattern", data.prepare_keys),
        _walk("scan", -2, "Some of the keys, from a cursor on", data.prepare_scan),
        _local("ping", -1, "Answer PONG, or the argument", admin.ping),
        _local("echo", 2, "Answer the argument", admin.echo),
        _local("info", -1, "What this node knows of itself and its cluster", admin.info, weight=100),
        _local("auth", -2, "Say who you are", authentication.auth, refused, waits=True, before_login=True),
        _local("hello", -1, "Choose the protocol's version", admin.hello, refused, waits=True, before_login=True),
        _client(),
        _group("config", "Settings, to be read only", _local("config|get", -3, "Some of them", admin.config_get)),
        _local("select", 2, "Choose a database: there is only 0", admin.select),
        _command(),
        _local("reset", 1, "Make this connection as new", admin.reset, at_once, before_login=True),
        _local("quit", -1, "Close this connection", admin.quit_, at_once, before_login=True),
        _local("multi", 1, "Queue what follows, until EXEC", transactions.multi, at_once),
        _local("exec", -1, "Carry out what was queued, all of it or nothing", transactions.exec_, at_once, waits=True),
        _local("discard", 1, "Forget what was queued", transactions.discard, at_once),
        _local("watch", -2, "Not supported", transactions.watch, at_once),
        _cluster(),
        _local("role", 1, "Whether this node is the master, and who is", cluster.role, weight=100),
        _local("readonly", 1, "Read here, wherever else writes are sent", cluster.readonly),
        _local("readwrite", 1, "The opposite", cluster.readwrite),
        _local("asking", 1, "The next command is meant for this node", cluster.asking),
        _local("raft.moved", 2, "ON: send this client to the leader; OFF: serve it here", cluster.raft_moved, at_once),
        attrs.evolve(
            _local("raft.local", -2, "A read command on this node's own data, which may be stale", raft_local, refused),
            right=Rights.READ,
        ),
        _raft_wait(),
    )
    return {command.name: command for command in entries}


def find(request: Request) -> Command | ErrorReply:
    """The command that a request names, or what is wrong: an unknown name, too few or too many arguments.

    It is the subcommand where there are any: so what is wrong with its name or its arguments is found here, too, before
    it is queued in a transaction.
    """
    name = request[0]
    command = COMMANDS.get(name) or COMMANDS.get(name.lower())
    if command is None:
        return _unknown(request)
    if command.subcommands and len(request) > 1:
        subcommand = command.subcommands.get(request[1].lower())
        if subcommand is None:
            return _unknown_subcommand(command, request[1])
        command = subcommand
    if not command.fewest <= len(request) <= command.most:
        return ErrorReply(f"ERR wrong number of arguments for '{command.name}' command")
    return command


def find_allowed(session: Session, request: Request) -> Command | ErrorReply:
    """Do as `find`, and refuse what the client may not do, in Redis's words and in its order."""
    command = find(request)
    if isinstance(command, ErrorReply) or (command.before_login and command.right in session.rights):
        return command
    if session.user is None:
        return _NOAUTH
    if command.right not in session.rights:
        return ErrorReply(f"NOPERM User {session.user.name} has no permissions to run the '{command.name}' command")
    return command


_NOAUTH = ErrorReply("NOAUTH Authentication required.")
_LONGEST_SHOWN = 128


def _unknown(request: Request) -> ErrorReply:
    """Redis's text, with as many of the arguments as fit."""
    shown = b""
    for argument in request[1:]:
        if len(shown) >= _LONGEST_SHOWN:
            break
        shown += b"'%b' " % _shown(argument, _LONGEST_SHOWN - len(shown))
    name = _shown(request[0], _LONGEST_SHOWN)
    text = b"ERR unknown command '%b', with args beginning with: %b" % (name, shown)
    return ErrorReply(text.decode(errors="surrogateescape"))


def _unknown_subcommand(command: Command, word: bytes) -> ErrorReply:
    text = b"ERR unknown subcommand '%b'. Try %b HELP." % (_shown(word, _LONGEST_SHOWN), command.name.upper().encode())
    return ErrorReply(text.decode(errors="surrogateescape"))


def _shown(word: bytes, most: int) -> bytes:
    """As much of a word as Redis shows: it ends where a string ends in C."""
    return word[:most].partition(b"\0")[0]


# --- the local commands that need the table ---


async def command_(_context: Context, _session: Session, _request: Request) -> Reply:
    """COMMAND"""
    return [command.describe() for command in _TABLE.values()]


async def command_count(_context: Context, _session: Session, _request: Request) -> Reply:
    """COMMAND COUNT"""
    return len(_TABLE)


async def command_list(_context: Context, _session: Session, request: Request) -> Reply:
    """COMMAND LIST"""
    return SYNTAX_ERROR if len(request) > 2 else [name.encode() for name in _TABLE]


async def command_info(_context: Context, _session: Session, request: Request) -> Reply:
    """COMMAND INFO [name …]"""
    names = _names(request)
    chosen = [_TABLE.get(name) for name in names] if names else list(_TABLE.values())
    return [command and command.describe() for command in chosen]


async def command_docs(_context: Context, _session: Session, request: Request) -> Reply:
    """COMMAND DOCS [name …]"""
    known = [_TABLE[name] for name in _names(request) or _TABLE if name in _TABLE]
    return {command.name.encode(): {b"summary": command.summary.encode(), b"arity": command.arity} for command in known}


def _names(request: Request) -> list[str]:
    return [name.lower().decode(errors="replace") for name in request[2:]]


async def raft_local(context: Context, _session: Session, request: Request) -> Reply:
    """RAFT.LOCAL command [argument …]: any read command, on what this node has applied so far.

    May be stale.
    """
    command = find(request[1:])
    if isinstance(command, ErrorReply):
        return command
    if isinstance(command, Read):
        question = command.prepare(request[1:])
        return question if isinstance(question, ErrorReply) else context.machine.query(question)
    if isinstance(command, KeyWalk):
        walk = command.prepare(request[1:])
        return walk if isinstance(walk, ErrorReply) else await walk(context.machine).reply()
    return ErrorReply("ERR RAFT.LOCAL takes a command that reads data")


_TABLE = _command_table()
COMMANDS: dict[bytes, Command] = {
    spelling.encode(): command for command in _TABLE.values() for spelling in (command.name, command.name.upper())
} | {
    # Lines of HTTP. A web page can make a browser send these, with commands of its choice in the lines after
    # them.
    line: _local(
        line.decode(), -1, "Closes the connection", admin.refuse_browser, AfterMulti.AT_ONCE, before_login=True
    )
    for line in (b"post", b"host:")
}
"""Commands by name in lower and in upper case, which is how clients spell them."""
