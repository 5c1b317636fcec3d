/** Does what a test writes, line by line in JSON, and answers each line by how it ended. */

import { createInterface } from "node:readline";
import { CallError, connect, DeclaredError } from "./leveret.ts";
import { shop } from "./shop.ts";

const client = await connect(process.env.LEVERET_URL ?? "", { name: "driver" });
const aborts = new Map<number, AbortController>();

interface Order {
  id: number;
  do: "call" | "typed" | "abort" | "facts" | "close";
  of: number;
  key: string;
  args: object;
  options: { timeout?: number; waitForServer?: boolean; metadata?: Record<string, string> };
}

function told(error: unknown): object {
  if (!(error instanceof CallError)) throw error;
  const { name, code, executed, where, type, message } = error;
  const data = error instanceof DeclaredError ? { data: error.data } : {};
  return { error: name, code, executed, where, type, message, ...data };
}

async function done(order: Order): Promise<unknown> {
  if (order.do === "abort") return aborts.get(order.of)?.abort();
  if (order.do === "facts") return { replyQueue: client.replyQueue, ignored: client.ignored };
  if (order.do === "close") return client.close();
  const abort = new AbortController();
  aborts.set(order.id, abort);
  const options = { ...order.options, signal: abort.signal };
  if (order.do === "call") return client.call(order.key, order.args, options);
  const method = order.key as "reserve" | "count";
  return client.remote(shop)[method](order.args as never, options);
}

console.log("connected");
for await (const line of createInterface(process.stdin)) {
  const order: Order = JSON.parse(line);
  done(order)
    .then((result) => ({ result: result ?? null }), told)
    .then((outcome) => console.log(JSON.stringify({ id: order.id, ...outcome })));
}
