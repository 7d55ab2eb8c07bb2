#!/usr/bin/env bash
# A PySyncObj node that was removed from its cluster is not told, and says that it is ready.
#
# Seen with:  PySyncObj 0.3.17, CPython 3.11.7, Linux
# What it does:  of three nodes the leader removes one by `removeNodeFromCluster`, which succeeds. It drops the connection along with the
# entry, so the entry that removes the node never reaches that node. From then on it shows the old members as its partners, stands
# for elections that nobody answers, and `isReady()` remains True. A command that it is given (with the default `commandsWaitLeader`)
# is neither refused nor carried out: it waits for a leader that can't come.
# Why it surprises:  the removal is done, as all others agree, and the one it is about would hear of it by a single message, as etcd and
# others have it (that a server which is gone disturbs the rest is in Raft's own dissertation, 4.2.3; that the rest keeps it to
# themselves is not). `isReady` is documented as "initially synced with others and has an actual data", which is what a health
# check asks. So the check is green, the clients wait, and nothing in the node's log or status tells being removed from being cut off.
#
# Output seen:
#   the leader has removed it, and has 1 partner
#   the removed node, once it has given up the old leader: partners 2, leader None, isReady() True
#   a command by way of it: Timeout
#   a command by way of the others: 2
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pysyncobj==0.3.17

"$folder/venv/bin/python" - <<'PYTHON'
import os
import socket
import sys
import time

from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, SyncObjException, replicated

PATIENCE_S = 60


class Counter(SyncObj):
    def __init__(self, own, others):
        super().__init__(own, others, SyncObjConf(dynamicMembershipChange=True))
        self.value = 0

    @replicated
    def add(self):
        self.value += 1
        return self.value


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            print(f"it did not come to this: {what}", file=sys.stderr)
            os._exit(3)
        time.sleep(0.05)


listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
addresses = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
for listener in listeners:
    listener.close()
nodes = [Counter(own, [other for other in addresses if other != own]) for own in addresses]
wait_until(lambda: all(node.isReady() for node in nodes), "all nodes are ready")
nodes[0].add(sync=True, timeout=PATIENCE_S)
wait_until(lambda: all(node.value == 1 for node in nodes), "all nodes have applied the first command")

leader_id = nodes[0].getStatus()["leader"]
(leader,) = (node for node in nodes if node.selfNode == leader_id)
removed, staying = (node for node in nodes if node is not leader)
answers = []
leader.removeNodeFromCluster(removed.selfNode, callback=lambda _, error: answers.append(error))
wait_until(lambda: answers, "the removal is answered")
partners_of_leader = leader.getStatus()["partner_nodes_count"]
if answers != [FAIL_REASON.SUCCESS]:
    sys.exit("the removal failed")
print(f"the leader has removed it, and has {partners_of_leader} partner")

wait_until(lambda: removed.getStatus()["leader"] is None or not removed.isReady(), "it gives up the old leader")
status = removed.getStatus()
partners, leading, ready = status["partner_nodes_count"], status["leader"], removed.isReady()
print(f"the removed node, once it has given up the old leader: partners {partners}, leader {leading}, isReady() {ready}")
try:
    told = removed.add(sync=True, timeout=3)
except SyncObjException as error:
    told = error.errorCode
print(f"a command by way of it: {told}")
of_others = staying.add(sync=True, timeout=PATIENCE_S)
print(f"a command by way of the others: {of_others}")
for node in nodes:
    node.destroy()
sys.exit((partners_of_leader, partners, leading, ready, told, of_others) != (1, 2, None, True, "Timeout", 2))
PYTHON
