/* SPDX-License-Identifier: Apache-2.0 */
/* Random programs against the oracle. GLib prints the seed and takes it back (--seed). */
#include "oracle.h"

#include <string.h>

#define STEPS 12000u
#define BATCH_MAX 64u
#define PINS_MAX 4u
#define START_STAMP 1000u

/* How a program lays out its heap. */
typedef struct Layout {
    guint64 base;
    guint64 extent; /* of addresses used */
    guint64 align;
    guint64 size_max;
    guint history_blocks;
    guint64 sample_bytes;
} Layout;

/* A pin underway: read in slices while events go on. */
typedef struct Held {
    TtSnapshot *snapshot;
    TtPin *pin;
    GArray *should; /* of TtBlockRow, by id */
    GArray *is;
} Held;

typedef struct World {
    const Layout *layout;
    TtSession *session;
    Oracle *oracle;
    TtEvent batch[BATCH_MAX];
    gsize batch_count;
    guint64 stamp;
    Held held[PINS_MAX];
} World;

static guint64 draw(guint64 end) {
    return ((guint64)(guint32)g_test_rand_int() << 32 | (guint32)g_test_rand_int()) % end;
}

static guint64 next_stamp(World *world) { return world->stamp += draw(4) == 0 ? draw(5000) : 1; }

static void flush(World *world) {
    tt_session_apply(world->session, world->batch, world->batch_count);
    oracle_end_batch(world->oracle, world->batch_count);
    world->batch_count = 0;
}

static void measure(World *world, guint thread, guint64 addr, guint64 size);

static void add_event(World *world, TtOp op, guint thread, guint64 addr, guint64 size) {
    gboolean is_birth = op == TT_OP_ALLOC || op == TT_OP_REALLOC_END;
    TtEvent event = {
        .stamp = next_stamp(world),
        .addr = addr,
        .size = size,
        /* Some are not defined; few frees bear one. */
        .stack = is_birth || (op == TT_OP_FREE && draw(20) == 0)
                     ? (guint32)draw(TT_STACK_FIRST + ORACLE_STACKS + 2)
                     : TT_STACK_NONE,
        .thread = (guint16)thread,
        .op = (guint8)op,
    };

    oracle_apply(world->oracle, &event);
    world->batch[world->batch_count++] = event;
    if (world->batch_count == BATCH_MAX || draw(40) == 0)
        flush(world);
    if (is_birth && draw(4) == 0)
        measure(world, thread, addr, size);
}

/* Right behind a birth, as clients do; or of something else. */
static void measure(World *world, guint thread, guint64 addr, guint64 size) {
    TtRecordUsable record = {.stamp = world->stamp, .addr = addr};

    if (draw(10) == 0)
        record.addr += 16;
    record.usable = size + (draw(10) == 0 ? draw(1u << 25) : draw(40));
    record.usable -= draw(20) == 0 ? MIN(record.usable, 20) : 0;
    flush(world);
    tt_session_measure_block(world->session, (guint16)thread, &record);
    oracle_measure(world->oracle, thread, record.stamp, record.addr, record.usable);
}

static guint64 draw_addr(const World *world) {
    return world->layout->base +
           draw(world->layout->extent / world->layout->align) * world->layout->align;
}

static guint64 draw_size(const World *world) {
    switch (draw(12)) {
    case 0:
        return 0;
    case 1:
        return draw(world->layout->size_max);
    default:
        return draw(120);
    }
}

static const TtBlockRow *draw_live(const World *world) {
    GPtrArray *live = world->oracle->live;

    return live->len > 0 ? &((const OracleBlock *)live->pdata[draw(live->len)])->row : NULL;
}

static guint64 draw_live_addr(const World *world) {
    const TtBlockRow *row = draw(50) > 0 ? draw_live(world) : NULL;

    return row ? row->addr : draw_addr(world);
}

static void name_something(World *world) {
    static const char *const names[] = {"buffer", "list", "node", "cache"};
    const TtBlockRow *row = draw_live(world);
    const char *name = names[draw(G_N_ELEMENTS(names))];
    guint64 addr = row ? row->addr + draw(row->size + 2) : draw_addr(world);
    TtRecordVariable record = {
        .stamp = next_stamp(world), .addr = addr, .name = {name, strlen(name)}};

    flush(world);
    tt_session_name_block(world->session, 0, &record);
    oracle_name(world->oracle, record.stamp, addr, name);
}

static void move_scope(World *world, guint thread) {
    static const char *const names[] = {"parse", "render", "save"};
    OracleThread *at = &world->oracle->threads[thread];
    guint64 stamp = next_stamp(world);

    flush(world);
    if (at->scope_depth < ORACLE_SCOPES_DEEP && draw(2) == 0) {
        const char *name = names[draw(G_N_ELEMENTS(names))];
        TtRecordScopeEnter record = {
            .stamp = stamp, .name = {name, strlen(name)}, .depth = at->scope_depth + 1};

        tt_session_enter_scope(world->session, (guint16)thread, &record);
        oracle_enter(world->oracle, thread, stamp, name);
    } else if (at->scope_depth > 0) {
        TtRecordScopeLeave record = {.stamp = stamp, .depth = at->scope_depth - 1};

        tt_session_leave_scope(world->session, (guint16)thread, &record);
        oracle_leave(world->oracle, thread, stamp);
    }
}

/* ---- Pins ---- */

static void take_pin(World *world, Held *held) {
    flush(world);
    held->snapshot = tt_snapshot_new(world->session, &held->pin);
    held->should = oracle_copy_live(world->oracle);
    held->is = g_array_new(FALSE, FALSE, sizeof(TtBlockRow));
    oracle_check_snapshot(world->oracle, held->snapshot);
}

static gboolean read_slice(World *world, Held *held) {
    TtBlockRow rows[16];
    gsize count = tt_session_read_live(world->session, held->pin, rows, 1 + draw(16));

    g_array_append_vals(held->is, rows, (guint)count);
    return count > 0;
}

static gint compare_ids(gconstpointer a, gconstpointer b) {
    guint64 left = ((const TtBlockRow *)a)->id, right = ((const TtBlockRow *)b)->id;
    return left < right ? -1 : left > right;
}

static void check_rows(Held *held) {
    g_array_sort(held->is, compare_ids);
    g_assert_cmpuint(held->is->len, ==, held->should->len);
    for (guint i = 0; i < held->is->len; i++)
        oracle_check_row(&g_array_index(held->is, TtBlockRow, i),
                         &g_array_index(held->should, TtBlockRow, i));
}

static void release_pin(World *world, Held *held) {
    while (read_slice(world, held))
        ;
    check_rows(held);
    if (draw(3) == 0) { /* once more, all the later */
        tt_session_rewind_pin(world->session, held->pin);
        g_array_set_size(held->is, 0);
        while (read_slice(world, held))
            ;
        check_rows(held);
    }
    tt_session_unpin(world->session, held->pin);
    tt_snapshot_free(held->snapshot);
    g_array_unref(held->should);
    g_array_unref(held->is);
    *held = (Held){.pin = NULL};
}

static void play_with_pins(World *world) {
    Held *held = &world->held[draw(PINS_MAX)];

    if (!held->pin)
        take_pin(world, held);
    else if (draw(4) == 0)
        release_pin(world, held);
    else
        (void)read_slice(world, held);
}

/* ---- Steps ---- */

static void step(World *world) {
    guint thread = (guint)draw(ORACLE_THREADS);
    guint64 dice = draw(1000);

    if (dice < 420) {
        add_event(world, TT_OP_ALLOC, thread, draw_addr(world), draw_size(world));
    } else if (dice < 780) {
        const TtBlockRow *row = draw_live(world);

        if (row && draw(100) > 0)
            add_event(world, TT_OP_FREE, thread, row->addr, 0);
        else if (draw(4) == 0)
            add_event(world, TT_OP_FREE, thread, draw_addr(world), 0);
    } else if (dice < 850) {
        add_event(world, TT_OP_REALLOC_BEGIN, thread, draw_live_addr(world), 0);
    } else if (dice < 930) {
        const OracleBlock *open = world->oracle->threads[thread].open;
        guint64 addr = open && draw(2) == 0 ? open->row.addr : draw_addr(world);

        add_event(world, TT_OP_REALLOC_END, thread, addr, draw_size(world));
    } else if (dice < 940) {
        guint64 stamp = next_stamp(world);

        flush(world);
        if (world->layout->sample_bytes > 0 && draw(2) == 0) {
            tt_session_leave_realloc(world->session, (guint16)thread, stamp);
            oracle_leave_realloc(world->oracle, thread, stamp);
            return;
        }
        tt_session_fail_realloc(world->session, (guint16)thread, stamp);
        oracle_fail_realloc(world->oracle, thread, stamp);
    } else if (dice < 965) {
        name_something(world);
    } else if (dice < 980) {
        move_scope(world, thread);
    } else if (dice < 981) {
        TtRecordGap record = {.stamp = next_stamp(world), .count = 1};

        flush(world);
        tt_session_add_gap(world->session, (guint16)thread, &record);
        oracle_forget_thread(world->oracle, thread, record.stamp);
    } else {
        play_with_pins(world);
    }
}

static void define(TtSession *session) {
    for (guint i = 0; i < ORACLE_STACKS; i++) {
        TtRecordStack record = {.id = TT_STACK_FIRST + i,
                                .parent = i % 4 == 0 ? TT_STACK_ROOT : TT_STACK_FIRST + i - 1,
                                .ip = 0x400000 + i};

        g_assert_true(tt_session_define_stack(session, &record));
    }
    for (guint i = 0; i < ORACLE_THREADS; i++)
        g_assert_cmpuint(tt_session_get_thread(session, i, 100 + i), ==, i);
}

static void agrees_with_oracle(gconstpointer data) {
    const Layout *layout = data;
    TtSessionInfo info = {.exe = (char *)"x",
                          .timescale = {.start_stamp = START_STAMP, .mult = 1},
                          .sample_bytes = layout->sample_bytes};
    TtModelLimits limits;
    World world = {.layout = layout, .stamp = START_STAMP};

    tt_model_limits_init(&limits);
    limits.history_blocks = layout->history_blocks;
    limits.timeline_points = 64;
    world.session = tt_session_new(&info, &limits);
    world.oracle = oracle_new(limits.history_blocks, layout->sample_bytes);
    define(world.session);

    for (guint i = 0; i < STEPS; i++)
        step(&world);
    for (guint i = 0; i < PINS_MAX; i++)
        if (world.held[i].pin)
            release_pin(&world, &world.held[i]);

    /* Once all is freed nothing is left, and nothing had been forgotten. */
    flush(&world);
    tt_session_end(world.session, TT_SESSION_EXITED, 0, 0);
    for (guint i = 0; i < ORACLE_THREADS; i++)
        oracle_fail_realloc(world.oracle, i, world.stamp);
    take_pin(&world, &world.held[0]);
    release_pin(&world, &world.held[0]);
    while (world.oracle->live->len > 0)
        add_event(&world, TT_OP_FREE, 0, draw_live(&world)->addr, 0);
    take_pin(&world, &world.held[0]);
    g_assert_cmpuint(tt_snapshot_get_totals(world.held[0].snapshot)->live_bytes, ==, 0);
    release_pin(&world, &world.held[0]);

    tt_session_free(world.session);
    oracle_free(world.oracle);
}

int main(int argc, char **argv) {
    /* Bases lie before the ends of a leaf and a span, so that blocks lie across them. */
    static const Layout aligned = {0x7f0001fff000, 0x4000, 16, 3000, 200, 0};
    static const Layout sparse = {0x7f0001f00000, 0x8000000, 16, 100000, 100, 0};
    static const Layout large = {0x7f0001ff0000, 0x40000, 16, 200000, 100, 0};
    static const Layout eights = {0x7f0000007000, 0x1800, 8, 24, 0, 0};
    static const Layout odd = {0x7f0000007800, 0x1000, 1, 700, 64, 0};
    static const Layout first_bytes = {0, 0x800, 1, 90, 5000, 0};
    static const Layout sampled = {0x7f0001fff000, 0x4000, 16, 3000, 200, 1000};
    static const Layout sampled_often = {0x7f0001f00000, 0x8000000, 16, 100000, 100, 37};

    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/model/agrees_with_oracle/aligned", &aligned, agrees_with_oracle);
    g_test_add_data_func("/model/agrees_with_oracle/sparse", &sparse, agrees_with_oracle);
    g_test_add_data_func("/model/agrees_with_oracle/large", &large, agrees_with_oracle);
    g_test_add_data_func("/model/agrees_with_oracle/eights", &eights, agrees_with_oracle);
    g_test_add_data_func("/model/agrees_with_oracle/odd", &odd, agrees_with_oracle);
    g_test_add_data_func("/model/agrees_with_oracle/first_bytes", &first_bytes, agrees_with_oracle);
    g_test_add_data_func("/model/agrees_with_oracle/sampled", &sampled, agrees_with_oracle);
    g_test_add_data_func("/model/agrees_with_oracle/sampled_often", &sampled_often,
                         agrees_with_oracle);
    return g_test_run();
}
