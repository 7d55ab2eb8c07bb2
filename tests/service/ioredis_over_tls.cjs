// ioredis over rediss:// with AUTH: `test_ioredis_over_tls_with_a_password` runs it where node finds ioredis.
//
//     node ioredis_over_tls.cjs PORT CA.pem USER PASSWORD
//
// What is printed, as JSON: replies, and the errors that a wrong password, no password and another CA end in.

const fs = require("fs");
const { Redis } = require("ioredis");

const [port, caPath, username, password] = process.argv.slice(2);
const ca = fs.readFileSync(caPath);

function open(more, tls = { ca }) {
  const once = { maxRetriesPerRequest: 0, retryStrategy: null, enableReadyCheck: true };
  return new Redis(`rediss://localhost:${port}`, { tls, ...once, ...more });
}

async function failure(client) {
  let met = "";
  client.on("error", (error) => { met = met || String(error.code || error.message); });
  try {
    await client.set("k", "not written");
    return "no error";
  } catch (error) {
    return `${met} ${error.message}`.trim();
  } finally {
    client.disconnect();
  }
}

async function main() {
  const client = open({ username, password });
  const large = "x".repeat(3_000_000);
  const replies = [
    await client.set("k", "v"),
    await client.get("k"),
    await client.set("large", large),
    await client.strlen("large"),
    (await client.pipeline().incr("n").incr("n").exec()).map(([, value]) => value),
    (await client.multi().set("a", "1").get("a").exec()).map(([, value]) => value),
  ];
  await client.quit();
  const wrong = await failure(open({ username, password: "another" }));
  const none = await failure(open({}));
  const untrusted = await failure(open({ username, password }, {}));
  console.log(JSON.stringify({ replies, wrong, none, untrusted }));
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
