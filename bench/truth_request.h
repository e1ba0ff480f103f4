/* Reading requests for the truth server: as much of HTTP/1.1 and JSON as its answers depend on. Pure. */
#ifndef TRUTH_REQUEST_H
#define TRUTH_REQUEST_H

#include <strings.h>

#include "truth_text.h"

struct request {
    const char *method, *path, *body;
    size_t method_length, path_length, head_length, body_length;
    char id[ID_MAX + 1];
    bool close, expects, chunked;
};

/* The value after a key of a JSON body, or NULL. In a string of the prompt the quotes would be escaped. */
static const char *value_of(const struct request *request, const char *key) {
    const char *at = request->body, *end = at + request->body_length;
    size_t length = strlen(key);
    while ((at = memmem(at, (size_t)(end - at), key, length))) {
        at += length;
        const char *next = at;
        while (next < end && (*next == ' ' || *next == '\t' || *next == '\n' || *next == '\r')) next++;
        if (next == end || *next != ':') continue;
        for (next++; next < end && (*next == ' ' || *next == '\t' || *next == '\n' || *next == '\r');) next++;
        return next < end ? next : NULL;
    }
    return NULL;
}

static bool is_true(const struct request *request, const char *key) {
    const char *value = value_of(request, key);
    return value && request->body + request->body_length - value >= 4 && !memcmp(value, "true", 4);
}

static void set_header(struct request *request, const char *name, size_t length, const char *value, size_t size) {
    while (size && *value == ' ') value++, size--;
    if (length == 14 && !strncasecmp(name, "content-length", 14)) request->body_length = strtoull(value, NULL, 10);
    else if (length == 10 && !strncasecmp(name, "connection", 10)) request->close = size >= 5 && !strncasecmp(value, "close", 5);
    else if (length == 17 && !strncasecmp(name, "transfer-encoding", 17)) request->chunked = true;
    else if (length == 6 && !strncasecmp(name, "expect", 6)) request->expects = true;
    else if (length == 12 && !strncasecmp(name, "x-request-id", 12)) {
        for (size_t i = 0; i < size && i < ID_MAX; i++) { /* it goes into a header and into JSON */
            char letter = value[i];
            bool plain = (letter >= '0' && letter <= '9') || ((letter | 32) >= 'a' && (letter | 32) <= 'z');
            request->id[i] = plain || strchr("._:-", letter) ? letter : '_';
        }
    }
}

/* False: the head is not complete yet. */
static bool parse_head(const struct text *in, struct request *request) {
    const char *end = memmem(in->data, in->length, "\r\n\r\n", 4);
    if (!end) return false;
    *request = (struct request){.method = in->data, .head_length = (size_t)(end - in->data) + 4};
    const char *line = memmem(in->data, request->head_length, "\r\n", 2);
    const char *space = memchr(in->data, ' ', (size_t)(line - in->data));
    request->method_length = space ? (size_t)(space - in->data) : 0;
    request->path = space ? space + 1 : in->data;
    const char *after = memchr(request->path, ' ', (size_t)(line - request->path));
    request->path_length = after ? (size_t)(after - request->path) : 0;
    while (line < end) {
        line += 2;
        const char *stop = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
        const char *colon = memchr(line, ':', (size_t)(stop - line));
        if (colon) set_header(request, line, (size_t)(colon - line), colon + 1, (size_t)(stop - colon - 1));
        line = stop;
    }
    request->body = in->data + request->head_length;
    return true;
}

static bool asks(const struct request *request, const char *method, const char *path) {
    return request->method_length == strlen(method) && !memcmp(request->method, method, request->method_length) &&
           request->path_length == strlen(path) && !memcmp(request->path, path, request->path_length);
}

#endif
