/* The physical limit: the least a client can do and still know when each event came.
 *
 *     c-reader --port N --streams N --seconds S --spread S --model gt:... --log FILE [--own]
 *
 * Every stream has a connection of its own and asks again as soon as its answer is complete, until S seconds after
 * the start; what is in flight then is read to its end. Streams start evenly over the spread. One epoll, one
 * recvmsg() a wake-up; an event's stamp is the kernel's receive stamp (SO_TIMESTAMPNS) of the read that completed
 * it, or with --own the clock right after that read. It parses nothing but the ends of events and of the body:
 * blank lines and the last chunk. It is no client to build upon, it is what others are measured against.
 *
 * Prints one JSON object in the shape of bench/loader.py's and writes the log of stamps.h.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stamps.h"

enum { READ_BYTES = 65536, ANCHOR_EVERY_NS = 1000000000 };

struct stream {
    int fd, number;
    uint32_t asked;
    struct entry *entry;
    bool after_newline;
    char last[7];
};

static struct options {
    int port, streams;
    double seconds, spread;
    const char *model, *log;
    bool own;
} options = {.streams = 1, .seconds = 5, .model = "gt:t0=300000,k=80,d=20000,j=20"};

static struct entries entries;
static struct stream *streams;
static int poller, started, running, failed;
static uint32_t events_asked;
static int64_t deadline_ns, real_minus_mono_ns, anchored_ns;

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static long rss_kb(const char *field) {
    char line[256];
    long found = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, field, strlen(field))) found = atol(line + strlen(field) + 1);
    if (file) fclose(file);
    return found;
}

static int open_files(void) {
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder)) count++;
    if (folder) closedir(folder);
    return count;
}

static int64_t real_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The kernel stamps in wall time; a step of the system clock must not last. The tightest of a few pairs. */
static void anchor(void) {
    int64_t width = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        int64_t before = now_ns(), real = real_ns(), after = now_ns();
        if (after - before >= width) continue;
        width = after - before;
        real_minus_mono_ns = real - (before + after) / 2;
    }
    anchored_ns = now_ns();
}

static void finish(struct stream *stream, bool complete) {
    stream->entry->complete = complete;
    stream->entry = NULL;
}

static void retire(struct stream *stream) {
    close(stream->fd);
    running--;
}

static void ask(struct stream *stream) {
    char body[512], request[1024];
    struct entry *entry = stream->entry = new_entry(&entries, events_asked);
    snprintf(entry->id, sizeof entry->id, "c-%d-%u", stream->number, ++stream->asked);
    int length = snprintf(body, sizeof body,
                          "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Tell me of the sea.\"}],"
                          "\"stream\":true,\"stream_options\":{\"include_usage\":true}}", options.model);
    length = snprintf(request, sizeof request,
                      "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                      "X-Request-Id: %s\r\nContent-Length: %d\r\n\r\n%s", entry->id, length, body);
    stream->after_newline = false;
    memset(stream->last, 0, sizeof stream->last);
    entry->start_ns = now_ns();
    if (send(stream->fd, request, (size_t)length, MSG_NOSIGNAL) != length) die("send");
}

static void begin(struct stream *stream) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = stream};
    int one = 1;
    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (stream->fd < 0 || connect(stream->fd, (struct sockaddr *)&address, sizeof address)) die("connect");
    setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!options.own) setsockopt(stream->fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, stream->fd, &event)) die("epoll_ctl");
    running++;
    ask(stream);
}

/* True: the body is complete. The first `asked` blank lines end events; those after them are the end's own. */
static bool scan(struct stream *stream, const char *data, size_t length, int64_t stamp_ns) {
    struct entry *entry = stream->entry;
    const char *at = data, *end = data + length;
    while (at < end) {
        if (stream->after_newline && *at == '\n' && entry->got < entry->asked) entry->times[entry->got++] = stamp_ns;
        const char *newline = *at == '\n' ? at : memchr(at, '\n', (size_t)(end - at));
        stream->after_newline = newline != NULL;
        at = newline ? newline + 1 : end;
        if (at < end && *at != '\n') stream->after_newline = false;
    }
    size_t room = sizeof stream->last, keep = length < room ? length : room;
    memmove(stream->last, stream->last + keep, room - keep);
    memcpy(stream->last + room - keep, end - keep, keep);
    return !memcmp(stream->last, "\r\n0\r\n\r\n", room);
}

static int64_t stamp_of(struct msghdr *message) {
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part))
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec stamp;
            memcpy(&stamp, CMSG_DATA(part), sizeof stamp);
            return (int64_t)stamp.tv_sec * 1000000000 + stamp.tv_nsec - real_minus_mono_ns;
        }
    return now_ns();
}

static ssize_t read_stamped(int fd, char *buffer, int64_t *stamp_ns) {
    if (options.own) {
        ssize_t got = recv(fd, buffer, READ_BYTES, MSG_DONTWAIT);
        *stamp_ns = now_ns();
        return got;
    }
    char control[128];
    struct iovec vector = {buffer, READ_BYTES};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
    if (got > 0) *stamp_ns = stamp_of(&message);
    return got;
}

static void receive(struct stream *stream) {
    static char buffer[READ_BYTES];
    int64_t stamp_ns = 0;
    ssize_t got = read_stamped(stream->fd, buffer, &stamp_ns);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        finish(stream, false);
        failed++;
        retire(stream);
        return;
    }
    if (!scan(stream, buffer, (size_t)got, stamp_ns)) return;
    struct entry *entry = stream->entry;
    bool whole = entry->got == entry->asked;
    entry->late_ns = entry->got ? now_ns() - entry->times[entry->got - 1] : 0;
    finish(stream, whole);
    failed += !whole;
    if (now_ns() < deadline_ns) ask(stream);
    else retire(stream);
}

static void wait_and_read(int64_t wait_ns) {
    struct epoll_event ready[256];
    struct timespec wait = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    int count = (int)syscall(SYS_epoll_pwait2, poller, ready, 256, &wait, NULL, 0);
    if (count < 0 && errno == ENOSYS) count = epoll_wait(poller, ready, 256, (int)(wait_ns / 1000000) + 1);
    for (int i = 0; i < count; i++) receive(ready[i].data.ptr);
}

static void load(void) {
    int64_t begin_ns = now_ns(), spread_ns = (int64_t)(options.spread * 1e9);
    int64_t steady_ns = begin_ns + spread_ns;
    double begin_cpu_s = cpu_s(), steady_cpu_s = -1, stop_cpu_s = -1;
    int64_t steady_at_ns = 0, stop_at_ns = 0;
    deadline_ns = begin_ns + (int64_t)(options.seconds * 1e9);
    while (running || started < options.streams) {
        int64_t now = now_ns(), next_ns = begin_ns + spread_ns / options.streams * started;
        if (now - anchored_ns > ANCHOR_EVERY_NS) anchor();
        if (started < options.streams && now >= next_ns) {
            begin(&streams[started++]);
            continue;
        }
        if (steady_cpu_s < 0 && now >= steady_ns) steady_cpu_s = cpu_s(), steady_at_ns = now;
        if (stop_cpu_s < 0 && now >= deadline_ns) stop_cpu_s = cpu_s(), stop_at_ns = now;
        wait_and_read(started < options.streams ? next_ns - now : 50000000);
    }
    double end_cpu_s = cpu_s();
    if (stop_cpu_s < 0) stop_cpu_s = end_cpu_s, stop_at_ns = now_ns();
    printf("{\"begin_ns\":%lld,\"steady_ns\":%lld,\"stop_ns\":%lld,\"end_ns\":%lld,\"cpu_s\":%.6f,\"steady_cpu_s\":%.6f,"
           "\"steady_s\":%.6f,\"failed\":%d,", (long long)begin_ns, (long long)steady_ns, (long long)deadline_ns, (long long)now_ns(),
           end_cpu_s - begin_cpu_s, stop_cpu_s - steady_cpu_s, (double)(stop_at_ns - steady_at_ns) / 1e9, failed);
}

static int usage(void) {
    fprintf(stderr, "usage: c-reader --port N [--streams N] [--seconds S] [--spread S] [--model gt:...] [--log FILE] [--own]\n");
    return 2;
}

static bool parse(int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        const char *name = arguments[i], *value = i + 1 < count ? arguments[i + 1] : NULL;
        if (!strcmp(name, "--own")) {
            options.own = true;
            continue;
        }
        i++;
        if (!value) return false;
        if (!strcmp(name, "--port")) options.port = atoi(value);
        else if (!strcmp(name, "--streams")) options.streams = atoi(value);
        else if (!strcmp(name, "--seconds")) options.seconds = atof(value);
        else if (!strcmp(name, "--spread")) options.spread = atof(value);
        else if (!strcmp(name, "--model")) options.model = value;
        else if (!strcmp(name, "--log")) options.log = value;
        else return false;
    }
    const char *k = strstr(options.model, "k=");
    events_asked = k ? (uint32_t)strtoul(k + 2, NULL, 10) : 0;
    return options.port > 0 && options.streams > 0 && options.seconds > 0 && options.spread >= 0 && events_asked &&
           strlen(options.model) < 128;
}

int main(int count, char **arguments) {
    if (!parse(count, arguments)) return usage();
    prctl(PR_SET_TIMERSLACK, 1000ul);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    streams = must(calloc((size_t)options.streams, sizeof *streams));
    for (int i = 0; i < options.streams; i++) streams[i].number = i;
    if ((poller = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll");
    anchor();
    int files_before = open_files();
    long rss_before_kb = rss_kb("VmRSS");
    load();
    printf("\"rss_before_kb\":%ld,\"rss_peak_kb\":%ld,\"files_left\":%d,\"stamps\":\"%s\"}\n", rss_before_kb,
           rss_kb("VmHWM"), open_files() - files_before, options.own ? "read" : "kernel");
    if (options.log) write_log(options.log, &entries);
    return 0;
}
