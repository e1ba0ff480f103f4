/* What the truth server and the C reader share: the clock, growable text, and the log of stamps.
 *
 * The log (all little-endian) is 8 bytes of magic, then one record a request:
 *
 *     u32 asked      events the request asked for
 *     u32 got        events sent (server) or received (client)
 *     i64 start_ns   CLOCK_MONOTONIC: the request had been read (server), is about to be written (client)
 *     i64 late_ns    the worst a send of this request was behind its plan (server);
 *                    from the last event's stamp until the answer was in hand (client)
 *     u8  complete   1: the response ended as it should
 *     u8  id_length  then 6 bytes of nothing
 *     id, padded with zeros to a multiple of 8 bytes
 *     i64[got]       CLOCK_MONOTONIC of each event, just before its send() (server), of its arrival (client)
 *
 * It is kept in memory and written when everything is over, never while load runs. bench/stamps.py reads it.
 */
#ifndef STAMPS_H
#define STAMPS_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ID_MAX 120
#define LOG_MAGIC "TSSTAMP1"

struct entry {
    char id[ID_MAX + 1];
    uint32_t asked, got;
    int64_t start_ns, late_ns;
    bool complete;
    int64_t *times;
    struct entry *next;
};

struct entries {
    struct entry *first, *last;
};

static inline int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static inline void *must(void *memory) {
    if (!memory) die("memory");
    return memory;
}

static inline struct entry *new_entry(struct entries *list, uint32_t asked) {
    struct entry *entry = must(calloc(1, sizeof *entry));
    entry->asked = asked;
    entry->times = must(malloc((asked ? asked : 1) * sizeof *entry->times));
    if (list->last) list->last->next = entry;
    else list->first = entry;
    list->last = entry;
    return entry;
}

static inline void write_log(const char *path, const struct entries *list) {
    static const char zeros[8];
    FILE *file = fopen(path, "wb");
    if (!file) die(path);
    fwrite(LOG_MAGIC, 1, 8, file);
    for (const struct entry *entry = list->first; entry; entry = entry->next) {
        unsigned char length = (unsigned char)strlen(entry->id), complete = entry->complete;
        fwrite(&entry->asked, 4, 1, file);
        fwrite(&entry->got, 4, 1, file);
        fwrite(&entry->start_ns, 8, 1, file);
        fwrite(&entry->late_ns, 8, 1, file);
        fwrite(&complete, 1, 1, file);
        fwrite(&length, 1, 1, file);
        fwrite(zeros, 1, 6, file);
        fwrite(entry->id, 1, length, file);
        fwrite(zeros, 1, (8 - length % 8) % 8, file);
        fwrite(entry->times, sizeof *entry->times, entry->got, file);
    }
    if (ferror(file) | fclose(file)) die(path);
}

#endif
