/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions first, then blocks; a thread, a variable or a scope is told before the first block
 * that has it. */
#include "model/bequest.h"

#include "model/state.h"
#include "protocol/encode.h"

#define NODES_AT_ONCE 1024u

/* Numbers that the child gives to rows of the parent, in the order in which they are told; 0: not
 * yet. */
typedef struct Numbers {
    GArray *of_row; /* of guint32 */
    guint32 last;
} Numbers;

typedef enum Stage { STAGE_BEGIN, STAGE_NODES, STAGE_BLOCKS, STAGE_DEAD, STAGE_END } Stage;

struct TtBequest {
    TtSession *parent; /* borrowed */
    TtForkInstant instant;
    guint64 end_tick; /* what was born up to it, and died later, was alive */
    TtPin *pin;
    GArray *dead;      /* of TtLateDead: those that had not died may be among them */
    TtOpenScopes open; /* in which it was forked */
    gboolean knows_all;
    Stage stage;
    guint32 next_node;
    guint next_dead;
    guint64 block_count;
    Numbers threads, variables, scopes;
    GByteArray *records; /* of the write underway */
};

/* Encodes a record of records.def. */
#define TELL(bequest, name, ...)                                                                   \
    G_STMT_START {                                                                                 \
        GByteArray *to_ = (bequest)->records;                                                      \
        guint at_ = to_->len;                                                                      \
        g_byte_array_set_size(to_, at_ + TT_RECORD_MAX);                                           \
        gsize len_ = tt_encode_##name(to_->data + at_, TT_RECORD_MAX, __VA_ARGS__);                \
        g_byte_array_set_size(to_, at_ + (guint)len_);                                             \
    }                                                                                              \
    G_STMT_END

static void numbers_init(Numbers *numbers) {
    *numbers = (Numbers){.of_row = g_array_new(FALSE, TRUE, sizeof(guint32))};
}

static guint32 *find_number(Numbers *numbers, guint32 row) {
    if (row >= numbers->of_row->len)
        g_array_set_size(numbers->of_row, row + 1);
    return &g_array_index(numbers->of_row, guint32, row);
}

/* As many as the child says, or as are known of these. */
static void find_scopes(TtBequest *bequest, const TtForkPoint *point) {
    const TtForkInstant *instant = &bequest->instant;
    TtOpenScopes *open = &bequest->open;

    *open = (TtOpenScopes){.scope = TT_NONE};
    if (point)
        *open = point->scopes;
    else
        (void)tt_session_find_fork_scopes(bequest->parent, instant->tid, instant->token, open);
    open->depth = (guint32)MIN(instant->scopes, G_MAXUINT32);
}

TtBequest *tt_bequest_new(TtSession *parent, const TtForkInstant *instant) {
    TtBequest *bequest = g_new0(TtBequest, 1);
    TtForkPoint *point = tt_session_claim_fork(parent, instant->token);

    bequest->parent = parent;
    bequest->instant = *instant;
    bequest->end_tick = tt_session_tick_of(parent, instant->stamp);
    bequest->next_node = TT_STACK_FIRST;
    find_scopes(bequest, point);
    if (point) {
        bequest->pin = point->pin;
        bequest->dead = point->dead;
        bequest->knows_all = point->knows_all || instant->others == 0;
        g_free(point);
    } else {
        bequest->dead = tt_session_collect_dead(parent, bequest->end_tick + 1, &bequest->knows_all);
        bequest->pin = tt_session_pin(parent);
    }
    numbers_init(&bequest->threads);
    numbers_init(&bequest->variables);
    numbers_init(&bequest->scopes);
    return bequest;
}

void tt_bequest_free(TtBequest *bequest) {
    if (!bequest)
        return;
    tt_session_unpin(bequest->parent, bequest->pin);
    tt_session_free_dead(bequest->parent, bequest->dead);
    g_array_unref(bequest->threads.of_row);
    g_array_unref(bequest->variables.of_row);
    g_array_unref(bequest->scopes.of_row);
    g_free(bequest);
}

static TtString string_of(const char *text) {
    return (TtString){.text = text ? text : "", .len = text ? strlen(text) : 0};
}

/* ---- Definitions ---- */

static void tell_module(TtBequest *bequest, const TtModule *module) {
    gsize len;
    const char *build_id = g_bytes_get_data(module->build_id, &len);
    TtRecordModule record = {
        .id = module->id,
        .path = string_of(module->path),
        .build_id = {.text = build_id, .len = len},
        .bias = module->bias,
        .start = module->start,
        .end = module->end,
        .stamp = module->added_stamp,
    };

    TELL(bequest, module, &record);
    for (guint i = 0; module->segments && i < module->segments->len; i++)
        TELL(bequest, segment, &g_array_index(module->segments, TtRecordSegment, i));
    if (module->removed_stamp <= bequest->instant.stamp)
        TELL(bequest, module_gone,
             &(TtRecordModuleGone){.id = module->id, .stamp = module->removed_stamp});
}

static void tell_modules(TtBequest *bequest) {
    const GArray *rows = bequest->parent->modules.rows;

    for (guint i = 0; i < rows->len; i++)
        if (g_array_index(rows, TtModule, i).id <= bequest->instant.modules)
            tell_module(bequest, &g_array_index(rows, TtModule, i));
}

/* FALSE: there are no more. */
static gboolean tell_nodes(TtBequest *bequest) {
    const TtStacks *stacks = bequest->parent->stacks;
    guint64 end = MIN(bequest->instant.stacks, stacks->id_limit);

    for (guint i = 0; i < NODES_AT_ONCE; i++) {
        TtRecordStack record;

        if (bequest->next_node >= end)
            return FALSE;
        if (tt_stacks_read_node(stacks, bequest->next_node++, &bequest->parent->modules, &record))
            TELL(bequest, stack, &record);
    }
    return TRUE;
}

/* ---- Names ---- */

static guint32 tell_thread(TtBequest *bequest, guint32 row) {
    guint32 *number = find_number(&bequest->threads, row);
    const TtThread *thread = &bequest->parent->threads.threads[row];

    if (*number == 0) {
        *number = ++bequest->threads.last;
        TELL(bequest, inherited_thread,
             &(TtRecordInheritedThread){.tid = thread->tid, .name = string_of(thread->name)});
    }
    return *number - 1;
}

static guint32 tell_variable(TtBequest *bequest, guint32 row) {
    if (row >= bequest->pin->point->variable_count)
        return 0;

    guint32 *number = find_number(&bequest->variables, row);
    if (*number == 0) {
        const TtVariableRow *variable = tt_names_get_variable(&bequest->parent->names, row);

        *number = ++bequest->variables.last;
        TELL(bequest, inherited_variable,
             &(TtRecordInheritedVariable){
                 .name = string_of(variable->name),
                 .type = string_of(variable->type),
                 .file = string_of(variable->file),
                 .line = variable->line,
                 .function = string_of(variable->function),
                 .stack = variable->stack,
             });
    }
    return *number;
}

/* Of a row, or of what it is in. 0: of none */
static guint32 tell_scope(TtBequest *bequest, guint32 row, guint32 max_depth) {
    guint32 chain[TT_SCOPE_DEPTH_MAX + 1];
    guint depth = 0;
    guint32 parent = 0;

    if (row >= bequest->pin->point->scope_count)
        return 0;
    /* The outermost first. */
    while (row != TT_NONE && depth < G_N_ELEMENTS(chain)) {
        const TtScope *scope = tt_names_get_scope(&bequest->parent->names, row);

        if (scope->depth <= max_depth)
            chain[depth++] = row;
        row = scope->row.parent;
    }
    while (depth > 0) {
        guint32 *number = find_number(&bequest->scopes, chain[--depth]);

        if (*number == 0) {
            const char *name = tt_names_get_scope(&bequest->parent->names, chain[depth])->row.name;

            *number = ++bequest->scopes.last;
            TELL(bequest, inherited_scope,
                 &(TtRecordInheritedScope){.name = string_of(name), .parent = parent});
        }
        parent = *number;
    }
    return parent;
}

/* ---- Blocks ---- */

static void tell_block(TtBequest *bequest, const TtLateDead *block) {
    if (block->born > bequest->end_tick || block->died <= bequest->end_tick)
        return;

    TtRecordInheritedBlock record = {
        .addr = block->addr,
        .size = block->size,
        .born = block->born,
        .thread = tell_thread(bequest, block->thread),
        .stack = block->stack < bequest->instant.stacks ? block->stack : TT_STACK_NONE,
        .variable = tell_variable(bequest, block->variable),
        .scope = tell_scope(bequest, block->scope, G_MAXUINT32),
        .spare = block->spare,
    };
    TELL(bequest, inherited_block, &record);
    bequest->block_count++;
}

/* As the pin sees it. */
static TtLateDead expand(const TtBequest *bequest, guint32 slot) {
    const TtSession *parent = bequest->parent;
    const TtBlock *block = tt_blocks_get(&parent->blocks, slot);
    TtLateDead row = {
        .addr = block->addr,
        .size = block->size,
        .born = block->born,
        .died = G_MAXUINT64,
        .stack = parent->sites.stack_of[tt_block_get_site(&parent->blocks, block)],
        .variable = TT_NONE,
        .scope = TT_NONE,
        .thread = block->thread,
    };

    if (block->flags & TT_BLOCK_HAS_EXTRAS) {
        const TtExtras *extras = tt_extras_get(&parent->blocks.extras, block->site_or_extras);

        row.variable = tt_extras_variable_at(&parent->blocks.extras, block->site_or_extras,
                                             bequest->pin->point->number);
        row.scope = extras->scope;
        row.spare = tt_extras_get_spare(extras);
    }
    return row;
}

/* ---- What is not known ---- */

G_GNUC_PRINTF(2, 3) static void tell_doubt(TtBequest *bequest, const char *format, ...) {
    va_list values;

    va_start(values, format);
    g_autofree char *sentence = g_strdup_vprintf(format, values);
    va_end(values);
    TELL(bequest, doubt, &(TtRecordDoubt){.sentence = string_of(sentence)});
}

static void tell_doubts(TtBequest *bequest) {
    const TtSession *parent = bequest->parent;

    if (bequest->instant.token == 0)
        tell_doubt(bequest, "What was inherited is as of the parent's last call before the fork, "
                            "of which no handler told: the child was not made by fork().");
    if (bequest->instant.others > 0)
        tell_doubt(bequest,
                   "Other threads of the parent ran at the fork (%" G_GUINT64_FORMAT
                   "): a block that one was about to allocate or free then may be missing, or be "
                   "shown though it was gone.",
                   bequest->instant.others);
    if (!bequest->knows_all)
        tell_doubt(bequest, "Some blocks that were inherited are missing: the parent has freed "
                            "them since, and they are not kept.");
    if (parent->shed.blocks > 0)
        tell_doubt(bequest,
                   "The parent's books count %" G_GUINT64_FORMAT
                   " blocks without knowing which; those that were inherited are missing.",
                   parent->shed.blocks);
    if (parent->gaps->len > 0 || parent->dropped_events > 0 || parent->doubts->len > 0 ||
        parent->info->untraced_before_ns > 0)
        tell_doubt(bequest, "The parent's books were not exact, so what was inherited is not "
                            "either.");
}

/* ---- All of it ---- */

/* Whether the parent had left out blocks by then. A PAUSE is no event: it may be later than the
 * last of these, but is not than the token. Without one it is not known, and its exports say so. */
static gboolean had_paused(const TtBequest *bequest) {
    const TtSession *parent = bequest->parent;
    guint64 token = bequest->instant.token;

    return parent->has_paused &&
           (token == 0 ||
            parent->pause_tick <= MAX(bequest->end_tick, tt_session_tick_of(parent, token)));
}

static void tell_end(TtBequest *bequest) {
    const TtOpenScopes *open = &bequest->open;
    TtRecordInheritanceEnd record = {
        .block_count = bequest->block_count,
        .scope = tell_scope(bequest, open->scope, open->depth),
        .scope_depth = open->depth,
    };

    TELL(bequest, inheritance_end, &record);
}

static void tell_beginning(TtBequest *bequest) {
    tell_modules(bequest);
    tell_doubts(bequest);
}

static gboolean write_blocks(TtBequest *bequest, gsize max_bytes) {
    guint32 slot;

    while (bequest->records->len < max_bytes &&
           (slot = tt_pin_next_slot(bequest->pin, &bequest->parent->blocks)) != 0) {
        TtLateDead row = expand(bequest, slot);

        tell_block(bequest, &row);
    }
    return bequest->records->len >= max_bytes;
}

static gboolean write_dead(TtBequest *bequest, gsize max_bytes) {
    while (bequest->records->len < max_bytes && bequest->next_dead < bequest->dead->len)
        tell_block(bequest, &g_array_index(bequest->dead, TtLateDead, bequest->next_dead++));
    return bequest->records->len >= max_bytes;
}

gboolean tt_bequest_write(TtBequest *bequest, GByteArray *records, gsize max_bytes) {
    TtRecordInheritance beginning = {.origin_stamp = bequest->parent->start_stamp,
                                     .has_paused = had_paused(bequest)};

    bequest->records = records;
    switch (bequest->stage) {
    case STAGE_BEGIN:
        tell_beginning(bequest);
        bequest->stage = STAGE_NODES;
        G_GNUC_FALLTHROUGH;
    case STAGE_NODES:
        while (tell_nodes(bequest))
            if (records->len >= max_bytes)
                return TRUE;
        TELL(bequest, inheritance, &beginning);
        bequest->stage = STAGE_BLOCKS;
        G_GNUC_FALLTHROUGH;
    case STAGE_BLOCKS:
        if (write_blocks(bequest, max_bytes))
            return TRUE;
        bequest->stage = STAGE_DEAD;
        G_GNUC_FALLTHROUGH;
    case STAGE_DEAD:
        if (write_dead(bequest, max_bytes))
            return TRUE;
        tell_end(bequest);
        bequest->stage = STAGE_END;
        G_GNUC_FALLTHROUGH;
    case STAGE_END:
        break;
    }
    return FALSE;
}
