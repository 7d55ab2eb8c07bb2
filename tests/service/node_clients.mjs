// ioredis and node-redis through the end of the leader, by hand: npm takes too long for `make test`.
//
//     npm install ioredis redis        in a folder of its own, beside a copy of this file
//     node node_clients.mjs PORT…      the ports of three nodes of `raft-actors serve`
//
// Each client counts a key of its own for ten seconds. Kill -9 the leader meanwhile. What is printed: how often it counted and
// what the key says then (more, where the client repeats a command whose reply it has lost), what failed, and the longest
// time without success.

import { Cluster, Redis } from "ioredis";
import { createClient, createCluster } from "redis";

const ports = process.argv.slice(2).map(Number);
const seconds = 10;

async function count(name, client) {
  const errors = new Map();
  let counted = 0, last = Date.now(), longest = 0;
  const end = last + seconds * 1000;
  while (Date.now() < end) {
    try {
      await client.incr(name);
      counted += 1;
      longest = Math.max(longest, Date.now() - last);
      last = Date.now();
    } catch (error) {
      const text = String(error.message).slice(0, 80);
      errors.set(text, (errors.get(text) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  const found = last > end - 1000 ? await client.get(name) : "unknown";
  const failed = [...errors].map(([text, times]) => `${times} x ${text}`).join("; ") || "nothing";
  console.log(`${name}: counted ${counted}, the key says ${found}; failed: ${failed}; longest pause ${longest} ms`);
}

const nodes = ports.map((port) => ({ host: "127.0.0.1", port }));
const ioCluster = new Cluster(nodes);
const ioSingle = new Redis({ port: ports[0], maxRetriesPerRequest: null });
const nodeCluster = createCluster({ rootNodes: nodes.map(({ host, port }) => ({ url: `redis://${host}:${port}` })) });
const nodeSingle = createClient({ url: `redis://127.0.0.1:${ports[0]}` });
for (const client of [ioCluster, ioSingle, nodeCluster, nodeSingle]) client.on("error", () => {});
await Promise.all([nodeCluster.connect(), nodeSingle.connect()]);
await Promise.all([
  count("ioredis in cluster mode", ioCluster),
  count("ioredis at the first port", ioSingle),
  count("node-redis in cluster mode", nodeCluster),
  count("node-redis at the first port", nodeSingle),
]);
process.exit();
