/* Growable text for the truth server; its data ends in a zero that its length does not count. */
#ifndef TRUTH_TEXT_H
#define TRUTH_TEXT_H

#include <stdarg.h>

#include "stamps.h"

struct text {
    char *data;
    size_t length, room;
};

static void grow(struct text *text, size_t more) {
    if (text->length + more <= text->room) return;
    while (text->room < text->length + more) text->room = text->room ? 2 * text->room : 1024;
    text->data = must(realloc(text->data, text->room));
}

static void add(struct text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    grow(text, (size_t)length + 1);
    va_start(arguments, format);
    vsnprintf(text->data + text->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->length += (size_t)length;
}

static void add_chunk(struct text *text, const struct text *event) {
    add(text, "%zx\r\n", event->length);
    grow(text, event->length);
    memcpy(text->data + text->length, event->data, event->length);
    text->length += event->length;
    add(text, "\r\n");
}

#endif
