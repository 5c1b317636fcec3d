/**
 * A client of Leveret in one file: calls with time-outs and typed errors, over amqplib.
 *
 * It is written from docs/protocol.md, and has what that page requires of a client, and besides: it
 * reconnects, sends idempotent calls again, notices that no server listens, and cancels calls. It
 * has no streams, one-way requests, started calls and pipes. Node.js 22.18 or newer runs it as it is.
 */

import { randomBytes } from "node:crypto";
import { type ChannelModel, type ConfirmChannel, type ConsumeMessage, connect as dial } from "amqplib";

/** Whether the handler ran: "no" makes a retry safe. */
export type Executed = "no" | "maybe" | "yes";

/** A call that failed. */
export class CallError extends Error {
  readonly code: string;
  readonly executed: Executed;
  /** "client", "queue", "handler" or "unknown": where a call was at its deadline. */
  readonly where: string;
  /** The class of what the handler raised. */
  readonly type: string;
  /** Seconds to wait before a retry; negative: do not retry. */
  readonly retryAfter: number | undefined;

  constructor(code: string, executed: Executed, message: string, more: Partial<ErrorBody> = {}) {
    super(message);
    this.name = new.target.name;
    this.code = code;
    this.executed = executed;
    this.where = more.where ?? (code === "DEADLINE_EXCEEDED" ? "unknown" : "");
    this.type = more.type ?? "";
    this.retryAfter = more.retry_after;
  }
}

export class InvalidArgument extends CallError {}
/** There is no such method on this broker. */
export class Unimplemented extends CallError {}
/** The method exists, and no server takes its calls. */
export class NoServer extends CallError {}
/** The queue is full, or the body is too large. */
export class Busy extends CallError {}
export class DeadlineExceeded extends CallError {}
export class Cancelled extends CallError {}
/** The server died, or the connection broke, and nobody can know whether the handler ran. */
export class MaybeExecuted extends CallError {}
export class PermissionDenied extends CallError {}
export class Unauthenticated extends CallError {}
/** The handler raised what its contract does not declare; `type` is the name of its class. */
export class RemoteError extends CallError {}
/** There is no connection to the broker, or it broke while the call was in flight. */
export class ConnectionLost extends CallError {}

/** An error that the contract declares; generated classes extend it. */
export class DeclaredError<Data = Record<string, unknown>> extends CallError {
  readonly data: Data;

  constructor(code: string, executed: Executed, message: string, body: Partial<ErrorBody> = {}) {
    super(code, executed, message, body);
    this.data = (body.data ?? {}) as Data;
  }
}

type ErrorClass = new (
  code: string,
  executed: Executed,
  message: string,
  body?: Partial<ErrorBody>,
) => CallError;

const CLASSES: Record<string, ErrorClass> = {
  INVALID_ARGUMENT: InvalidArgument,
  UNIMPLEMENTED: Unimplemented,
  UNAVAILABLE: NoServer,
  RESOURCE_EXHAUSTED: Busy,
  DEADLINE_EXCEEDED: DeadlineExceeded,
  CANCELLED: Cancelled,
  ABORTED: MaybeExecuted,
  PERMISSION_DENIED: PermissionDenied,
  UNAUTHENTICATED: Unauthenticated,
};

interface ErrorBody {
  code: string;
  message: string;
  executed: Executed;
  where: string;
  type: string;
  data: unknown;
  retry_after: number;
}

export interface CallOptions {
  /** Seconds; else the method's own. */
  timeout?: number;
  /** Do not fail where no server listens: wait for one until the deadline. */
  waitForServer?: boolean;
  /** Text by name, for the handler. */
  metadata?: Record<string, string>;
  /** Cancels the call, at its server as well. */
  signal?: AbortSignal;
}

/** What the client has to know of a method. */
export interface MethodFacts {
  timeout: number;
  /** It may run twice: so it is sent again when the connection breaks. */
  idempotent?: boolean;
  once?: boolean;
  errors?: Record<string, ErrorClass>;
}

/** What `leveret schema --typescript` makes of a service. */
export interface Contract<Methods> {
  service: string;
  methods: { [Name in keyof Methods]: MethodFacts };
}

interface Pending {
  readonly id: string;
  readonly key: string;
  readonly body: Buffer;
  readonly facts: MethodFacts;
  readonly options: CallOptions;
  /** Milliseconds since 1970, as `deadline`. */
  readonly begun: number;
  readonly deadline: number;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: CallError) => void;
  timer?: NodeJS.Timeout;
  probe?: NodeJS.Timeout;
  abort?: () => void;
  sent: boolean;
  /** A server has it. */
  accepted: boolean;
  /** Its handler has begun. */
  runs: boolean;
  /** It was sent twice, so no word on one copy tells of the other. */
  twice: boolean;
  /** The probe that left with the request found no server. */
  alone: boolean;
}

interface Line {
  readonly connection: ChannelModel;
  readonly requests: ConfirmChannel;
  readonly replyQueue: string;
}

/** How long a call waits for the broker's or the server's word on it after its deadline. */
const SPARE = 80;
/** What a timer can wait for, 24 days; of more it thinks that it is over. */
const LONGEST_TIMER = 2 ** 31 - 1;
/** When the queue of a call that waits is looked at, after it was sent; and how often from then on. */
const FIRST_PROBE = 250;
const PROBES = 1000;
/** A server that was seen so long before a call was sent may have taken it. */
const SHORTLY = 1000;
const LONGEST_PAUSE = 3000;

/** Connect; rejects with ConnectionLost if that is not possible. Later it reconnects by itself. */
export async function connect(url: string, options: { name?: string } = {}): Promise<Leveret> {
  const client = new Leveret(url, options.name);
  await client.open();
  return client;
}

export class Leveret {
  /** Messages that belong to no call of ours: late, duplicate, or forged. */
  ignored = 0;
  readonly #url: string;
  readonly #user: string;
  readonly #name: string | undefined;
  readonly #pending = new Map<string, Pending>();
  /** When a server of a method was last seen, by its key; as many as there are methods. */
  readonly #seen = new Map<string, number>();
  readonly #probes = new Map<string, Promise<{ messageCount: number; consumerCount: number } | undefined>>();
  #line: Line | undefined;
  #closed = false;

  constructor(url: string, name?: string) {
    this.#url = url;
    this.#name = name;
    this.#user = decodeURIComponent(new URL(url).username) || "guest";
  }

  /** Where replies come; another queue on each connection. */
  get replyQueue(): string {
    return this.#line?.replyQueue ?? "";
  }

  /** A service's methods, typed by its contract. */
  remote<Methods>(contract: Contract<Methods>): Methods {
    const { service, methods } = contract;
    const calls = Object.entries<MethodFacts>(methods).map(([name, facts]) => [
      name,
      (args?: object, options?: CallOptions) => this.#call(`${service}.${name}`, args, facts, options),
    ]);
    return Object.fromEntries(calls);
  }

  /** Call `service.method` without its contract. */
  call(key: string, args: object = {}, options: CallOptions = {}): Promise<unknown> {
    return this.#call(key, args, { timeout: 10 }, options);
  }

  /** End pending calls, delete the reply queue, and close the connection. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const call of this.#pending.values()) {
      this.#fail(call, "UNAVAILABLE", call.sent ? "maybe" : "no", "the client was closed", ConnectionLost);
    }
    const line = this.#line;
    this.#line = undefined;
    if (line) {
      await line.requests.deleteQueue(line.replyQueue).catch(() => undefined);
      await line.connection.close().catch(() => undefined);
    }
  }

  // -- the connection -----------------------------------------------------------------------

  async open(): Promise<void> {
    let connection: ChannelModel;
    try {
      connection = await dial(this.#url);
    } catch (error) {
      throw new ConnectionLost("UNAVAILABLE", "no", `no connection to the broker: ${error}`);
    }
    connection.on("error", () => undefined); // "close" follows
    let line: Line | undefined;
    connection.on("close", () => this.#lost(line));
    try {
      await this.#declareExchanges(connection);
      const requests = await connection.createConfirmChannel();
      const replyQueue = `leveret.reply.${this.#user}.${randomBytes(16).toString("base64url")}`;
      requests.on("error", () => undefined);
      requests.on("close", () => {
        this.#lost(line);
        connection.close().catch(() => undefined);
      });
      requests.on("return", (message: ConsumeMessage) => this.#returned(message));
      await requests.assertQueue(replyQueue, { durable: true, expires: 60_000 });
      await requests.consume(replyQueue, (message) => this.#received(message), { noAck: true });
      this.#line = line = { connection, requests, replyQueue };
    } catch (error) {
      await connection.close().catch(() => undefined);
      throw new ConnectionLost("UNAVAILABLE", "no", `the broker refused: ${error}`);
    }
    for (const call of this.#pending.values()) this.#send(call);
  }

  /** Only where they are missing, as a client may have no right to declare. */
  async #declareExchanges(connection: ChannelModel): Promise<void> {
    for (const [name, type] of [["leveret", "direct"], ["leveret.control", "topic"]] as const) {
      const there = await this.#ask(connection, (channel) => channel.checkExchange(name));
      if (!there) {
        await this.#ask(connection, (channel) => channel.assertExchange(name, type, { durable: true }));
      }
    }
  }

  /** On a channel of its own, which the broker closes where it says no; then it is undefined. */
  async #ask<T>(
    connection: ChannelModel,
    question: (channel: ConfirmChannel) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      const channel = await connection.createConfirmChannel();
      channel.on("error", () => undefined);
      const answer = await question(channel);
      await channel.close();
      return answer;
    } catch {
      return undefined;
    }
  }

  #lost(line: Line | undefined): void {
    if (this.#closed || line === undefined || line !== this.#line) return;
    this.#line = undefined;
    for (const call of this.#pending.values()) {
      if (!call.sent) continue;
      if (call.facts.idempotent) call.twice = true;
      else this.#fail(call, "UNAVAILABLE", "maybe", "the connection broke", ConnectionLost);
    }
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    for (let pause = 50; !this.#closed && !this.#line; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
      await new Promise((done) => setTimeout(done, pause * (0.5 + Math.random() / 2)));
      await this.open().catch(() => undefined);
    }
    if (this.#closed) await this.close();
  }

  // -- calls ----------------------------------------------------------------------------------

  #call(key: string, args: object = {}, facts: MethodFacts, options: CallOptions = {}): Promise<unknown> {
    const wanted = (options.timeout ?? facts.timeout) * 1000;
    const timeout = Math.min(Math.max(wanted, 1), LONGEST_TIMER - SPARE);
    return new Promise((resolve, reject) => {
      const call: Pending = {
        id: randomBytes(12).toString("base64url"),
        key,
        body: Buffer.from(JSON.stringify(args)),
        facts,
        options,
        begun: Date.now(),
        deadline: Date.now() + timeout,
        resolve,
        reject,
        sent: false,
        accepted: false,
        runs: false,
        twice: false,
        alone: false,
      };
      this.#pending.set(call.id, call); // before it is published
      call.timer = setTimeout(() => this.#expired(call), timeout + SPARE);
      if (options.signal) {
        call.abort = () => this.#cancel(call);
        options.signal.addEventListener("abort", call.abort);
        if (options.signal.aborted) return call.abort();
      }
      this.#send(call);
    });
  }

  #send(call: Pending): void {
    const line = this.#line;
    const left = Math.floor(call.deadline - Date.now());
    if (!line || left < 1) return; // it is sent on the next connection, or its timer ends it
    call.sent = true;
    const options = {
      contentType: "application/json",
      correlationId: call.id,
      replyTo: line.replyQueue,
      expiration: String(left),
      type: "call",
      userId: this.#user,
      ...(this.#name === undefined ? {} : { appId: this.#name }),
      CC: [line.replyQueue],
      headers: {
        deadline: Math.floor(call.deadline),
        ...(call.options.metadata ? { metadata: call.options.metadata } : {}),
        ...(call.options.waitForServer && call.facts.idempotent ? { waits: true } : {}),
      },
      mandatory: true,
    };
    line.requests.publish("leveret", call.key, call.body, options, (refused) => {
      // amqplib says the same of a channel that ends, and tells only afterwards that it has ended.
      if (refused) setImmediate(() => this.#refused(call, line));
    });
    if (call.options.waitForServer) return;
    clearTimeout(call.probe);
    if (this.#sawServer(call, Date.now())) {
      call.probe = setTimeout(() => void this.#probe(call, line), FIRST_PROBE);
    } else {
      void this.#probe(call, line);
    }
  }

  /** Look whether anybody serves the method of a call that waits, now and again. */
  async #probe(call: Pending, line: Line): Promise<void> {
    const found = await this.#look(call.key, line);
    if (line !== this.#line || !this.#pending.has(call.id) || call.accepted || !found) return;
    const age = Date.now() - call.begun;
    if (found.consumerCount > 0) {
      this.#seen.set(call.key, Date.now());
      call.alone = false;
    } else if (age < FIRST_PROBE) {
      call.alone = true;
    } else {
      const waiting = [...this.#pending.values()].filter((it) => it.key === call.key && it.sent);
      const sure = call.alone && found.messageCount >= waiting.length && !this.#sawServer(call);
      const count = `${found.messageCount} waiting in its queue`;
      return this.#fail(call, "UNAVAILABLE", sure ? "no" : "maybe", `no server listens, ${count}`);
    }
    const pause = age < FIRST_PROBE ? FIRST_PROBE - age : PROBES;
    call.probe = setTimeout(() => void this.#probe(call, line), pause);
  }

  #look(key: string, line: Line): Promise<{ messageCount: number; consumerCount: number } | undefined> {
    let probe = this.#probes.get(key);
    if (!probe) {
      probe = this.#ask(line.connection, (channel) => channel.checkQueue(`leveret.${key}`));
      this.#probes.set(key, probe);
      void probe.finally(() => this.#probes.delete(key));
    }
    return probe;
  }

  /** Whether a server was there since shortly before the call was sent. */
  #sawServer(call: Pending, since: number = call.begun): boolean {
    return (this.#seen.get(call.key) ?? 0) > since - SHORTLY;
  }

  #cancel(call: Pending): void {
    if (!this.#pending.has(call.id)) return;
    const left = Math.max(Math.floor(call.deadline - Date.now()), 1);
    const service = call.key.slice(0, call.key.indexOf("."));
    if (call.sent) this.#tell(service, "cancel", call.id, String(left));
    this.#fail(call, "CANCELLED", call.sent ? "maybe" : "no", "the caller gave up");
  }

  #tell(key: string, type: string, id: string, expiration?: string): void {
    const line = this.#line;
    line?.requests.publish("leveret.control", key, Buffer.alloc(0), {
      type,
      correlationId: id,
      replyTo: line.replyQueue,
      ...(expiration === undefined ? {} : { expiration }),
    });
  }

  #expired(call: Pending): void {
    if (!call.sent) {
      this.#fail(call, "UNAVAILABLE", "no", "no connection by the deadline", ConnectionLost);
    } else {
      const body = { where: call.runs ? "handler" : "unknown" };
      const executed = call.runs ? "yes" : "maybe";
      this.#fail(call, "DEADLINE_EXCEEDED", executed, "no answer by the deadline", undefined, body);
    }
  }

  // -- what comes -----------------------------------------------------------------------------

  #received(message: ConsumeMessage | null): void {
    if (message === null) return void this.#line?.connection.close().catch(() => undefined);
    const { type, correlationId, replyTo } = message.properties;
    const call = this.#pending.get(String(correlationId));
    if (type === "claim") {
      if (call) call.accepted = true;
      this.#tell(String(replyTo), call ? "go" : "cancel", String(correlationId));
    } else if (call === undefined) {
      this.ignored += 1;
    } else if (type === "accepted") {
      call.accepted = true;
      call.runs ||= message.content.length === 0;
    } else if (type === "result") {
      this.#seen.set(call.key, Date.now());
      this.#succeed(call, message.content);
    } else if (type === "error") {
      this.#answered(call, message.content);
    } else if (type === "call") {
      this.#bounced(call, message);
    } else if (type !== "progress") {
      this.#fail(call, "INTERNAL", "yes", `a reply of the type ${type}`);
    }
  }

  #refused(call: Pending, line: Line): void {
    if (line !== this.#line || !this.#pending.has(call.id)) return;
    this.#fail(call, "RESOURCE_EXHAUSTED", "no", "the queue is full");
  }

  #returned(message: ConsumeMessage): void {
    const call = this.#pending.get(String(message.properties.correlationId));
    if (call) this.#fail(call, "UNIMPLEMENTED", "no", "there is no such method on this broker");
  }

  #bounced(call: Pending, message: ConsumeMessage): void {
    const headers = message.properties.headers ?? {};
    const reason = headers["x-death"]?.[0]?.reason;
    if (reason === "expired") {
      const executed = call.accepted ? "maybe" : "no";
      this.#fail(call, "DEADLINE_EXCEEDED", executed, "no server took it in time", undefined, { where: "queue" });
    } else if (reason !== "maxlen") {
      this.#fail(call, "ABORTED", "maybe", `servers gave it up: ${reason}`);
    } else if (!headers["handed-back"]) {
      this.#fail(call, "RESOURCE_EXHAUSTED", "attempt" in headers ? "maybe" : "no", "the queue is full");
    }
  }

  #answered(call: Pending, content: Buffer): void {
    let body: Partial<ErrorBody>;
    try {
      body = JSON.parse(content.toString());
    } catch {
      return this.#fail(call, "INTERNAL", "maybe", "an error that cannot be read");
    }
    const { code = "INTERNAL", executed = "maybe", message = "" } = body;
    if (code === "CANCELLED" && body.type === "Unconfirmed" && call.facts.idempotent) {
      // A server asked whether the call still waits, and heard nothing in time. It does wait.
      call.twice = true;
      call.accepted = false;
      return this.#send(call);
    }
    this.#fail(call, code, executed, message, call.facts.errors?.[code], body);
  }

  #succeed(call: Pending, content: Buffer): void {
    let result: unknown;
    try {
      result = JSON.parse(content.toString());
    } catch {
      return this.#fail(call, "INTERNAL", "yes", "a result that is no JSON");
    }
    this.#forget(call);
    call.resolve(result);
  }

  #fail(
    call: Pending,
    code: string,
    executed: Executed,
    message: string,
    kind?: ErrorClass,
    body?: Partial<ErrorBody>,
  ): void {
    this.#forget(call);
    const known = CLASSES[code] ?? (body?.data === undefined ? RemoteError : DeclaredError);
    const sure = call.twice && executed === "no" ? "maybe" : executed;
    call.reject(new (kind ?? known)(code, sure, `${call.key}: ${message}`, body));
  }

  #forget(call: Pending): void {
    this.#pending.delete(call.id);
    clearTimeout(call.timer);
    clearTimeout(call.probe);
    if (call.abort) call.options.signal?.removeEventListener("abort", call.abort);
  }
}
