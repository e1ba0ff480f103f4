/* The ground truth: streams OpenAI's events on an exact schedule and logs when it really sent them.
 *
 *     truth-server --port 0 --log FILE
 *
 * It prints "listening PORT"; at SIGTERM or SIGINT it writes the log, prints {"requests":,"events":,"open":} (answers
 * still under way are not among the events) and ends.
 *
 * The schedule of a request comes from the "model" in its body:
 *
 *     gt:t0=300000,k=80,d=20000,j=20,b=1,s=0,r=0
 *
 *     t0  microseconds from the request having been read to its first event
 *     k   events in all                       d   microseconds between them; 0: as fast as the socket takes them
 *     j   each gap is d +- j %, drawn from the request's id: the same id gives the same gaps again
 *     b   tokens in each event                s   1: all streams' events fall on one grid of d, as an engine's steps do
 *     r   1: an event with only a role comes at once, before the schedule. It is not logged
 *
 * Any other model is served with --model. The rule it keeps: one event is one send(), due at an absolute time, so
 * that lateness never adds up. The stamp is taken just before the send() that takes an event's last byte. Once the
 * last event is out, one more send() carries the finish reason, the usage if the body has include_usage, [DONE] and
 * the end of the body. With "stream" absent or false the answer is one JSON object when the last event would be due.
 *
 * One thread. It sleeps up to SPIN_NS before the next due time and spins from there: give it a core of its own.
 * It does no TLS, no HTTP/2, no chunked request bodies, and counts prompt tokens as bytes / 4.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "truth_answer.h"
#include "truth_request.h"

enum {
    CONNECTIONS = 8192,
    REQUEST_MAX = 16 << 20,
    READ_BYTES = 65536,
    SPIN_NS = 50000,
    SENDS_A_LOOK = 4, /* sends between two looks at the sockets: a request is not kept waiting by a burst */
    LONGEST_WAIT_NS = 100000000,
};

enum stage { IDLE, EVENTS, TAIL, REPLY };

struct conn {
    int fd;
    int place; /* in the heap, or -1 */
    enum stage stage;
    bool blocked, closing, dead;
    struct text in;
    struct pieces pieces;
    const char *out; /* what is still to be sent of the current piece */
    size_t out_length;
    struct plan plan;
    struct entry *entry;
    uint64_t seed;
    int64_t due_ns;
};

static volatile sig_atomic_t stopping;
static int poller, listener;
static struct conn *heap[CONNECTIONS];
static int heaped, connected;
static struct entries entries;
static uint64_t served, events_sent;
static struct plan fallback;
static bool logging;

/* ---- the heap of due times: one entry a connection ---- */

static void put(int place, struct conn *conn) {
    heap[place] = conn;
    conn->place = place;
}

static void rise(int place, struct conn *conn) {
    while (place > 0 && conn->due_ns < heap[(place - 1) / 2]->due_ns) {
        put(place, heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(place, conn);
}

static void sink(int place, struct conn *conn) {
    for (int child; (child = 2 * place + 1) < heaped; place = child) {
        if (child + 1 < heaped && heap[child + 1]->due_ns < heap[child]->due_ns) child++;
        if (conn->due_ns <= heap[child]->due_ns) break;
        put(place, heap[child]);
    }
    put(place, conn);
}

static void schedule(struct conn *conn) {
    rise(heaped++, conn);
}

static void unschedule(struct conn *conn) {
    int place = conn->place;
    if (place < 0) return;
    conn->place = -1;
    struct conn *last = heap[--heaped];
    if (last == conn) return;
    sink(place, last);
    rise(last->place, last);
}

/* ---- connections ---- */

static void next_due(struct conn *conn, int64_t sent_ns) {
    if (conn->plan.gap_ns) conn->due_ns += gap_of(&conn->plan, &conn->seed);
    else conn->due_ns = sent_ns; /* whoever sent longest ago is next: every stream in its turn */
}

static void watch(struct conn *conn, bool writable) {
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = conn};
    conn->blocked = writable;
    if (epoll_ctl(poller, EPOLL_CTL_MOD, conn->fd, &event)) die("epoll_ctl");
}

static void finish_entry(struct conn *conn, bool complete) {
    if (conn->entry) {
        conn->entry->complete = complete;
        events_sent += conn->entry->got;
        if (!logging) { /* it is on no list then */
            free(conn->entry->times);
            free(conn->entry);
        }
    }
    conn->entry = NULL;
}

/* The memory goes in `reap`, once no event of this turn can point to it. */
static void drop(struct conn *conn) {
    if (conn->dead) return;
    conn->dead = true;
    unschedule(conn);
    finish_entry(conn, false);
    close(conn->fd);
    connected--;
}

static void reap(struct conn *conn) {
    free(conn->in.data);
    free(conn->pieces.first.data);
    free(conn->pieces.event.data);
    free(conn->pieces.tail.data);
    free(conn);
}

static void piece(struct conn *conn, const struct text *text) {
    conn->out = text->data;
    conn->out_length = text->length;
}

/* The current piece is out: what comes next. */
static void advance(struct conn *conn, int64_t sent_ns) {
    struct entry *entry = conn->entry;
    if (conn->stage == EVENTS && conn->plan.role && conn->out != NULL && entry->got == 0 &&
        conn->due_ns == INT64_MIN) { /* that was the role */
        conn->due_ns = on_grid(&conn->plan, entry->start_ns + conn->plan.t0_ns);
        piece(conn, &conn->pieces.event);
        schedule(conn);
        return;
    }
    if (conn->stage == EVENTS) {
        int64_t late_ns = sent_ns - conn->due_ns;
        if (late_ns > entry->late_ns && (conn->plan.gap_ns || !entry->got)) entry->late_ns = late_ns;
        entry->times[entry->got++] = sent_ns;
        if (entry->got < entry->asked) {
            next_due(conn, sent_ns);
            piece(conn, &conn->pieces.event);
            schedule(conn);
            return;
        }
        if (conn->pieces.tail.length) {
            conn->stage = TAIL;
            piece(conn, &conn->pieces.tail);
            return;
        }
    }
    finish_entry(conn, true);
    conn->stage = IDLE;
    if (conn->closing) drop(conn);
}

/* Send what is due on one connection. */
static void push(struct conn *conn) {
    while (conn->out_length) {
        int64_t before_ns = now_ns();
        ssize_t sent = send(conn->fd, conn->out, conn->out_length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN) {
            drop(conn);
            return;
        }
        if (sent > 0) conn->out += sent, conn->out_length -= (size_t)sent;
        if (conn->out_length) {
            if (!conn->blocked) watch(conn, true);
            return;
        }
        if (conn->blocked) watch(conn, false);
        advance(conn, before_ns);
        if (conn->dead || conn->place >= 0) return;
    }
}

/* ---- requests ---- */

static void reply(struct conn *conn, int status, const char *body) {
    conn->pieces.first.length = 0;
    add(&conn->pieces.first, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s", status,
        status == 200 ? "OK" : "Error", strlen(body), conn->closing ? "Connection: close\r\n" : "", body);
    conn->stage = REPLY;
    piece(conn, &conn->pieces.first);
    push(conn);
}

static bool choose_plan(struct conn *conn, const struct request *request) {
    const char *value = value_of(request, "\"model\"");
    const char *end = value && *value == '"'
                          ? memchr(value + 1, '"', (size_t)(request->body + request->body_length - value - 1))
                          : NULL;
    if (!end || end - value < 4 || memcmp(value + 1, "gt:", 3)) {
        conn->plan = fallback;
        return true;
    }
    return parse_plan(value + 1, (size_t)(end - value - 1), &conn->plan);
}

static void answer(struct conn *conn, const struct request *request, bool chat, int64_t read_ns) {
    if (!choose_plan(conn, request)) {
        reply(conn, 400, "{\"error\":{\"message\":\"model: gt:t0=US,k=N,d=US,j=PCT,b=N,s=0|1,r=0|1\"}}");
        return;
    }
    struct plan *plan = &conn->plan;
    bool stream = is_true(request, "\"stream\"");
    struct entries unlisted = {0};
    conn->entry = new_entry(logging ? &entries : &unlisted, stream ? plan->events : 1);
    served++;
    if (request->id[0]) strcpy(conn->entry->id, request->id);
    else snprintf(conn->entry->id, sizeof conn->entry->id, "gt-%llu", (unsigned long long)served);
    conn->entry->start_ns = read_ns;
    conn->seed = hash(conn->entry->id);
    conn->stage = EVENTS;
    conn->pieces.first.length = conn->pieces.event.length = conn->pieces.tail.length = 0;
    struct wish wish = {conn->entry->id, chat, is_true(request, "\"include_usage\""), conn->closing, request->body_length};
    if (stream) prepare_stream(&conn->pieces, plan, &wish);
    else prepare_whole(&conn->pieces, plan, &wish);
    piece(conn, &conn->pieces.first);
    if (stream && plan->role) {
        conn->due_ns = INT64_MIN; /* at once; `advance` sets the schedule going */
        push(conn);
        return;
    }
    plan->role = false;
    conn->due_ns = on_grid(plan, read_ns + plan->t0_ns + (stream ? 0 : (plan->events - 1) * plan->gap_ns));
    schedule(conn);
}

static void route(struct conn *conn, const struct request *request, int64_t read_ns) {
    conn->closing = request->close;
    if (asks(request, "POST", "/v1/chat/completions")) answer(conn, request, true, read_ns);
    else if (asks(request, "POST", "/v1/completions")) answer(conn, request, false, read_ns);
    else if (asks(request, "GET", "/health")) reply(conn, 200, "{\"status\":\"ok\"}");
    else if (asks(request, "GET", "/v1/models")) {
        char body[sizeof fallback.name + 128];
        snprintf(body, sizeof body, "{\"object\":\"list\",\"data\":[{\"id\":\"%s\",\"object\":\"model\",\"owned_by\":\"truth\"}]}",
                 fallback.name);
        reply(conn, 200, body);
    } else reply(conn, 404, "{\"error\":{\"message\":\"no such route\"}}");
}

/* Serve the next whole request in the buffer. False: there is none, or another is being answered. */
static bool take_request(struct conn *conn) {
    struct request request;
    if (conn->dead || conn->stage != IDLE || !parse_head(&conn->in, &request)) return false;
    int64_t read_ns = now_ns();
    if (request.chunked || request.body_length > REQUEST_MAX) {
        conn->closing = true;
        reply(conn, 413, "{\"error\":{\"message\":\"give the body with a Content-Length, at most 16 MiB\"}}");
        return false;
    }
    size_t whole = request.head_length + request.body_length;
    if (conn->in.length < whole) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (request.expects && conn->in.length == request.head_length)
            if (send(conn->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) drop(conn);
        return false;
    }
    route(conn, &request, read_ns);
    conn->in.length -= whole;
    memmove(conn->in.data, conn->in.data + whole, conn->in.length);
    return true;
}

static void take_requests(struct conn *conn) {
    while (take_request(conn)) {}
}

static void receive(struct conn *conn) {
    if (conn->in.length > REQUEST_MAX + READ_BYTES) {
        drop(conn);
        return;
    }
    grow(&conn->in, READ_BYTES);
    ssize_t got = recv(conn->fd, conn->in.data + conn->in.length, READ_BYTES, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        drop(conn);
        return;
    }
    conn->in.length += (size_t)got;
    take_requests(conn);
}

static void welcome(void) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (connected == CONNECTIONS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct conn *conn = must(calloc(1, sizeof *conn));
        conn->fd = fd;
        conn->place = -1;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
        connected++;
    }
}

/* ---- the loop ---- */

static int wait_for(struct epoll_event *events, int room, int64_t wait_ns) {
    static bool coarse;
    struct timespec wait = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    if (!coarse && wait_ns > 0) {
        int count = (int)syscall(SYS_epoll_pwait2, poller, events, room, &wait, NULL, 0);
        if (count >= 0 || errno != ENOSYS) return count;
        coarse = true; /* before Linux 5.11: whole milliseconds, and spinning for the rest */
    }
    return epoll_wait(poller, events, room, (int)(wait_ns / 1000000));
}

static void look(int64_t wait_ns) {
    struct epoll_event events[256];
    int count = wait_for(events, 256, wait_ns);
    for (int i = 0; i < count; i++) {
        struct conn *conn = events[i].data.ptr;
        if (!conn) {
            welcome();
            continue;
        }
        if (events[i].events & EPOLLOUT) push(conn), take_requests(conn);
        if (!conn->dead && events[i].events & ~(uint32_t)EPOLLOUT) receive(conn);
    }
    for (int i = 0; i < count; i++) { /* each connection is in a turn's list once */
        struct conn *conn = events[i].data.ptr;
        if (conn && conn->dead) reap(conn);
    }
}

static void serve(void) {
    while (!stopping) {
        int64_t wait_ns = LONGEST_WAIT_NS;
        if (heaped) {
            int64_t left = heap[0]->due_ns - now_ns() - SPIN_NS;
            wait_ns = left < 0 ? 0 : left < wait_ns ? left : wait_ns;
        }
        look(wait_ns);
        for (int sends = 0; heaped && sends < SENDS_A_LOOK && heap[0]->due_ns <= now_ns(); sends++) {
            struct conn *conn = heap[0];
            unschedule(conn);
            push(conn);
            take_requests(conn);
            if (conn->dead) reap(conn);
        }
    }
}

static void stop(int number) {
    (void)number;
    stopping = 1;
}

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int one = 1;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096))
        die("listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event)) die("epoll");
    return ntohs(address.sin_port);
}

static int usage(void) {
    fprintf(stderr, "usage: truth-server [--port N] [--log FILE] [--model gt:t0=US,k=N,d=US,j=PCT,b=N,s=0|1,r=0|1]\n");
    return 2;
}

int main(int count, char **arguments) {
    const char *path = NULL, *model = "gt:t0=50000,k=64,d=10000";
    int port = 0;
    for (int i = 1; i < count; i += 2) {
        if (i + 1 == count) return usage();
        if (!strcmp(arguments[i], "--port")) port = atoi(arguments[i + 1]);
        else if (!strcmp(arguments[i], "--log")) path = arguments[i + 1];
        else if (!strcmp(arguments[i], "--model")) model = arguments[i + 1];
        else return usage();
    }
    if (!parse_plan(model, strlen(model), &fallback)) return usage();
    logging = path != NULL;
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    prctl(PR_SET_TIMERSLACK, 1000ul);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    printf("listening %d\n", listen_on(port));
    fflush(stdout);
    serve();
    if (path) write_log(path, &entries);
    printf("{\"requests\":%llu,\"events\":%llu,\"open\":%d}\n", (unsigned long long)served,
           (unsigned long long)events_sent, connected);
    return 0;
}
