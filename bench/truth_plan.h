/* Schedules of the truth server: what a model's name says, and when the next event is due. Pure. */
#ifndef TRUTH_PLAN_H
#define TRUTH_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_MAX = 1000000, TOKENS_MAX = 1000000 };

struct plan {
    char name[128];
    int64_t t0_ns, gap_ns;
    uint32_t events, jitter, tokens;
    bool aligned, role;
};

static uint64_t hash(const char *text) {
    uint64_t value = 1469598103934665603u; /* FNV-1a */
    for (; *text; text++) value = (value ^ (unsigned char)*text) * 1099511628211u;
    return value;
}

static double uniform(uint64_t *seed) { /* splitmix64; -1 to 1 */
    uint64_t mixed = (*seed += 0x9e3779b97f4a7c15u);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return (double)((mixed ^ (mixed >> 31)) >> 11) * 0x1p-52 - 1.0;
}

static bool assign(struct plan *plan, const char *key, size_t length, uint64_t value) {
    if (length == 2 && !memcmp(key, "t0", 2)) plan->t0_ns = (int64_t)value * 1000;
    else if (length != 1) return false;
    else if (*key == 'k') plan->events = (uint32_t)value;
    else if (*key == 'd') plan->gap_ns = (int64_t)value * 1000;
    else if (*key == 'j') plan->jitter = (uint32_t)value;
    else if (*key == 'b') plan->tokens = (uint32_t)value;
    else if (*key == 's') plan->aligned = value != 0;
    else if (*key == 'r') plan->role = value != 0;
    else return false;
    return true;
}

static bool parse_plan(const char *text, size_t length, struct plan *plan) {
    *plan = (struct plan){.events = 16, .tokens = 1};
    if (length < 4 || length >= sizeof plan->name || memcmp(text, "gt:", 3)) return false;
    memcpy(plan->name, text, length);
    const char *at = plan->name + 3;
    while (*at) {
        const char *equals = strchr(at, '=');
        if (!equals || equals[1] < '0' || equals[1] > '9') return false;
        char *end;
        uint64_t value = strtoull(equals + 1, &end, 10);
        if (value > 4000000000u || !assign(plan, at, (size_t)(equals - at), value)) return false;
        if (*end && *end != ',') return false;
        at = *end ? end + 1 : end;
    }
    return plan->events >= 1 && plan->events <= EVENTS_MAX && plan->tokens >= 1 &&
           plan->tokens <= TOKENS_MAX / plan->events + 1024 && plan->jitter <= 100;
}

static int64_t on_grid(const struct plan *plan, int64_t due_ns) {
    if (!plan->aligned || !plan->gap_ns) return due_ns;
    return (due_ns + plan->gap_ns - 1) / plan->gap_ns * plan->gap_ns;
}

/* From one due time to the next of a paced stream. */
static int64_t gap_of(const struct plan *plan, uint64_t *seed) {
    double gap = (double)plan->gap_ns;
    if (plan->jitter && !plan->aligned) gap *= 1.0 + uniform(seed) * plan->jitter / 100.0;
    return (int64_t)gap;
}

#endif
