#!/usr/bin/env bash
# ioredis' Cluster sends an INCR again whose reply was lost, also with the settings that turn this off elsewhere.
#
# Seen with:  ioredis 6.0.0 (from npm), Node.js 20.20.2
# What it does:  a cluster of one node (this script's own, which knows what the client asks at its start, and INCR) carries out the command,
# and its connection ends before the reply. `maxRetriesPerRequest: 0` and `autoResendUnfulfilledCommands: false` are what ioredis
# documents against repeating: with a plain `Redis`, the first of them makes the call fail, and the command is sent once. The same
# settings in the `redisOptions` of a `Cluster` are taken without a word, and change nothing: `incr` returns 2.
# What does turn it off is `retryDelayOnFailover: 0`.
# Why it surprises:  who sets retries to 0 does so because an INCR, an LPUSH or an APPEND may not be repeated when its outcome is
# unknown, and moves on to `Cluster` with these options. The one that counts there is explained by "If the target node is
# disconnected when sending a command", which reads as if nothing had been sent; in truth it is about replies that were lost, too.
#
# Output seen:
#   Redis, no retries: INCR received 1 time(s), MaxRetriesPerRequestError
#   Cluster, no retries: INCR received 2 time(s), returned 2
#   Cluster, no retries and retryDelayOnFailover 0: INCR received 1 time(s), Error: Connection is closed.
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried (it needs Node.js and npm).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --prefix "$folder" --silent --no-audit --no-fund ioredis@6.0.0

cat > "$folder/lost.mjs" <<'JAVASCRIPT'
import { createServer } from "node:net";
import { Cluster, Redis } from "ioredis";

const bulk = (text) => `$${text.length}\r\n${text}\r\n`;

/** The words of one request at the beginning of `text`, and what is behind it; null while it is not whole. */
function request(text) {
  const parts = text.split("\r\n");
  const count = Number(parts[0].slice(1));
  if (!text.startsWith("*") || parts.length < 2 * count + 2) return null;
  const words = Array.from({ length: count }, (_, index) => parts[2 * index + 2]);
  return { words, rest: parts.slice(2 * count + 1).join("\r\n") };
}

/** One node that has all slots. The reply to the first INCR is lost with its connection. */
class Server {
  received = 0;

  async listen() {
    this.listener = createServer((socket) => this.serve(socket));
    await new Promise((done) => this.listener.listen(0, "127.0.0.1", done));
    this.port = this.listener.address().port;
  }

  serve(socket) {
    let text = "";
    socket.on("error", () => {});
    socket.on("data", (data) => {
      text += data.toString("latin1");
      for (let found; (found = request(text)) !== null; ) {
        text = found.rest;
        const reply = this.reply(...found.words.map((word) => word.toLowerCase()));
        if (reply === null) return socket.destroy();
        socket.write(reply);
      }
    });
  }

  reply(command, argument) {
    if (command === "incr") {
      this.received += 1;
      return this.received === 1 ? null : `:${this.received}\r\n`;
    }
    if (command === "info") return bulk("redis_version:7.0.0\r\nloading:0\r\n");
    if (command !== "cluster") return "+OK\r\n";
    if (argument === "info") return bulk("cluster_state:ok\r\n");
    const node = `*3\r\n${bulk("127.0.0.1")}:${this.port}\r\n${bulk("f".repeat(40))}`;
    return `*1\r\n*3\r\n:0\r\n:16383\r\n${node}`;
  }
}

async function tryIt(title, open) {
  const server = new Server();
  await server.listen();
  const client = open(server.port);
  client.on("error", () => {});
  const outcome = await client.incr("visits").then(
    (value) => `returned ${value}`,
    (error) => (error.name === "Error" ? String(error) : error.name),
  );
  client.disconnect();
  server.listener.close();
  const line = `INCR received ${server.received} time(s), ${outcome}`;
  console.log(`${title}: ${line}`);
  return line;
}

const host = "127.0.0.1";
const redisOptions = { maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false };
const lines = [
  await tryIt("Redis, no retries", (port) => new Redis({ host, port, maxRetriesPerRequest: 0 })),
  await tryIt("Cluster, no retries", (port) => new Cluster([{ host, port }], { redisOptions })),
  await tryIt(
    "Cluster, no retries and retryDelayOnFailover 0",
    (port) => new Cluster([{ host, port }], { redisOptions, retryDelayOnFailover: 0 }),
  ),
];
const expected = [
  "INCR received 1 time(s), MaxRetriesPerRequestError",
  "INCR received 2 time(s), returned 2",
  "INCR received 1 time(s), Error: Connection is closed.",
];
process.exit(lines.every((line, index) => line === expected[index]) ? 0 : 1);
JAVASCRIPT
node "$folder/lost.mjs"
