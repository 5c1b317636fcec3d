/* The ceiling: the same calls as a bare loop in C on librabbitmq, with nothing of RPC around it.

   No types, no timeouts, no confirms, no mandatory flag: a request with reply_to and
   correlation_id, the server's reply, the server's ack. The process protocol: bench/peer.py.

       librabbitmq server|client        BENCH_ADDRESS is the broker's URL

   The client keeps `in_flight` calls going and checks every reply. Percentiles are nearest-rank,
   as in bench/load.py. */

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SMALLEST 16      /* bytes: the payload that stands for int -> int */
#define PREFETCH 500     /* unacknowledged requests at the server */
#define PREFETCH_ECHO 100
#define LARGE 4096       /* bytes: above this a client reads between two writes */
#define INCREMENT "bench.c.increment"
#define ECHO "bench.c.echo"
#define STREAM "bench.c.stream"

static amqp_connection_state_t broker;
static amqp_bytes_t replies; /* the client's reply queue */

static void die(const char *what) {
  fprintf(stderr, "librabbitmq: %s\n", what);
  exit(1);
}

static void check(amqp_rpc_reply_t reply, const char *what) {
  if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
    const char *why = reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION
                          ? amqp_error_string2(reply.library_error)
                          : "refused by the broker";
    fprintf(stderr, "librabbitmq: %s: %s\n", what, why);
    exit(1);
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void connect_to_broker(void) {
  char *url = getenv("BENCH_ADDRESS");
  struct amqp_connection_info where;
  amqp_default_connection_info(&where);
  if (url == NULL || amqp_parse_url(strdup(url), &where) != AMQP_STATUS_OK)
    die("BENCH_ADDRESS is no amqp:// URL");
  broker = amqp_new_connection();
  amqp_socket_t *tcp = amqp_tcp_socket_new(broker);
  if (amqp_socket_open(tcp, where.host, where.port) != AMQP_STATUS_OK)
    die("cannot reach the broker");
  int on = 1;
  setsockopt(amqp_get_sockfd(broker), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  /* No heartbeats: nothing answers them while other peers have their turn. */
  check(amqp_login(broker, where.vhost, 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, where.user,
                   where.password),
        "login");
  amqp_channel_open(broker, 1);
  check(amqp_get_rpc_reply(broker), "channel.open");
}

/* The bench ends a process by closing its input: leave even while waiting for the broker. The
   client gets a moment to close its connection. */
static void *leave_when_input_closes(void *grace) {
  struct pollfd input = {.fd = 0, .events = 0}; /* POLLHUP is told unasked */
  poll(&input, 1, -1);
  sleep(*(unsigned *)grace);
  _exit(0);
  return NULL;
}

static void watch_input(unsigned grace) {
  static unsigned seconds;
  pthread_t watcher;
  seconds = grace;
  pthread_create(&watcher, NULL, leave_when_input_closes, &seconds);
}

static void publish(amqp_bytes_t key, amqp_bytes_t id, const amqp_bytes_t *reply_to,
                    amqp_bytes_t body) {
  amqp_basic_properties_t properties;
  memset(&properties, 0, sizeof properties);
  properties._flags = AMQP_BASIC_CORRELATION_ID_FLAG;
  properties.correlation_id = id;
  if (reply_to) {
    properties._flags |= AMQP_BASIC_REPLY_TO_FLAG;
    properties.reply_to = *reply_to;
  }
  if (amqp_basic_publish(broker, 1, amqp_empty_bytes, key, 0, 0, &properties, body))
    die("publish failed");
}

static long number(amqp_bytes_t text) {
  char digits[32];
  size_t size = text.len < sizeof digits - 1 ? text.len : sizeof digits - 1;
  memcpy(digits, text.bytes, size);
  digits[size] = 0;
  return strtol(digits, NULL, 10);
}

static amqp_bytes_t filled(long size) {
  amqp_bytes_t body = amqp_bytes_malloc(size);
  if (!body.bytes) die("out of memory");
  for (long i = 0; i < size; i++) ((unsigned char *)body.bytes)[i] = 255 - i % 256;
  return body;
}

/* --- the server ------------------------------------------------------------------------------ */

static void consume(const char *queue, int prefetch) {
  amqp_queue_declare(broker, 1, amqp_cstring_bytes(queue), 0, 0, 0, 1, amqp_empty_table);
  check(amqp_get_rpc_reply(broker), "queue.declare");
  amqp_basic_qos(broker, 1, 0, prefetch, 0);
  amqp_basic_consume(broker, 1, amqp_cstring_bytes(queue), amqp_cstring_bytes(queue), 0, 0, 0,
                     amqp_empty_table);
  check(amqp_get_rpc_reply(broker), "basic.consume");
}

/* Answer "items size" by so many messages of that size; nobody says how many may come. */
static void send_stream(const amqp_message_t *request) {
  char order[64] = "";
  long items = 0, size = 0;
  memcpy(order, request->body.bytes,
         request->body.len < sizeof order ? request->body.len : sizeof order - 1);
  if (sscanf(order, "%ld %ld", &items, &size) != 2) die("an order that is none");
  amqp_bytes_t body = filled(size);
  for (long i = 0; i < items; i++)
    publish(request->properties.reply_to, request->properties.correlation_id, NULL, body);
  amqp_bytes_free(body);
}

static void serve(void) {
  consume(INCREMENT, PREFETCH);
  /* Fewer large ones: while this process is blocked in a write it does not read, and RabbitMQ stops
     reading from it when too many deliveries (400) wait to be sent to it. */
  consume(ECHO, PREFETCH_ECHO);
  consume(STREAM, 1);
  watch_input(0);
  printf("{\"ready\": true, \"address\": \"%s\"}\n", getenv("BENCH_ADDRESS"));
  fflush(stdout);
  for (;;) {
    amqp_envelope_t request;
    char digits[32];
    amqp_maybe_release_buffers(broker);
    check(amqp_consume_message(broker, &request, NULL, 0), "consume");
    amqp_bytes_t body = request.message.body;
    if (request.routing_key.len == sizeof STREAM - 1 &&
        memcmp(request.routing_key.bytes, STREAM, sizeof STREAM - 1) == 0) {
      send_stream(&request.message);
      amqp_basic_ack(broker, 1, request.delivery_tag, 0);
      amqp_destroy_envelope(&request);
      continue;
    }
    if (request.routing_key.len == sizeof INCREMENT - 1) {
      snprintf(digits, sizeof digits, "%ld", number(body) + 1);
      body = amqp_cstring_bytes(digits);
    }
    publish(request.message.properties.reply_to, request.message.properties.correlation_id, NULL,
            body);
    amqp_basic_ack(broker, 1, request.delivery_tag, 0);
    amqp_destroy_envelope(&request);
  }
}

/* --- the client ------------------------------------------------------------------------------ */

struct spell {
  long payload, in_flight;
  long sent, answered, room;
  double *since, *latency; /* by call number; by order of the replies */
  amqp_bytes_t body;
};

static void start_call(struct spell *s) {
  char id[32], digits[32];
  if (s->sent == s->room) {
    s->room *= 2;
    s->since = realloc(s->since, s->room * sizeof(double));
    s->latency = realloc(s->latency, s->room * sizeof(double));
    if (!s->since || !s->latency) die("out of memory");
  }
  snprintf(id, sizeof id, "%ld", s->sent);
  snprintf(digits, sizeof digits, "%ld", s->sent);
  int small = s->payload == SMALLEST;
  s->since[s->sent++] = now();
  publish(amqp_cstring_bytes(small ? INCREMENT : ECHO), amqp_cstring_bytes(id), &replies,
          small ? amqp_cstring_bytes(digits) : s->body);
}

/* Take one reply; with a timeout of zero only if there is one. Returns whether there was. */
static int take_reply(struct spell *s, struct timeval *timeout) {
  amqp_envelope_t reply;
  amqp_maybe_release_buffers(broker);
  amqp_rpc_reply_t got = amqp_consume_message(broker, &reply, timeout, 0);
  if (got.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
      got.library_error == AMQP_STATUS_TIMEOUT)
    return 0;
  check(got, "consume");
  long call = number(reply.message.properties.correlation_id);
  if (call < 0 || call >= s->sent) die("a reply to no call");
  if (s->payload == SMALLEST ? number(reply.message.body) != call + 1
                             : reply.message.body.len != s->body.len ||
                                   memcmp(reply.message.body.bytes, s->body.bytes, s->body.len))
    die("a wrong reply");
  s->latency[s->answered++] = now() - s->since[call];
  amqp_destroy_envelope(&reply);
  return 1;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double percentile_ms(const struct spell *s, double share) {
  long rank = (long)ceil(share * s->answered) - 1;
  return s->answered ? s->latency[rank < 0 ? 0 : rank] * 1e3 : 0;
}

/* Keep the calls going for so many seconds and wait for the last reply; report if asked to. */
static void run_spell(struct spell *s, double seconds, int report) {
  double start = now(), end = start + seconds;
  struct timeval at_once = {0, 0};
  s->sent = s->answered = 0;
  while (now() < end || s->answered < s->sent) {
    while (s->sent - s->answered < s->in_flight && now() < end) {
      start_call(s);
      /* Large replies must not fill the sockets while this process only writes. */
      if (s->payload > LARGE)
        while (s->answered < s->sent && take_reply(s, &at_once)) {
        }
    }
    if (s->answered < s->sent) take_reply(s, NULL);
  }
  if (!report) return;
  double rate = s->answered / (now() - start);
  qsort(s->latency, s->answered, sizeof(double), ascending);
  printf("{\"calls\": %ld, \"rate\": %.3f, \"p50_ms\": %.6f, \"p99_ms\": %.6f}\n", s->answered,
         rate, percentile_ms(s, 0.50), percentile_ms(s, 0.99));
  fflush(stdout);
}

static void measure(long payload, long in_flight, double seconds, double warm_up) {
  struct spell s = {.payload = payload, .in_flight = in_flight, .room = 1 << 16};
  s.since = malloc(s.room * sizeof(double));
  s.latency = malloc(s.room * sizeof(double));
  s.body = filled(payload);
  if (!s.since || !s.latency) die("out of memory");
  run_spell(&s, warm_up, 0);
  run_spell(&s, seconds, 1);
  amqp_bytes_free(s.body);
  free(s.since);
  free(s.latency);
}

/* Have a stream sent, and count its items: see bench/streams.py. */
static void take_stream(long items, long size) {
  char order[64];
  snprintf(order, sizeof order, "%ld %ld", items, size);
  double start = now();
  publish(amqp_cstring_bytes(STREAM), amqp_cstring_bytes("stream"), &replies,
          amqp_cstring_bytes(order));
  for (long i = 0; i < items; i++) {
    amqp_envelope_t item;
    amqp_maybe_release_buffers(broker);
    check(amqp_consume_message(broker, &item, NULL, 0), "consume");
    if ((long)item.message.body.len != size) die("a wrong item");
    amqp_destroy_envelope(&item);
  }
  printf("{\"seconds\": %.6f}\n", now() - start);
  fflush(stdout);
}

static void call(void) {
  amqp_queue_declare_ok_t *queue =
      amqp_queue_declare(broker, 1, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table);
  check(amqp_get_rpc_reply(broker), "queue.declare");
  replies = amqp_bytes_malloc_dup(queue->queue);
  amqp_basic_consume(broker, 1, replies, amqp_empty_bytes, 0, 1, 1, amqp_empty_table);
  check(amqp_get_rpc_reply(broker), "basic.consume");
  watch_input(2);
  printf("{\"ready\": true}\n");
  fflush(stdout);
  char line[512];
  while (fgets(line, sizeof line, stdin)) {
    long payload, in_flight;
    double seconds, warm_up;
    if (sscanf(line, "{\"items\": %ld, \"size\": %ld}", &payload, &in_flight) == 2) {
      take_stream(payload, in_flight);
      continue;
    }
    if (sscanf(line, "{\"payload\": %ld, \"in_flight\": %ld, \"seconds\": %lf, \"warm_up\": %lf}",
               &payload, &in_flight, &seconds, &warm_up) != 4)
      die("a command that is no load");
    measure(payload, in_flight, seconds, warm_up);
  }
  amqp_connection_close(broker, AMQP_REPLY_SUCCESS);
}

int main(int count, char **arguments) {
  if (count != 2) die("say server or client");
  connect_to_broker();
  if (strcmp(arguments[1], "server") == 0)
    serve();
  else
    call();
  return 0;
}
