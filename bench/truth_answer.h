/* What the truth server sends: the bytes of an answer, made once a request and before its first event is due. Pure. */
#ifndef TRUTH_ANSWER_H
#define TRUTH_ANSWER_H

#include "truth_plan.h"
#include "truth_text.h"

/* What of a request its answer depends on, besides the plan. */
struct wish {
    const char *id;
    bool chat, usage, close;
    size_t prompt_bytes;
};

/* The pieces of an answer, each one send(). */
struct pieces {
    struct text first, event, tail;
};

static void say_head(struct text *text, const struct wish *wish, const char *type) {
    add(text, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nX-Request-Id: %s\r\n%s", type, wish->id,
        wish->close ? "Connection: close\r\n" : "");
}

static void say_event(struct text *text, const char *id, const char *model, bool chat, const char *choice,
                      const char *usage) {
    add(text, "data: {\"id\":\"%s\",\"object\":\"%s\",\"created\":1700000000,\"model\":\"%s\",\"choices\":[%s]%s}\n\n",
        id, chat ? "chat.completion.chunk" : "text_completion", model, choice, usage);
}

static char *tokens_of(uint32_t count) {
    char *words = must(malloc((size_t)count * 4 + 1));
    for (uint32_t i = 0; i < count; i++) memcpy(words + 4 * i, " the", 4);
    words[4 * (size_t)count] = 0;
    return words;
}

static void say_usage(struct text *text, const struct plan *plan, size_t prompt_bytes) {
    size_t prompt = prompt_bytes / 4 + 1, output = (size_t)plan->events * plan->tokens;
    add(text, ",\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,\"total_tokens\":%zu}", prompt, output,
        prompt + output);
}

/* The pieces of a streamed answer: head and first event, every further event, and the end. */
static void prepare_stream(struct pieces *pieces, const struct plan *plan, const struct wish *wish) {
    const char *id = wish->id, *model = plan->name;
    bool chat = wish->chat;
    char *words = tokens_of(plan->tokens);
    struct text choice = {0}, event = {0}, counts = {0};
    add(&choice, chat ? "{\"index\":0,\"delta\":{\"content\":\"%s\"},\"finish_reason\":null}"
                      : "{\"index\":0,\"text\":\"%s\",\"finish_reason\":null}", words);
    say_event(&event, id, model, chat, choice.data, "");
    add_chunk(&pieces->event, &event);
    say_head(&pieces->first, wish, "text/event-stream");
    add(&pieces->first, "Transfer-Encoding: chunked\r\n\r\n");
    if (!plan->role) add_chunk(&pieces->first, &event);
    else {
        event.length = 0;
        say_event(&event, id, model, chat, "{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"finish_reason\":null}", "");
        add_chunk(&pieces->first, &event);
    }
    event.length = 0;
    say_event(&event, id, model, chat, chat ? "{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}"
                                            : "{\"index\":0,\"text\":\"\",\"finish_reason\":\"length\"}", "");
    add_chunk(&pieces->tail, &event);
    if (wish->usage) {
        event.length = 0;
        say_usage(&counts, plan, wish->prompt_bytes);
        say_event(&event, id, model, chat, "", counts.data);
        add_chunk(&pieces->tail, &event);
    }
    add(&pieces->tail, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    free(words);
    free(choice.data);
    free(event.data);
    free(counts.data);
}

/* An answer in one piece, sent when a stream's last event would have been. */
static void prepare_whole(struct pieces *pieces, const struct plan *plan, const struct wish *wish) {
    struct text body = {0};
    char *words = tokens_of(plan->events * plan->tokens);
    add(&body, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":1700000000,\"model\":\"%s\",\"choices\":[{\"index\":0,", wish->id,
        wish->chat ? "chat.completion" : "text_completion", plan->name);
    add(&body, wish->chat ? "\"message\":{\"role\":\"assistant\",\"content\":\"%s\"}" : "\"text\":\"%s\"", words);
    add(&body, ",\"finish_reason\":\"length\"}]");
    say_usage(&body, plan, wish->prompt_bytes);
    add(&body, "}");
    say_head(&pieces->first, wish, "application/json");
    add(&pieces->first, "Content-Length: %zu\r\n\r\n%s", body.length, body.data);
    free(body.data);
    free(words);
}

#endif
