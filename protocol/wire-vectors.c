/* SPDX-License-Identifier: Apache-2.0 */
/* The examples. Their values are those of a small program, so that they read as a story; each was
 * chosen to take another length on the wire than its neighbours. */
#include "protocol/wire-vectors.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "protocol/encode.h"
#include "protocol/recording.h"

#define TEXT(literal)                                                                              \
    { .text = literal, .len = sizeof(literal) - 1 }
#define SESSION TEXT("\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10")

const TtRecordHello tt_vector_hello = {
    .session = SESSION,
    .pid = 4711,
    .executable = TEXT("/usr/bin/cat"),
    .clock = TT_CLOCK_TSC,
    .clock_shift = 4,
    .start_stamp = 1000000,
    .start_monotonic_ns = 3600000000000,
    .start_realtime_ns = 1700000000000000000,
    .page_size = 4096,
    .sample_bytes = 0,
    .flags = TT_HELLO_LOSSLESS,
    .parent_session = TEXT(""),
    .parent_relation = TT_RELATION_NONE,
    .untraced_before_ns = 0,
};
const TtRecordArgument tt_vector_argument = {.text = TEXT("cat")};
const TtRecordModule tt_vector_module = {
    .id = 1,
    .path = TEXT("/usr/bin/cat"),
    .build_id = TEXT("\xde\xad\xbe\xef\x00\x01\x02\x03"),
    .bias = 0x555555554000,
    .start = 0x555555554000,
    .end = 0x55555555f000,
    .stamp = 1000100,
};
const TtRecordSegment tt_vector_segment = {
    .module = 1,
    .addr = 0x555555556000,
    .size = 0x4f11,
    .offset = 0x2000,
    .flags = 5,
};
const TtRecordModuleGone tt_vector_module_gone = {.id = 2, .stamp = 5000000};
const TtRecordThread tt_vector_thread = {.tid = 4711, .name = TEXT("cat")};
const TtRecordStack tt_vector_stack = {
    .id = TT_STACK_FIRST,
    .parent = TT_STACK_ROOT,
    .ip = 0x555555556a32,
    .module = 1,
    .flags = 0,
};
const TtRecordStack tt_vector_inner_stack = {
    .id = TT_STACK_FIRST + 1,
    .parent = TT_STACK_FIRST,
    .ip = 0x555555556711,
    .module = 1,
    .flags = TT_STACK_EXACT_IP,
};
const TtRecordNode tt_vector_node = {
    .id = 2 * TT_STACK_FIRST,
    .parent = TT_STACK_FIRST,
    .ip = 2 * 0x555555556a32,
    .module = 2 * 1,
};
const TtRecordWideEvent tt_vector_wide_event = {
    .stamp = 1004000,
    .op = TT_OP_ALLOC,
    .addr = 0x55555556b2a5,
    .size = 3,
    .stack = TT_STACK_FIRST,
};
const TtRecordReallocFailed tt_vector_realloc_failed = {.stamp = 1004100};
const TtRecordReallocLeft tt_vector_realloc_left = {.stamp = 1004150};
const TtRecordMark tt_vector_mark = {.stamp = 1004200, .name = TEXT("loaded")};
const TtRecordVariable tt_vector_variable = {
    .stamp = 1004300,
    .addr = 0x55555556b2a0,
    .name = TEXT("line"),
    .type = TEXT("char *"),
    .file = TEXT("cat.c"),
    .line = 212,
    .function = TEXT("simple_cat"),
};
const TtRecordScopeEnter tt_vector_scope_enter = {
    .stamp = 1004400,
    .name = TEXT("parse"),
    .depth = 1,
};
const TtRecordScopeLeave tt_vector_scope_leave = {.stamp = 1004500, .depth = 0};
const TtRecordGap tt_vector_gap = {.stamp = 1004900, .first_stamp = 1004600, .count = 17};
const TtRecordEnd tt_vector_end = {.stamp = 9000000};
const TtRecordFork tt_vector_fork = {.stamp = 1003000, .token = 1002991};
const TtRecordUsable tt_vector_usable = {.stamp = 1004000, .addr = 0x55555556b2a5, .usable = 11};
const TtRecordPause tt_vector_pause = {.stamp = 1004550};
const TtRecordLanes tt_vector_lanes = {
    .lane_count = 8,
    .chunks_per_lane = 16,
    .size = 4198400,
};
const TtRecordRefused tt_vector_refused = {
    .reason = TEXT("The program speaks wire format 2.0, this daemon 1.0: update tt-daemon"),
};
const TtRecordExport tt_vector_export = {
    .session = SESSION,
    .format = TT_EXPORT_JSON,
    .stamp = 1004950,
};
const TtRecordExportDone tt_vector_export_done = {
    .error = 28,
    .message = TEXT("No space left on device"),
};
const TtRecordDoorbell tt_vector_doorbell = {.lane = 0};
const TtRecordMoreLanes tt_vector_more_lanes = {.lane_count = 8};
const TtRecordSection tt_vector_section = {
    .session = 1,
    .realtime_ns = 1700000001000000000,
    .event_count = 3,
    .steps = 96,
    .ops = 3,
    .times = 3,
    .late_times = 2,
    .birth_addrs = 12,
    .ages = 1,
    .death_addrs = 0,
    .sizes = 2,
    .birth_stacks = 2,
    .death_stacks = 1,
    .node_count = 1,
    .node_ids = 1,
    .node_parents = 1,
    .node_ips = 7,
    .node_modules = 1,
    .node_flags = 1,
};
const TtRecordSession tt_vector_session = {
    .id = SESSION,
    .pid = 4711,
    .own_pid = 4711,
    .executable = TEXT("/usr/bin/cat"),
    .start_stamp = 1000000,
    .start_realtime_ns = 1700000000000000000,
    .mult = 22906492245,
    .shift = 32,
    .page_size = 4096,
    .flags = TT_HELLO_LOSSLESS,
    .parent_session = TEXT(""),
    .parent_relation = TT_RELATION_NONE,
    .process_start = TEXT("9f86d081-884c-4d65-9a2f-eaa0c55ad015 4711"),
};
const TtRecordLaneThread tt_vector_lane_thread = {.lane = 0, .tid = 4711};
const TtRecordThreadName tt_vector_thread_name = {.thread = 0, .name = TEXT("cat")};
const TtRecordNodes tt_vector_nodes = {.count = 12};
const TtRecordRun tt_vector_run = {.thread = 0, .count = 256, .is_held = 0};
const TtRecordPlaced tt_vector_placed = {.stamp = 1004200, .thread = 0, .is_held = 1};
const TtRecordLoss tt_vector_loss = {.stamp = 1004600, .thread = 1, .count = 17, .is_held = 1};
const TtRecordRelease tt_vector_release = {.stamp = 599};
const TtRecordDoubt tt_vector_doubt = {.sentence = TEXT("Times were impossible")};
const TtRecordDropped tt_vector_dropped = {.count = 12};
const TtRecordState tt_vector_state = {.state = TT_RECORDED_KILLED, .exit_status = 10};
const TtRecordFinish tt_vector_finish = {.session_count = 1};
const TtRecordInterruption tt_vector_interruption = {
    .first_stamp = 1007000, .stamp = 1900000, .count = 65000};
const TtRecordInheritance tt_vector_inheritance = {.origin_stamp = 400000};
const TtRecordInheritedThread tt_vector_inherited_thread = {.tid = 4700, .name = TEXT("sh")};
const TtRecordInheritedVariable tt_vector_inherited_variable = {
    .name = TEXT("buffer"),
    .type = TEXT("char *"),
    .file = TEXT("sh.c"),
    .line = 210,
    .function = TEXT("main"),
    .stack = 4,
};
const TtRecordInheritedScope tt_vector_inherited_scope = {.name = TEXT("parse"), .parent = 0};
const TtRecordInheritedBlock tt_vector_inherited_block = {
    .addr = 0x55555556b340,
    .size = 1000,
    .born = 150000,
    .thread = 0,
    .stack = 4,
    .variable = 1,
    .scope = 1,
    .spare = 1,
};
const TtRecordInheritanceEnd tt_vector_inheritance_end = {
    .block_count = 1, .scope = 1, .scope_depth = 1};

const TtEvent tt_vector_events[] = {
    {.op = TT_OP_ALLOC, .addr = 0x55555556b2a0, .size = 72, .stack = 3, .stamp = 1000210},
    {.op = TT_OP_ALLOC, .addr = 0x55555556b2f0, .size = 72, .stack = 3, .stamp = 1000229},
    {.op = TT_OP_ALLOC, .addr = 0x55555556b340, .size = 1000, .stack = 4, .stamp = 1002901},
    {.op = TT_OP_FREE, .addr = 0x55555556b2f0, .stack = TT_STACK_NONE, .stamp = 1002990},
    {.op = TT_OP_FREE, .addr = 0x55555556b2a0, .stack = 70000, .stamp = 1003200},
    {.op = TT_OP_REALLOC_BEGIN, .addr = 0x55555556b340, .stack = TT_STACK_NONE, .stamp = 1003251},
    {.op = TT_OP_REALLOC_END, .addr = 0x7ffff7d00010, .size = 200000, .stack = 4, .stamp = 1003300},
    {.op = TT_OP_ALLOC, .addr = 0x55555556b2a8, .size = 8, .stack = 20000000, .stamp = 1003390},
    {.op = TT_OP_FREE, .addr = 0x55555556b2a8, .stack = TT_STACK_NONE, .stamp = 1003391},
    {.op = TT_OP_ALLOC, .addr = 0x55555556b2a5, .size = 3, .stack = 3, .stamp = 1004000},
    {.op = TT_OP_FREE, .addr = 0x7ffff7d00010, .stack = TT_STACK_NONE, .stamp = 3600001004000},
};
const size_t tt_vector_event_count = sizeof tt_vector_events / sizeof tt_vector_events[0];

static TtVector all[TT_RECORD_INTERRUPTION + 8];
static size_t all_count;

static TtVector *add_vector(TtVectorKind kind, const char *prefix, const char *name,
                            const char *about) {
    if (all_count == sizeof all / sizeof all[0])
        abort();
    TtVector *vector = &all[all_count++];

    snprintf(vector->name, sizeof vector->name, "%s-%s", prefix, name);
    for (char *c = vector->name; *c != '\0'; c++)
        if (*c == '_')
            *c = '-';
    vector->kind = kind;
    vector->about = about;
    return vector;
}

/* Says what the @len bytes at the vector's end are; they are there already. */
__attribute__((format(printf, 3, 4))) static void add_part(TtVector *vector, size_t len,
                                                           const char *format, ...) {
    if (vector->part_count == TT_VECTOR_PARTS || vector->len + len > TT_VECTOR_BYTES)
        abort();
    TtVectorPart *part = &vector->parts[vector->part_count++];
    va_list args;

    va_start(args, format);
    vsnprintf(part->note, sizeof part->note, format, args);
    va_end(args);
    part->len = len;
    vector->len += len;
}

static void add_number(TtVector *vector, uint64_t value, size_t len, const char *name) {
    memcpy(vector->bytes + vector->len, &value, len);
    add_part(vector, len, "%s %" PRIu64, name, value);
}

static void add_magic(TtVector *vector, uint32_t magic) {
    memcpy(vector->bytes + vector->len, &magic, 4);
    add_part(vector, 4, "magic \"%.4s\"", (const char *)vector->bytes + vector->len);
}

static void add_varint_part(TtVector *vector, const char *field, uint64_t value) {
    if (value >= (uint64_t)1 << 44 && value < (uint64_t)1 << 47)
        add_part(vector, tt_varint_len(value), "%s 0x%" PRIx64, field, value);
    else
        add_part(vector, tt_varint_len(value), "%s %" PRIu64, field, value);
}

static void add_string_part(TtVector *vector, const char *field, TtString string) {
    bool is_text = true;

    for (size_t i = 0; i < string.len; i++)
        is_text = is_text && string.text[i] >= ' ' && string.text[i] <= '~';
    size_t len = tt_varint_len(string.len) + string.len;
    if (is_text)
        add_part(vector, len, "%s \"%.*s\"", field, (int)string.len, string.text);
    else
        add_part(vector, len, "%s, %zu bytes", field, string.len);
}

/* add_NAME: a framed record and its parts. */
#define TT_RECORD(number, NAME, name, Name, doc)                                                   \
    static void add_##name(TtVector *vector, const TtRecord##Name *r) {                            \
        size_t len =                                                                               \
            tt_encode_##name(vector->bytes + vector->len, TT_VECTOR_BYTES - vector->len, r);       \
        if (len == 0)                                                                              \
            abort();                                                                               \
        add_part(vector, 2, "record, number %d: " #NAME, number);                                  \
        add_part(vector, 2, "bytes of fields %zu", len - TT_RECORD_HEAD_BYTES);
#define TT_U(field, doc) add_varint_part(vector, #field, r->field);
#define TT_S(field, doc) add_string_part(vector, #field, r->field);
#define TT_RECORD_END(name, Name) }
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END

static void add_message_head(TtVector *vector) {
    add_magic(vector, TT_MESSAGE_MAGIC);
    add_number(vector, TT_WIRE_MAJOR, 1, "major");
    add_number(vector, TT_WIRE_MINOR, 1, "minor");
    add_number(vector, 0, 2, "reserved");
}

static void add_chunk_head(TtVector *vector, uint64_t base_stamp, uint64_t events_before) {
    add_magic(vector, TT_CHUNK_MAGIC);
    add_number(vector, 4711, 4, "tid");
    add_number(vector, TT_VECTOR_CHUNK_NUMBER, 8, "number");
    add_number(vector, base_stamp, 8, "base_stamp");
    add_number(vector, events_before, 8, "events_before");
    add_number(vector, 0, 8, "reserved");
}

static TtKind kind_of_event(const TtEvent *event) {
    bool is_eight = event->addr % 16 == 8;

    switch (event->op) {
    case TT_OP_ALLOC:
        return is_eight ? TT_KIND_ALLOC8 : TT_KIND_ALLOC;
    case TT_OP_FREE:
        return is_eight ? TT_KIND_FREE8 : TT_KIND_FREE;
    case TT_OP_REALLOC_BEGIN:
        return TT_KIND_REALLOC_BEGIN;
    default:
        return TT_KIND_REALLOC_END;
    }
}

/* Appends an event in the packed form, part by part. */
static void add_packed(TtVector *vector, TtDelta *delta, const TtEvent *event) {
    static const char *const kinds[] = {"CHUNK_END",   "ALLOC",  "FREE",  "REALLOC_BEGIN",
                                        "REALLOC_END", "ALLOC8", "FREE8", "RECORD"};
    TtKind kind = kind_of_event(event);
    bool is_birth = event->op == TT_OP_ALLOC || event->op == TT_OP_REALLOC_END;
    uint64_t time = event->stamp - delta->stamp;
    uint8_t *at = vector->bytes + vector->len;
    uint16_t head;

    if (is_birth)
        tt_encode_birth(at, delta, kind, event->addr, event->size, event->stack, event->stamp);
    else
        tt_encode_death(at, delta, kind, event->addr, event->stack, event->stamp);
    memcpy(&head, at, sizeof head);

    unsigned bits = is_birth ? TT_BIRTH_TIME_BITS : TT_DEATH_TIME_BITS;
    unsigned time_len = tt_length_of(TT_TIME_LENGTHS, head >> 5 & 3);
    unsigned stack_len = tt_length_of(TT_STACK_LENGTHS, head >> 7 & 3);
    unsigned size_len = is_birth ? tt_length_of(TT_SIZE_LENGTHS, head >> 9 & 3) : 0;

    add_part(vector, 2, "%s; time +%" PRIu64 ", its lowest %u bits %" PRIu64, kinds[kind], time,
             bits, time & ((1u << bits) - 1));
    add_part(vector, tt_length_of(TT_ADDR_LENGTHS, head >> 3 & 3), "addr 0x%" PRIx64, event->addr);
    if (time_len > 0)
        add_part(vector, time_len, "time's upper part %" PRIu64, time >> bits);
    if (stack_len > 0)
        add_part(vector, stack_len, "stack %u", event->stack);
    if (size_len > 0)
        add_part(vector, size_len, "size %" PRIu64, event->size);
}

static void make_chunk_events(void) {
    TtVector *vector = add_vector(TT_VECTOR_CHUNK, "chunk", "events",
                                  "a chunk: two stacks, and a block's life in every spelling");
    TtDelta delta;

    add_chunk_head(vector, 1000200, 900);
    tt_delta_init(&delta, 1000200);
    TtRecordNode outer = tt_node_of_stack(&delta, &tt_vector_stack);
    TtRecordNode inner = tt_node_of_stack(&delta, &tt_vector_inner_stack);
    add_node(vector, &outer);
    add_node(vector, &inner);
    for (size_t i = 0; i < tt_vector_event_count; i++) {
        const TtEvent *event = &tt_vector_events[i];

        if (event->addr % 8 == 0) {
            add_packed(vector, &delta, event);
            continue;
        }
        add_wide_event(vector, &(TtRecordWideEvent){.stamp = event->stamp,
                                                    .op = event->op,
                                                    .addr = event->addr,
                                                    .size = event->size,
                                                    .stack = event->stack});
        delta.stamp = event->stamp;
    }
    tt_encode_chunk_end(vector->bytes + vector->len, 2);
    add_part(vector, 2, "CHUNK_END");
}

static void make_chunk_records(void) {
    TtVector *vector = add_vector(TT_VECTOR_CHUNK, "chunk", "records",
                                  "a chunk of one of each record that a lane carries");

    add_chunk_head(vector, 1004000, 911);
    add_module(vector, &tt_vector_module);
    add_segment(vector, &tt_vector_segment);
    add_thread(vector, &tt_vector_thread);
    add_stack(vector, &tt_vector_stack);
    add_node(vector, &tt_vector_node);
    add_wide_event(vector, &tt_vector_wide_event);
    add_usable(vector, &tt_vector_usable);
    add_realloc_failed(vector, &tt_vector_realloc_failed);
    add_realloc_left(vector, &tt_vector_realloc_left);
    add_mark(vector, &tt_vector_mark);
    add_variable(vector, &tt_vector_variable);
    add_scope_enter(vector, &tt_vector_scope_enter);
    add_scope_leave(vector, &tt_vector_scope_leave);
    add_pause(vector, &tt_vector_pause);
    add_gap(vector, &tt_vector_gap);
    add_module_gone(vector, &tt_vector_module_gone);
    add_end(vector, &tt_vector_end);
}

static void make_messages(void) {
    TtVector *vector = add_vector(TT_VECTOR_MESSAGE, "message", "hello",
                                  "what a program sends first, for the command line `cat notes`");

    add_message_head(vector);
    add_hello(vector, &tt_vector_hello);
    add_argument(vector, &tt_vector_argument);
    add_argument(vector, &(TtRecordArgument){.text = TEXT("notes")});

    vector = add_vector(TT_VECTOR_MESSAGE, "message", "lanes",
                        "the daemon's answer; the memfd is attached");
    add_message_head(vector);
    add_lanes(vector, &tt_vector_lanes);

    vector = add_vector(TT_VECTOR_MESSAGE, "message", "doorbell", "a sleeping daemon is woken");
    add_message_head(vector);
    add_doorbell(vector, &tt_vector_doorbell);
}

const TtVector *tt_vectors(size_t *ret_count) {
    if (all_count == 0) {
#define TT_RECORD(number, NAME, name, Name, doc)                                                   \
    add_##name(add_vector(TT_VECTOR_RECORD, "record", #name, doc), &tt_vector_##name);
#define TT_U(field, doc)
#define TT_S(field, doc)
#define TT_RECORD_END(name, Name)
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END
        make_messages();
        make_chunk_events();
        make_chunk_records();
    }
    *ret_count = all_count;
    return all;
}

/* One part on lines of up to 16 bytes; the note stands on the first. */
static const uint8_t *print_part(const TtVectorPart *part, const uint8_t *at, FILE *to) {
    for (size_t done = 0; done < part->len || done == 0; done += 16) {
        size_t count = part->len - done < 16 ? part->len - done : 16;

        for (size_t i = 0; i < count; i++)
            fprintf(to, i == 0 ? "%02x" : " %02x", at[done + i]);
        if (done == 0)
            fprintf(to, "%*s# %s", (int)(count > 0 ? 50 - 3 * count : 49), "", part->note);
        fputc('\n', to);
    }
    return at + part->len;
}

void tt_vector_print(const TtVector *vector, FILE *to) {
    const uint8_t *at = vector->bytes;

    for (size_t i = 0; i < vector->part_count; i++)
        at = print_part(&vector->parts[i], at, to);
}
