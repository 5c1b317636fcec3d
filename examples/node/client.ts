/** Calls the shop: `node client.ts`, while `leveret serve shop:Shop` runs. */

import { connect, DeadlineExceeded } from "./leveret.ts";
import { OutOfStock, shop } from "./shop.ts";

const client = await connect(process.env.LEVERET_URL ?? "amqp://guest:guest@localhost/");
const remote = client.remote(shop);

console.log(await remote.reserve({ lines: [{ sku: "carrot", count: 2 }] }));
try {
  await remote.reserve({ lines: [{ sku: "turnip", count: 1 }] });
} catch (error) {
  if (!(error instanceof OutOfStock)) throw error;
  console.log(`${error.data.left} of ${error.data.sku} left; executed: ${error.executed}`);
}
try {
  await remote.count({ sku: "carrot", after: 30 }, { timeout: 0.2 });
} catch (error) {
  if (!(error instanceof DeadlineExceeded)) throw error;
  console.log(`no answer in time; the call was in the ${error.where}`);
}
await client.close();
