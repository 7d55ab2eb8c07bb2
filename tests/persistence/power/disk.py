"""A simulated disk: what the system shows of its files, and what of that would survive a loss of power.

Whatever is done to a file is an event. Written data, new sizes, new and removed names are seen at once, and *pending*:
only a sync makes them durable, and a power cut keeps any of them and loses the others, each sector of 512 bytes by
itself. The file system is the least that POSIX promises: syncing a file makes its bytes durable and not its name,
syncing the folder makes all names durable. SQLite's own file system layer syncs the folder at the first sync of a new
journal or write-ahead log; here that makes durable the name of that file alone.

The disk keeps the events in order, so that its state before each can be had again (`Disk.replay`), and asks a hook
before each, which may raise in its stead.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Iterable

import attrs

SECTOR = 512


class Kind(enum.Enum):
    """What an event does."""

    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"
    CREATE = "create"
    REMOVE = "remove"
    SYNC_NAME = "sync of a name"
    SYNC_FOLDER = "sync of the folder"
    GROW = "growth"
    FORGET = "loss of what a failed sync left"
    POWER_CUT = "power cut"
    NOTE = "note"


#: Where nothing is written or synced, there is nothing to crash at.
POINTS = frozenset(Kind) - {Kind.GROW, Kind.FORGET, Kind.POWER_CUT, Kind.NOTE}
_BYTES, _NAMES = {Kind.WRITE, Kind.TRUNCATE}, {Kind.CREATE, Kind.REMOVE}


@attrs.frozen
class Event:
    """One step of the journal. `file` is the file's number; a removed and made again file has another.

    Attributes:
        number: where it begins for WRITE, the size for TRUNCATE and GROW, the seed of the choice for POWER_CUT.
        data: what is written; for GROW the byte that the file grows by.
        note: what a NOTE says.
    """

    kind: Kind
    name: str = ""
    file: int = 0
    number: int = 0
    data: bytes = b""
    note: tuple[str, int] = ("", 0)

    def __str__(self) -> str:
        where = f" of {len(self.data)} bytes at {self.number}" if self.kind is Kind.WRITE else ""
        return f"{self.kind.value}{where} ({self.name})"


@attrs.define
class Image:
    """The files of a folder: which names there are, and what each file holds."""

    names: dict[str, int] = attrs.field(factory=dict[str, int])
    files: dict[int, bytearray] = attrs.field(factory=dict[int, bytearray])

    def copy(self) -> Image:
        return Image(dict(self.names), {file: bytearray(data) for file, data in self.files.items()})

    def apply(self, event: Event) -> None:
        if event.kind is Kind.WRITE:
            self.write(event.file, event.number, event.data)
        elif event.kind is Kind.TRUNCATE:
            del self.files.setdefault(event.file, bytearray())[event.number :]
        elif event.kind is Kind.GROW:
            held = self.files.setdefault(event.file, bytearray())
            held.extend(event.data * (event.number - len(held)))
        elif event.kind is Kind.CREATE:
            self.names[event.name] = event.file
            self.files.setdefault(event.file, bytearray())
        elif event.kind is Kind.REMOVE:
            self.names.pop(event.name, None)

    def write(self, file: int, offset: int, data: bytes) -> None:
        held = self.files.setdefault(file, bytearray())
        if len(held) < offset:
            held.extend(bytes(offset - len(held)))
        held[offset : offset + len(data)] = data

    def contents(self) -> dict[str, bytes]:
        """Every file by its name."""
        return {name: bytes(self.files.get(file, b"")) for name, file in self.names.items()}


#: What becomes of a pending event at a power cut: the events that survive of it, if any.
Choice = Callable[[list[Event]], Iterable[Event]]


@attrs.define(eq=False)
class Disk:
    """One folder. Not to be used by two threads at once.

    Attributes:
        shown: what a running system sees.
        durable: what a power cut leaves for sure.
        pending: the events of `shown` that are not in `durable`, in order.
        journal: every event so far.
        last_file: the highest number of a file so far.
        before: called before each event that a failure could meet; may raise.
    """

    shown: Image = attrs.field(factory=Image)
    durable: Image = attrs.field(factory=Image)
    pending: list[Event] = attrs.field(factory=list[Event])
    journal: list[Event] = attrs.field(factory=list[Event])
    before: Callable[[Event], None] | None = None
    last_file: int = 0

    def do(self, event: Event) -> None:
        """Let an event happen, unless the hook raises."""
        if self.before is not None and event.kind in POINTS:
            self.before(event)
        self.happen(event)

    def happen(self, event: Event) -> None:
        """Let an event happen."""
        self.journal.append(event)
        self.replay(event)

    def replay(self, event: Event) -> None:
        """Let an event of another disk's journal happen here too, without keeping it."""
        kind = event.kind
        if kind is Kind.POWER_CUT:
            self._cut(any_of(random.Random(event.number)))
        elif kind is Kind.SYNC:
            self._settle(lambda one: one.file == event.file and one.kind in _BYTES)
        elif kind is Kind.SYNC_NAME:
            self._settle(lambda one: one.name == event.name and one.kind in _NAMES)
        elif kind is Kind.SYNC_FOLDER:
            self._settle(lambda one: one.kind in _NAMES)
        elif kind is Kind.FORGET:
            self.pending = [one for one in self.pending if one.file != event.file or one.kind in _NAMES]
        elif kind is not Kind.NOTE:
            self.shown.apply(event)
            self.pending.append(event)
            self.last_file = max(self.last_file, event.file)

    def _settle(self, is_synced: Callable[[Event], bool]) -> None:
        left: list[Event] = []
        for one in self.pending:
            if is_synced(one):
                self.durable.apply(one)
            else:
                left.append(one)
        self.pending = left

    def after_power_cut(self, choice: Choice) -> Disk:
        """The disk that comes back when power is lost now, and `choice` says what survives of what is pending."""
        image = self.durable.copy()
        for event in choice(self.pending):
            image.apply(event)
        image.files = {file: image.files.get(file, bytearray()) for file in image.names.values()}
        return Disk(image, image.copy(), last_file=self.last_file)

    def _cut(self, choice: Choice) -> None:
        left = self.after_power_cut(choice)
        self.shown, self.durable, self.pending = left.shown, left.durable, []

    def copy(self) -> Disk:
        """The same disk, with what is pending still so, and an empty journal."""
        return Disk(self.shown.copy(), self.durable.copy(), list(self.pending), last_file=self.last_file)

    def new_file(self) -> int:
        """The number of a file to be made."""
        return self.last_file + 1


def none_of(_: list[Event]) -> Iterable[Event]:
    """Nothing survives but what was synced."""
    return ()


def all_of(pending: list[Event]) -> Iterable[Event]:
    """All survives, as when it was on its way to the disk already."""
    return pending


def any_of(rng: random.Random) -> Choice:
    """Each whole event survives or not."""
    share = rng.choice([0.1, 0.5, 0.9])
    return lambda pending: [event for event in pending if rng.random() < share]


def first_of(rng: random.Random) -> Choice:
    """What was done first survives, up to some event, that one torn."""

    def choose(pending: list[Event]) -> Iterable[Event]:
        count = rng.randint(0, len(pending))
        torn = _sectors(pending[count], rng, 0.5) if count < len(pending) else []
        return [*pending[:count], *torn]

    return choose


def latest_of(rng: random.Random) -> Choice:
    """Nothing but what was done last survives: the disk changed the order."""
    return lambda pending: pending[-rng.randint(1, 3) :]


def sectors_of(rng: random.Random) -> Choice:
    """Each sector of each write survives or not; what a file grew by is there all the same, as zeros or garbage."""
    share, filler = rng.choice([0.1, 0.5, 0.9]), rng.choice([b"", b"\0", b"\x5a"])

    def choose(pending: list[Event]) -> Iterable[Event]:
        found: list[Event] = []
        for event in pending:
            if filler and event.kind is Kind.WRITE:
                end = event.number + len(event.data)
                found.append(attrs.evolve(event, kind=Kind.GROW, number=end, data=filler))
            found += _sectors(event, rng, share)
        return found

    return choose


def _sectors(event: Event, rng: random.Random, share: float) -> list[Event]:
    """The sectors of a write that survive; of another event all or nothing."""
    if event.kind is not Kind.WRITE:
        return [event] if rng.random() < share else []
    found, start, end = list[Event](), event.number, event.number + len(event.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        if rng.random() < share:
            data = event.data[start - event.number : stop - event.number]
            found.append(attrs.evolve(event, number=start, data=data))
        start = stop
    return found
