/** What the compiler must refuse: each line after such a comment is an error. */

import { connect, type DeclaredError } from "./leveret.ts";
import { OutOfStock, shop } from "./shop.ts";

const remote = (await connect("amqp://localhost")).remote(shop);
const left: Record<string, number> = await remote.reserve({ lines: [{ sku: "hay", count: 1 }] });
const count: number | null = await remote.count({ sku: "hay" });
// @ts-expect-error: no such method
await remote.steal({ sku: "hay" });
// @ts-expect-error: no such argument
await remote.count({ name: "hay" });
// @ts-expect-error: a text is no number
await remote.reserve({ lines: [{ sku: "hay", count: "1" }] });
// @ts-expect-error: it may be null
const sure: number = await remote.count({ sku: "hay" });
// @ts-expect-error: no such option
await remote.count({ sku: "hay" }, { patience: 1 });

export function of(error: unknown): number {
  if (!(error instanceof OutOfStock)) return left["hay"] + (count ?? 0) + sure;
  const declared: DeclaredError<{ sku: string; left: number }> = error;
  // @ts-expect-error: no such field
  declared.data.price;
  return declared.data.left;
}
