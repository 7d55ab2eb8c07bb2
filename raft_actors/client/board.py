"""Who is asked: what a client knows of the nodes, and which of its requests is under way where.

Plain decisions: nothing here waits. A `Line` is a connection as the board sees it: what is to be sent over it lies in
`outgoing`, and `wake` has its task send it.

Each node says who leads, and in which term, whenever that changes. A request goes to a node that knows the leader of
the highest term that any node knows: a proposal to the leader itself if it can be reached, a read to whoever has the
fewest. Where a node falls behind what others know, it is cut off, or will be told soon: after `GRACE_S` its requests
are taken back and asked elsewhere, which is safe because commands have numbers in a session. While nobody knows a
leader they wait here, and go on when somebody does: no request is sent in vain, and nothing spins.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from random import Random
from typing import Any

from raft_actors.client.call import Call, Need
from raft_actors.client.line import Line
from raft_actors.client.refusals import Verdict, error_of, overload_of, verdict_of
from raft_actors.errors import CommandTooLarge
from raft_actors.node.client_messages import Ask, Notice, Tell, refusal_of, unpack

GRACE_S = 0.03
"""How long a node may be behind what others know before its requests are taken back."""

RESEND_S = 0.05
"""How long after a leader is known what was sent in an earlier term may still be answered, before it is sent once more:
the node that has it may have handed it on to a leader that is gone, or wait to hear what became of it."""

ATTEMPT_S = 1.5
"""How long a node may take for what another one could answer as well: a read, or a proposal at one that does not lead.
It may be that it hears the leader, and the leader does not hear it."""

_PAUSES_S = (0.01, 0.5)
_HEAD_BYTES = 16


class Board:
    """All lines and all requests of one client.

    Attributes:
        lines: address → line, of those that are up or tried.
        open: all requests that are not answered, in the order in which they came, which is that of their deadlines.
        members: id → address, by the newest configuration that a node has told; empty: none has.
        leader: who leads, as far as any node knows.
        term: of that leader.
        reached: member's id → where it was last reached.
        troubles: address → why it could not be reached, or does not serve this client.
        token: all that this client has been told is in the state that this stands for.
    """

    def __init__(
        self, rng: Random, now: Callable[[], float], alarm: Callable[[float], None], changed: Callable[[], None]
    ) -> None:
        """Make one.

        Args:
            rng: for pauses.
            now: tells the time.
            alarm: called with a time at which `tick` is to be called.
            changed: called when a leader, a member or a line has come or gone.
        """
        self.lines: dict[str, Line] = {}
        self.open: OrderedDict[Call, None] = OrderedDict()
        self.members: Mapping[str, str] = {}
        self.leader: str | None = None
        self.term: int = 0
        self.reached: dict[str, str] = {}
        self.troubles: dict[str, str] = {}
        self.token = 0
        self._config = -1
        self._best: tuple[bool, int] = (False, -1)
        self._leader_line: Line | None = None
        self._rng = rng
        self._now = now
        self._alarm = alarm
        self._changed = changed
        self._ready: dict[Need, OrderedDict[Call, None]] = {need: OrderedDict() for need in Need}
        self._paused: list[tuple[float, int, Call]] = []
        self._count = count()
        self._turn = 0
        self._next_check = 0.0
        self._resend_at = math.inf

    # --- requests --------------------------------------------------------------------------------------------

    def submit(self, call: Call) -> None:
        """Have a new request answered."""
        if not self.open:
            self._alarm(call.deadline)
        self.open[call] = None
        ready = self._ready[call.need]
        if ready or not self._place(call):
            ready[call] = None
            self._wake_lines()

    def forget(self, call: Call) -> None:
        """It is answered, or nobody waits for it any more."""
        self.open.pop(call, None)
        self._ready[call.need].pop(call, None)
        if call.line is not None:
            call.line.cancel(call)
            if self.waits:  # there is room for one of them now
                self._alarm(self._now())

    def _place(self, call: Call) -> bool:
        """Send a request to a node that can answer it, if there is one now."""
        line = self._line_for(call)
        if line is None:
            return False
        call.sent_term, most_bytes = (0, 0) if line.notice is None else (line.notice.term, line.notice.most_bytes)
        if len(call.body) + _HEAD_BYTES > most_bytes:
            call.refuse(CommandTooLarge(len(call.body), most_bytes))
        else:
            call.sent_at = self._now()
            line.send(call)
            if call.sent_at >= self._next_check:
                self._next_check = call.sent_at + ATTEMPT_S
                self._alarm(self._next_check)
        return True

    def _line_for(self, call: Call) -> Line | None:
        need, leader = call.need, self._leader_line
        if need is Need.LEADER and leader is not None and leader.has_room:
            return leader
        if need is not Need.NODE and not self._best[0]:
            return None
        best: Line | None = None
        lines = list(self.lines.values())
        self._turn = turn = (self._turn + 1) % max(1, len(lines))
        for line in lines[turn:] + lines[:turn]:
            if (
                line.has_room
                and line.rank == self._best
                and (
                    best is None or best is call.avoid or (line is not call.avoid and len(line.calls) < len(best.calls))
                )
            ):
                best = line
        return best

    @property
    def waits(self) -> bool:
        """Whether a request waits for a node that can answer it."""
        return any(self._ready.values())

    def _wake_lines(self) -> None:
        """Have all lines looked after: what their nodes said last may not be so any more, and they be gone."""
        for line in self.lines.values():
            line.wake()

    def _place_ready(self) -> None:
        for ready in self._ready.values():
            while ready:
                call = next(iter(ready))
                if not self._place(call):
                    break
                ready.pop(call, None)

    def _again(self, calls: Iterable[Call]) -> None:
        """Ask these again, before all others: they came first."""
        for call in reversed(list(calls)):
            call.line = None
            ready = self._ready[call.need]
            ready[call] = None
            ready.move_to_end(call, last=False)
            self._wake_lines()

    # --- what nodes say --------------------------------------------------------------------------------------

    def heard(self, line: Line, payload: bytes) -> None:
        """Take in what a node says.

        Raises:
            ProtocolError: it is nothing that a node may say.
        """
        kind, number, body = unpack(payload)
        if kind == Tell.NOTICE:
            self._noticed(line, Notice.decode(body))
        elif kind in (Tell.RESULTS, Tell.ANSWER, Tell.REFUSAL):
            call = line.calls.get(number)
            if call is None:
                return
            # What is no answer ends the connection, and leaves the call among those that are asked again elsewhere.
            refusal = refusal_of(body) if kind == Tell.REFUSAL else None
            answer = call.opened(body) if refusal is None else None
            del line.calls[number]
            call.line = None
            if refusal is None:
                call.resolve(answer)
            else:
                self._refused(call, refusal)
            if self.waits:
                self._place_ready()

    def _refused(self, call: Call, refusal: dict[str, Any]) -> None:
        verdict = verdict_of(refusal, several=call.several)
        call.refusal = refusal["text"]
        if verdict is Verdict.FINAL:
            call.fail(error_of(refusal, proposes=call.ask is Ask.PROPOSE, in_doubt=call.in_doubt))
            return
        call.in_doubt |= verdict is Verdict.UNKNOWN
        shortest, longest = _PAUSES_S
        now = self._now()
        pause_s = max(shortest, call.pause_s) * self._rng.uniform(0.5, 1.0)
        call.pause_s = min(longest, 2 * max(shortest, call.pause_s))
        call.overload = overload = overload_of(refusal)
        if overload is not None and overload.retry_after_s > pause_s:
            pause_s = overload.retry_after_s * self._rng.uniform(1.0, 2.0)  # not all that were told the same at once
        heapq.heappush(self._paused, (now + pause_s, next(self._count), call))
        self._alarm(now + pause_s)

    def _noticed(self, line: Line, notice: Notice) -> None:
        line.notice = notice
        self.troubles.pop(line.address, None)
        self.reached[notice.node_id] = line.address
        if notice.config > self._config:
            self._config, self.members = notice.config, dict(notice.members)
            self.reached = {member: at for member, at in self.reached.items() if member in self.members}
        self._look()

    def lost(self, line: Line, why: str) -> None:
        """A line is down: what was under way there is asked elsewhere."""
        line.notice = None
        line.behind_since = math.inf
        line.outgoing.clear()
        self.troubles[line.address] = why
        self._take_back(line, list(line.calls.values()))
        self._look()

    def _take_back(self, line: Line, calls: list[Call]) -> None:
        for call in calls:
            call.in_doubt = True
            call.avoid = line
            line.cancel(call)
        self._again(calls)

    def _take_back_older(self) -> None:
        """Send once more what was sent before this leader was known, and has not been answered since."""
        for line in self.lines.values():
            older = [call for call in line.calls.values() if call.sent_term < self.term and call.need is not Need.NODE]
            self._take_back(line, older)

    def _take_back_overdue(self, now: float) -> None:
        """Ask elsewhere what a node has not answered for long, if there is another one."""
        able = [line for line in self.lines.values() if line.notice is not None and line.rank == self._best]
        for line in able if len(able) > 1 else ():
            is_leader = line is self._leader_line
            overdue = [
                call
                for call in line.calls.values()
                if now - call.sent_at >= ATTEMPT_S and not (is_leader and call.need is Need.LEADER)
            ]
            self._take_back(line, overdue)

    def _look(self) -> None:
        """See who knows most, now that something has changed."""
        now = self._now()
        up = [line for line in self.lines.values() if line.notice is not None]
        self._best = max((line.rank for line in up), default=(False, -1))
        leader, term = self.leader, self.term
        self.leader = None
        self._leader_line = None
        for line in up:
            notice = line.notice
            if line.rank < self._best:
                if line.behind_since == math.inf:
                    line.behind_since = now
                    self._alarm(now + GRACE_S)
                continue
            line.behind_since = math.inf
            if notice is not None and notice.leader is not None:
                self.leader, self.term = notice.leader, notice.term
        if self.leader is not None:
            self._leader_line = next(
                (one for one in up if one.notice and one.notice.node_id == self.leader and one.rank == self._best), None
            )
        if (self.leader, self.term) != (leader, term) and self.leader is not None:
            # Whoever was refused for want of a leader need not wait longer.
            self._resume(math.inf)
            self._resend_at = now + RESEND_S
            self._alarm(self._resend_at)
        self._place_ready()
        self._changed()

    # --- time ------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Do what is due, and have the alarm set for what is due next."""
        now = self._now()
        while self.open:
            call = next(iter(self.open))
            if call.deadline > now:
                break
            call.give_up(self.why(call))
        self._resume(now)
        for line in self.lines.values():
            if line.notice is not None and line.behind_since + GRACE_S <= now and line.calls:
                self._take_back(line, list(line.calls.values()))
        if now >= self._resend_at:
            self._resend_at = math.inf
            self._take_back_older()
        under_way = any(line.calls for line in self.lines.values())
        if now >= self._next_check and under_way:
            self._next_check = now + ATTEMPT_S / 2
            self._take_back_overdue(now)
        self._place_ready()
        nexts = [line.behind_since + GRACE_S for line in self.lines.values() if line.calls]
        nexts += [self._next_check] if under_way else []
        nexts.append(self._resend_at)
        nexts += [next(iter(self.open)).deadline] if self.open else []
        nexts += [self._paused[0][0]] if self._paused else []
        self._alarm(min(nexts, default=math.inf))

    def _resume(self, now: float) -> None:
        while self._paused and self._paused[0][0] <= now:
            call = heapq.heappop(self._paused)[2]
            if not call.done:
                self._ready[call.need][call] = None
                self._wake_lines()

    def why(self, call: Call | None = None) -> str:
        """What is known of why nobody answers."""
        if call is not None and call.refusal:
            return call.refusal
        if self.troubles:
            return "; ".join(f"{address}: {trouble}" for address, trouble in self.troubles.items())
        if any(line.notice is not None for line in self.lines.values()):
            return "no leader is known" if self.leader is None else "no answer came"
        return "no node was reached yet"

    def give_up_all(self, why: str) -> None:
        """Answer nobody any more."""
        for call in list(self.open):
            call.give_up(why)

    # --- lines -----------------------------------------------------------------------------------------------

    def wanted(self, seeds: Iterable[str]) -> dict[str, str | None]:
        """Where there should be lines to: address → which member is there, where that is known.

        One to each member. To the addresses that the client was given, while no member is reached that knows a leader:
        one that was removed without hearing of it knows none, and nothing of those that came since.
        """
        up: dict[str, str] = {}
        for line in self.lines.values():
            if line.notice is not None:
                up.setdefault(line.notice.node_id, line.address)  # of two, the one that is used already
        wanted: dict[str, str | None] = {}
        for member, address in self.members.items():
            if member in up:
                wanted[up[member]] = member
            else:
                wanted |= {at: member for at in (address, self.reached.get(member)) if at}
        if self.leader is None:
            wanted |= {seed: None for seed in seeds if seed not in wanted}
        return wanted


__all__ = ["GRACE_S", "Board", "Line"]
