"""Who carries out which effect of a role."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from raft_actors.actors.pending import Pending
from raft_actors.node.acquaintances import Acquaintances
from raft_actors.node.applier import Applier
from raft_actors.node.events import (
    EventHub,
    FollowerLeftBehind,
    LeadershipGivenUp,
    SnapshotInstalled,
    SnapshotTaken,
    StatesDiffer,
)
from raft_actors.node.installer import SnapshotInstaller
from raft_actors.node.refused_messages import RefusedMessages
from raft_actors.node.role_actors import Performers
from raft_actors.node_log import NodeLog
from raft_actors.persistence.actor import PersistenceActor
from raft_actors.raft.effects import (
    AnnounceSnapshot,
    AnswerReads,
    Apply,
    ChangeBegun,
    DiscardSnapshot,
    DoubtStore,
    GiveLeadershipUp,
    KeepResults,
    LeaveBehind,
    LookAgain,
    Persist,
    Refuse,
    RefuseMessage,
    RestoreSnapshot,
    Send,
    StoreChunk,
    TellDifference,
    Transferred,
)
from raft_actors.raft.membership import Goal
from raft_actors.raft.messages import ForwardProposals
from raft_actors.raft.transitions import GivenUp
from raft_actors.transports.abc import Transport

_logger = logging.getLogger(__name__)


def performers(
    acquaintances: Acquaintances,
    *,
    transport: Transport,
    persistence: PersistenceActor[Persist],
    applier: Applier,
    installer: SnapshotInstaller,
    events: EventHub,
    refused_messages: RefusedMessages,
    not_sent: Callable[[int], None],
) -> Performers:
    """How to perform every effect that is not a leader's own.

    Args:
        not_sent: called with the number of a forwarded batch that the transport has refused.
    """
    log = NodeLog(_logger, acquaintances.node_id)

    def send(effect: Send) -> None:
        if not transport.send_nowait(effect.to, effect.message) and type(effect.message) is ForwardProposals:
            not_sent(effect.message.number)

    def restore(effect: RestoreSnapshot) -> None:
        applier.tell(effect)
        events.publish(SnapshotInstalled(effect.snapshot))

    def announce(effect: AnnounceSnapshot) -> None:
        applier.snapshot_ended(effect.snapshot)
        if effect.taken:
            events.publish(SnapshotTaken(effect.snapshot))

    # A role gives back what was handed in to it, of which it looks at no more than a `Request` has.
    def refuse(effect: Refuse) -> None:
        cast("Pending[Any]", effect.outcome).fail(effect.error)

    def transferred(effect: Transferred) -> None:
        cast("Pending[str]", effect.request).resolve(effect.leader)

    def change_begun(effect: ChangeBegun) -> None:
        cast("Pending[tuple[int, Goal]]", effect.request).resolve((effect.index, effect.goal))

    return {
        GiveLeadershipUp: partial(_give_up, log, events),
        TellDifference: partial(_tell_difference, log, events),
        LeaveBehind: partial(_leave_behind, log, events),
        LookAgain: partial(_look_again, applier),
        Send: send,
        Persist: persistence.persist,
        RestoreSnapshot: restore,
        AnnounceSnapshot: announce,
        Apply: applier.commit_to,
        AnswerReads: applier.reads.answer_when_applied,
        KeepResults: applier.keep_results,
        Refuse: refuse,
        RefuseMessage: refused_messages.refuse,
        DoubtStore: acquaintances.doubt_store,
        Transferred: transferred,
        ChangeBegun: change_begun,
        StoreChunk: installer.notify,
        DiscardSnapshot: installer.notify,
    }


def _give_up(log: NodeLog, events: EventHub, effect: GiveLeadershipUp) -> None:
    if effect.reason is GivenUp.HUNG_DISK:
        log.warning("gives leadership up: its disk has done nothing for %.1f s, a majority goes on", effect.silent_s)
    else:
        log.warning("gives leadership up: no majority has answered for %.1f s", effect.silent_s)
    events.publish(LeadershipGivenUp(effect.term, effect.reason, effect.silent_s))


def _tell_difference(log: NodeLog, events: EventHub, effect: TellDifference) -> None:
    difference = effect.difference
    if difference.error is not None:
        raise difference.error  # at once: nothing more is answered out of a wrong state
    digests = {node: digest.hex() for node, digest in difference.digests.items()}
    states = ", ".join(f"{node} {digest}" for node, digest in digests.items())
    log.error("sees replicas with different states at index %d: %s", difference.index, states)
    events.publish(StatesDiffer(difference.index, digests))


def _leave_behind(log: NodeLog, events: EventHub, effect: LeaveBehind) -> None:
    log.warning(
        "%s is left behind: it still needs entries from %d on, and the log begins with %d now (config: "
        "max_catch_up_bytes). It gets a newer snapshot",
        effect.peer,
        effect.needed,
        effect.first_index,
    )
    events.publish(FollowerLeftBehind(effect.peer, effect.needed, effect.first_index))


def _look_again(applier: Applier, _effect: LookAgain) -> None:
    applier.moved.unpark_all()
