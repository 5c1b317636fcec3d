// Made by `leveret schema --typescript`, of: shop.
import { DeclaredError, type CallOptions, type Contract } from "./leveret.ts";

/** One line of an order. */
export interface Line {
  sku: string;
  /** How many of it. */
  count: number;
}

/** There are not as many. */
export class OutOfStock extends DeclaredError<{ sku: string; left: number }> {}

/** A very small shop. */
export interface Shop {
  /** Take articles out of stock; returns what is left of each. */
  reserve(args: { lines: Line[] }, options?: CallOptions): Promise<Record<string, number>>;
  /** Return how many there are, None of what the shop never had; after some seconds. */
  count(args: { sku: string; after?: number }, options?: CallOptions): Promise<number | null>;
}

export const shop: Contract<Shop> = {
  service: "shop",
  methods: {
    reserve: { timeout: 2, errors: { OUT_OF_STOCK: OutOfStock } },
    count: { timeout: 2, idempotent: true },
  },
};
