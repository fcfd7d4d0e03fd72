/* SPDX-License-Identifier: Apache-2.0 */
/* Order among definitions.
 *
 * Which ids are defined is a bit each. What has to wait does so under the id that it misses, and is
 * tried again when that is defined. A program whose lanes are read in the order of their writing
 * never has anything here. A hostile one could fill it: it is bounded, and what finds no place is
 * given to the session as it is, which knows how to do without a parent. */
#include "intake/definitions.h"

#include <errno.h>

#include "protocol/encode.h"

#define WAITING_MAX 65536u
#define STACK_IDS_MAX ((guint64)1 << 26) /* greater ones are not tracked: 8 MiB of bits */

/* A set of small numbers. */
typedef struct Bits {
    guint8 *bytes;
    gsize len;
} Bits;

/* What a record may miss. Ids are below STACK_IDS_MAX or TT_MODULES_MAX, so it fits a pointer. */
typedef guintptr Key;
#define STACK_KEY(id) ((Key)(id) << 1)
#define MODULE_KEY(id) ((Key)(id) << 1 | 1)
#define NOTHING_MISSED 0

struct TtDefinitions {
    TtSession *session;
    TtTape *tape;
    Bits stacks, modules;
    GHashTable *waiting; /* Key of what is missed to GQueue of GBytes (a record's number, fields) */
    guint waiting_count;
    GQueue defined; /* keys that somebody waited for, to be looked at */
};

static gboolean has_bit(const Bits *bits, guint64 number) {
    return number / 8 < bits->len && bits->bytes[number / 8] >> (number & 7) & 1;
}

static void set_bit(Bits *bits, guint64 number) {
    if (number / 8 >= bits->len) {
        gsize len = MAX((gsize)(number / 8 + 1), bits->len * 2);

        bits->bytes = g_realloc(bits->bytes, len);
        memset(bits->bytes + bits->len, 0, len - bits->len);
        bits->len = len;
    }
    bits->bytes[number / 8] |= (guint8)(1 << (number & 7));
}

static void free_record(gpointer data) { g_bytes_unref(data); }

static void free_records(gpointer data) { g_queue_free_full(data, free_record); }

TtDefinitions *tt_definitions_new(TtSession *session) {
    TtDefinitions *definitions = g_new0(TtDefinitions, 1);

    definitions->session = session;
    definitions->waiting = g_hash_table_new_full(NULL, NULL, NULL, free_records);
    return definitions;
}

void tt_definitions_free(TtDefinitions *definitions) {
    if (!definitions)
        return;
    g_queue_clear(&definitions->defined);
    g_hash_table_unref(definitions->waiting);
    g_free(definitions->stacks.bytes);
    g_free(definitions->modules.bytes);
    g_free(definitions);
}

void tt_definitions_set_tape(TtDefinitions *definitions, TtTape *tape) { definitions->tape = tape; }

static Key miss_stack(const TtDefinitions *definitions, guint64 id) {
    gboolean is_there =
        id < TT_STACK_FIRST || id >= STACK_IDS_MAX || has_bit(&definitions->stacks, id) ||
        tt_session_has_stack(definitions->session, id); /* from an earlier connection */

    return is_there ? NOTHING_MISSED : STACK_KEY(id);
}

static Key miss_module(const TtDefinitions *definitions, guint64 id) {
    gboolean is_there = id == 0 || id >= TT_MODULES_MAX || has_bit(&definitions->modules, id) ||
                        tt_session_has_module(definitions->session, id);

    return is_there ? NOTHING_MISSED : MODULE_KEY(id);
}

/* Somebody may wait for it. */
static void announce(TtDefinitions *definitions, Key key) {
    if (definitions->waiting_count > 0 &&
        g_hash_table_contains(definitions->waiting, (gpointer)key))
        g_queue_push_tail(&definitions->defined, (gpointer)key);
}

/* Each applies its record and returns 0, or -EAGAIN and what it misses, or -EBADMSG. */
static int apply_stack(TtDefinitions *definitions, const TtRecordStack *stack, Key *ret_missed) {
    if (ret_missed && stack->parent != stack->id) {
        *ret_missed = miss_stack(definitions, stack->parent);
        if (*ret_missed == NOTHING_MISSED)
            *ret_missed = miss_module(definitions, stack->module);
        if (*ret_missed != NOTHING_MISSED)
            return -EAGAIN;
    }
    if (tt_session_define_stack(definitions->session, stack) && stack->id < STACK_IDS_MAX) {
        set_bit(&definitions->stacks, stack->id);
        announce(definitions, STACK_KEY(stack->id));
    }
    tt_tape_add_stack(definitions->tape, stack);
    return 0;
}

static int apply_module(TtDefinitions *definitions, const TtRawRecord *raw) {
    TtRecordModule module;

    if (tt_decode_module(raw, &module) < 0)
        return -EBADMSG;
    if (tt_session_define_module(definitions->session, &module) && module.id < TT_MODULES_MAX) {
        set_bit(&definitions->modules, module.id);
        announce(definitions, MODULE_KEY(module.id));
    }
    return 0;
}

static int apply_segment(TtDefinitions *definitions, const TtRawRecord *raw, Key *ret_missed) {
    TtRecordSegment segment;

    if (tt_decode_segment(raw, &segment) < 0)
        return -EBADMSG;
    if (ret_missed && (*ret_missed = miss_module(definitions, segment.module)) != NOTHING_MISSED)
        return -EAGAIN;
    tt_session_define_segment(definitions->session, &segment);
    return 0;
}

static int apply_module_gone(TtDefinitions *definitions, const TtRawRecord *raw, Key *ret_missed) {
    TtRecordModuleGone gone;

    if (tt_decode_module_gone(raw, &gone) < 0)
        return -EBADMSG;
    if (ret_missed && (*ret_missed = miss_module(definitions, gone.id)) != NOTHING_MISSED)
        return -EAGAIN;
    tt_session_end_module(definitions->session, &gone);
    return 0;
}

static int apply_other(TtDefinitions *definitions, const TtRawRecord *raw, Key *ret_missed) {
    switch (raw->number) {
    case TT_RECORD_MODULE:
        return apply_module(definitions, raw);
    case TT_RECORD_SEGMENT:
        return apply_segment(definitions, raw, ret_missed);
    case TT_RECORD_MODULE_GONE:
        return apply_module_gone(definitions, raw, ret_missed);
    default:
        return -ENOENT;
    }
}

/* @ret_missed: NULL: apply it whatever is missed */
static int apply(TtDefinitions *definitions, const TtRawRecord *raw, Key *ret_missed) {
    TtRecordStack stack;

    if (raw->number == TT_RECORD_STACK)
        return tt_decode_stack(raw, &stack) < 0 ? -EBADMSG
                                                : apply_stack(definitions, &stack, ret_missed);
    int r = apply_other(definitions, raw, ret_missed);
    if (r == 0)
        tt_tape_add_definition(definitions->tape, raw);
    return r;
}

/* The records that wait are five numbers at most; what a newer version adds behind is not read. */
static GBytes *pack(const TtRawRecord *raw) {
    gsize len = MIN(tt_cursor_left(&raw->fields), 5 * 10);
    guint8 *bytes = g_malloc(sizeof raw->number + len);

    memcpy(bytes, &raw->number, sizeof raw->number);
    if (len > 0)
        memcpy(bytes + sizeof raw->number, raw->fields.at, len);
    return g_bytes_new_take(bytes, sizeof raw->number + len);
}

static GBytes *pack_stack(const TtRecordStack *stack) {
    guint8 bytes[TT_RECORD_HEAD_BYTES + 5 * 10];
    TtCursor cursor = tt_cursor_new(bytes, tt_encode_stack(bytes, sizeof bytes, stack));
    TtRawRecord raw;

    (void)tt_decode_framed(&cursor, &raw);
    return pack(&raw);
}

static TtRawRecord unpack(GBytes *record) {
    gsize len;
    const guint8 *bytes = g_bytes_get_data(record, &len);
    TtRawRecord raw;

    memcpy(&raw.number, bytes, sizeof raw.number);
    raw.fields = tt_cursor_new(bytes + sizeof raw.number, len - sizeof raw.number);
    return raw;
}

static void wait_for(TtDefinitions *definitions, Key missed, GBytes *record) {
    GQueue *records = g_hash_table_lookup(definitions->waiting, (gpointer)missed);

    if (!records) {
        records = g_queue_new();
        g_hash_table_insert(definitions->waiting, (gpointer)missed, records);
    }
    g_queue_push_tail(records, record);
    definitions->waiting_count++;
}

/* Applies what waited for @key, which may be what others wait for. */
static void release(TtDefinitions *definitions, Key key) {
    GQueue *records = NULL;

    if (!g_hash_table_steal_extended(definitions->waiting, (gpointer)key, NULL,
                                     (gpointer *)&records))
        return;
    definitions->waiting_count -= records->length;
    for (GBytes *record; (record = g_queue_pop_head(records));) {
        TtRawRecord raw = unpack(record);
        Key missed;

        if (apply(definitions, &raw, &missed) == -EAGAIN)
            wait_for(definitions, missed, record);
        else
            g_bytes_unref(record);
    }
    g_queue_free(records);
}

static gboolean may_wait(const TtDefinitions *definitions) {
    return definitions->waiting_count < WAITING_MAX;
}

/* Applies what waited for what is defined now. */
static void release_all(TtDefinitions *definitions) {
    while (definitions->defined.length > 0)
        release(definitions, (Key)g_queue_pop_head(&definitions->defined));
}

int tt_definitions_apply(TtDefinitions *definitions, const TtRawRecord *raw) {
    Key missed;
    int r = apply(definitions, raw, may_wait(definitions) ? &missed : NULL);

    if (r == -EAGAIN) {
        wait_for(definitions, missed, pack(raw));
        return 0;
    }
    release_all(definitions);
    return r;
}

void tt_definitions_apply_stack(TtDefinitions *definitions, const TtRecordStack *stack) {
    Key missed;

    if (apply_stack(definitions, stack, may_wait(definitions) ? &missed : NULL) == -EAGAIN)
        wait_for(definitions, missed, pack_stack(stack));
    else
        release_all(definitions);
}

void tt_definitions_finish(TtDefinitions *definitions) {
    GHashTableIter iter;
    gpointer records;

    g_hash_table_iter_init(&iter, definitions->waiting);
    while (g_hash_table_iter_next(&iter, NULL, &records)) {
        for (GList *at = ((GQueue *)records)->head; at; at = at->next) {
            TtRawRecord raw = unpack(at->data);

            apply(definitions, &raw, NULL);
        }
    }
    g_hash_table_remove_all(definitions->waiting);
    g_queue_clear(&definitions->defined);
    definitions->waiting_count = 0;
}
