// RabbitMQ's tutorials, and the prefetch of a channel, by npm's amqplib: node scenes.mjs SCENE URL. Ends with 0 when all held.

import assert from "node:assert/strict";
import { once } from "node:events";
import amqp from "amqplib";

// The next messages of a queue, one by one; cancelled by the close of the channel.
async function listen(channel, queue, options = {}) {
  const came = [];
  let wake = () => {};
  await channel.consume(queue, (message) => { came.push(message); wake(); }, options);
  return async () => {
    while (came.length === 0) await new Promise((resolve) => { wake = resolve; });
    return came.shift();
  };
}

const text = (message) => message.content.toString();

const scenes = {
  async "work queue"(connection) {
    const producer = await connection.createChannel();
    await producer.assertQueue("tasks", { durable: true });
    const workers = [await connection.createChannel(), await connection.createChannel()];
    const next = [];
    for (const worker of workers) {
      await worker.prefetch(1);
      next.push(await listen(worker, "tasks"));
    }
    for (const task of ["1", "2", "3"]) {
      producer.sendToQueue("tasks", Buffer.from(task), { persistent: true });
    }
    const [first, second] = [await next[0](), await next[1]()];
    assert.deepEqual([text(first), text(second)].sort(), ["1", "2"]);
    workers[0].nack(first);
    const again = await next[0]();
    assert.equal(text(again), text(first));
    assert.equal(again.fields.redelivered, true);
    workers[0].ack(again);
    assert.equal(text(await next[0]()), "3");
    workers[1].ack(second);
    await workers[1].close();
  },

  async "publish and subscribe"(connection) {
    const channel = await connection.createChannel();
    await channel.assertExchange("logs", "fanout", { durable: false });
    const next = [];
    for (let n = 0; n < 2; n += 1) {
      const { queue } = await channel.assertQueue("", { exclusive: true });
      await channel.bindQueue(queue, "logs", "");
      next.push(await listen(channel, queue, { noAck: true }));
    }
    channel.publish("logs", "", Buffer.from("all"));
    assert.deepEqual([text(await next[0]()), text(await next[1]())], ["all", "all"]);
  },

  async routing(connection) {
    const channel = await connection.createChannel();
    await channel.assertExchange("direct_logs", "direct", { durable: false });
    const { queue } = await channel.assertQueue("", { exclusive: true });
    for (const severity of ["warning", "error"]) {
      await channel.bindQueue(queue, "direct_logs", severity);
    }
    const next = await listen(channel, queue, { noAck: true });
    for (const severity of ["info", "error", "debug", "warning"]) {
      channel.publish("direct_logs", severity, Buffer.from(severity));
    }
    assert.deepEqual([text(await next()), text(await next())], ["error", "warning"]);
  },

  async topics(connection) {
    const channel = await connection.createChannel();
    await channel.assertExchange("topic_logs", "topic", { durable: false });
    const { queue } = await channel.assertQueue("", { exclusive: true });
    await channel.bindQueue(queue, "topic_logs", "kern.*");
    await channel.bindQueue(queue, "topic_logs", "#.critical");
    const next = await listen(channel, queue, { noAck: true });
    for (const key of ["kern.info", "user.info", "kern.a.b", "user.critical", "critical"]) {
      channel.publish("topic_logs", key, Buffer.from(key));
    }
    const found = [text(await next()), text(await next()), text(await next())];
    assert.deepEqual(found, ["kern.info", "user.critical", "critical"]);
  },

  async rpc(connection) {
    const server = await connection.createChannel();
    await server.assertQueue("rpc_queue");
    await server.consume("rpc_queue", (request) => {
      const { replyTo, correlationId } = request.properties;
      const answer = Buffer.from(String(Number(text(request)) * 2));
      server.sendToQueue(replyTo, answer, { correlationId });
      server.ack(request);
    });
    const client = await connection.createChannel();
    for (const pseudo of [false, true]) {
      const replyTo = pseudo
        ? "amq.rabbitmq.reply-to"
        : (await client.assertQueue("", { exclusive: true })).queue;
      const next = await listen(client, replyTo, { noAck: true });
      client.sendToQueue("rpc_queue", Buffer.from("21"), { replyTo, correlationId: "7" });
      const reply = await next();
      assert.equal(text(reply), "42");
      assert.equal(reply.properties.correlationId, "7");
    }
  },

  async confirms(connection) {
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue("full", { maxLength: 1, arguments: { "x-overflow": "reject-publish" } });
    channel.sendToQueue("full", Buffer.from("fits"));
    await channel.waitForConfirms();
    await assert.rejects(new Promise((resolve, reject) => {
      channel.sendToQueue("full", Buffer.from("does not"), {}, (error) => {
        if (error === null) resolve(); else reject(error);
      });
    }));
    const returned = once(channel, "return");
    channel.publish("", "nowhere", Buffer.from("back"), { mandatory: true });
    assert.equal(text((await returned)[0]), "back");
    await channel.waitForConfirms();
  },

  async "prefetch of a channel"(connection) {
    const [producer, worker] = [await connection.createChannel(), await connection.createChannel()];
    await worker.prefetch(2, true);
    const got = { a: 0, b: 0, c: 0 };
    for (const queue of Object.keys(got)) {
      await producer.assertQueue(queue, { exclusive: true });
      for (let n = 0; n < 60; n += 1) producer.sendToQueue(queue, Buffer.from(""));
    }
    await new Promise((resolve) => {
      for (const queue of Object.keys(got)) {
        worker.consume(queue, (message) => {
          got[queue] += 1;
          if (Object.values(got).every((count) => count >= 2)) resolve();
          else worker.ack(message);
        });
      }
    });
    assert.ok(Object.values(got).every((count) => count < 60), JSON.stringify(got));
  },
};

const [scene, url] = process.argv.slice(2);
const connection = await amqp.connect(url);
await scenes[scene](connection);
await connection.close();
