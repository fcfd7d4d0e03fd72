/* SPDX-License-Identifier: Apache-2.0 */
/* What an event costs the model, and a live block in memory.
 *
 *   apply-bench [BLOCKS [EVENTS [SITES]]]
 *
 * Fills a heap of BLOCKS blocks of 100 to 200 bytes, as glibc would lay them out, and then replaces
 * blocks: any by any (random), also while forks wait for their children (forks N), or within a
 * window that wanders through the heap (local). Only the processor time of tt_session_apply counts.
 * At last a snapshot is taken and read, as an export does. Not part of the suite: the figures
 * belong to the machine. */
#include <stdlib.h>
#include <time.h>

#include "model/bequest.h"
#include "model/snapshot.h"

#define BATCH 512u
#define FREED_BYTES 40u
#define CHUNK_EVENTS (1u << 20) /* made at a time, outside the clock */
#define WINDOW 4096u
#define SLICE 4096u
#define HEAP_BASE G_GUINT64_CONSTANT(0x555555560010)

typedef struct Bench {
    TtSession *session;
    guint32 site_count;
    guint64 stamp;
    guint64 lot;
    guint32 place_count;
    guint64 *addrs; /* of places, ascending */
    guint32 *sizes;
    guint32 *order; /* places: the live ones first */
    guint32 live_count;
    guint64 history_blocks;
    TtEvent *events;
    gsize event_count;
    gdouble seconds;
    guint64 applied;
} Bench;

static guint64 draw(Bench *bench) {
    bench->lot ^= bench->lot << 13;
    bench->lot ^= bench->lot >> 7;
    bench->lot ^= bench->lot << 17;
    return bench->lot;
}

static gdouble now_seconds(void) {
    struct timespec at;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at); /* others may use the machine too */
    return (gdouble)at.tv_sec + (gdouble)at.tv_nsec / 1e9;
}

static void apply(Bench *bench) {
    gdouble start = now_seconds();

    for (gsize i = 0; i < bench->event_count; i += BATCH)
        tt_session_apply(bench->session, bench->events + i, MIN(BATCH, bench->event_count - i));
    bench->seconds += now_seconds() - start;
    bench->applied += bench->event_count;
    bench->event_count = 0;
}

static void add_event(Bench *bench, TtOp op, guint32 place) {
    /* A few sites do most of it. */
    guint64 site = MIN(draw(bench) % bench->site_count, draw(bench) % bench->site_count);

    bench->stamp += 50 + draw(bench) % 100;
    bench->events[bench->event_count++] = (TtEvent){
        .stamp = bench->stamp,
        .addr = bench->addrs[place],
        .size = op == TT_OP_ALLOC ? bench->sizes[place] : 0,
        .stack = op == TT_OP_ALLOC ? TT_STACK_FIRST + (guint32)site : TT_STACK_NONE,
        .thread = 0,
        .op = (guint8)op,
    };
    if (bench->event_count == CHUNK_EVENTS)
        apply(bench);
}

/* Frees the live place @live (an index of order) and uses the free one @other. */
static void replace(Bench *bench, guint32 live, guint32 other) {
    guint32 freed = bench->order[live];

    add_event(bench, TT_OP_FREE, freed);
    add_event(bench, TT_OP_ALLOC, bench->order[other]);
    bench->order[live] = bench->order[other];
    bench->order[other] = freed;
}

static void bench_init(Bench *bench, guint32 blocks, guint32 sites) {
    TtSessionInfo info = {.exe = (char *)"bench", .timescale = {.mult = 1}};
    TtModelLimits limits;
    guint64 addr = HEAP_BASE;

    tt_model_limits_init(&limits);
    limits.detail_bytes = (gsize)8 << 30;
    *bench = (Bench){
        .lot = 88172645463325252, .site_count = sites, .history_blocks = limits.history_blocks};
    bench->session = tt_session_new(&info, &limits);
    (void)tt_session_get_thread(bench->session, 0, 1);
    for (guint32 i = 0; i < sites; i++)
        (void)tt_session_define_stack(bench->session,
                                      &(TtRecordStack){.id = TT_STACK_FIRST + i, .ip = 0x1000 + i});

    bench->place_count = blocks + blocks / 8 + WINDOW;
    bench->addrs = g_new(guint64, bench->place_count);
    bench->sizes = g_new(guint32, bench->place_count);
    bench->order = g_new(guint32, bench->place_count);
    bench->events = g_new(TtEvent, CHUNK_EVENTS);
    for (guint32 i = 0; i < bench->place_count; i++) {
        bench->sizes[i] = 100 + (guint32)(draw(bench) % 101);
        bench->addrs[i] = addr;
        bench->order[i] = i;
        addr += (bench->sizes[i] + 8 + 15) & ~15u; /* a malloc chunk */
    }
}

static void bench_clear(Bench *bench) {
    tt_session_free(bench->session);
    g_free(bench->addrs);
    g_free(bench->sizes);
    g_free(bench->order);
    g_free(bench->events);
}

/* What the freed ones take that are kept is none of the living ones'. */
static void report(Bench *bench, const char *what) {
    TtSummary summary;

    tt_session_get_summary(bench->session, &summary);
    guint64 freed = summary.cumulative_allocations - summary.live_blocks;
    guint64 kept_bytes = MIN(freed, bench->history_blocks) * FREED_BYTES;
    g_print("%-10s %9" G_GUINT64_FORMAT " live  %6.1f M events/s  %5.1f ns  %6.1f bytes a block\n",
            what, summary.live_blocks, (gdouble)bench->applied / bench->seconds / 1e6,
            bench->seconds * 1e9 / (gdouble)bench->applied,
            (gdouble)(summary.state_bytes - kept_bytes) / (gdouble)MAX(summary.live_blocks, 1));
    bench->seconds = 0;
    bench->applied = 0;
}

/* What a reader costs the owner: one snapshot, and the worst slice of rows. */
static void look(Bench *bench) {
    g_autofree TtBlockRow *rows = g_new(TtBlockRow, SLICE);
    gdouble worst = 0, start = now_seconds();
    guint64 count = 0;
    TtPin *pin;
    TtSnapshot *snapshot = tt_snapshot_new(bench->session, &pin);
    gdouble taken = now_seconds() - start;

    for (;;) {
        start = now_seconds();
        gsize got = tt_session_read_live(bench->session, pin, rows, SLICE);
        worst = MAX(worst, now_seconds() - start);
        if (got == 0)
            break;
        count += got;
    }
    tt_session_unpin(bench->session, pin);
    tt_snapshot_free(snapshot);
    g_print("%-10s %9" G_GUINT64_FORMAT " rows  %.2f ms to take, at most %.2f ms a slice\n",
            "snapshot", count, taken * 1e3, worst * 1e3);
}

typedef struct Back {
    TtSession *session;
    TtPin *pin;
} Back;

static gsize fetch_back(gpointer data, TtBlockRow *ret_rows, gsize max) {
    Back *back = data;

    return tt_session_read_live(back->session, back->pin, ret_rows, max);
}

static void rewind_back(gpointer data) {
    Back *back = data;

    tt_session_rewind_pin(back->session, back->pin);
}

/* What it costs to lead the present back to the middle of the session: the owner's part, the
 * reader's. */
static void look_back(Bench *bench) {
    TtInstant instant = {.kind = TT_INSTANT_TIME, .time_ns = bench->stamp / 2};
    gdouble start = now_seconds();
    TtPin *pin;
    TtSnapshot *snapshot = tt_snapshot_new_at(bench->session, &instant, 0, &pin, NULL);
    gdouble taken = now_seconds() - start;
    Back back = {bench->session, pin};

    start = now_seconds();
    tt_snapshot_set_fetch(snapshot, fetch_back, rewind_back, &back);
    tt_snapshot_settle(snapshot);
    g_print("%-10s %.2f ms to take, %.2f ms to settle\n", "back", taken * 1e3,
            (now_seconds() - start) * 1e3);
    tt_session_unpin(bench->session, pin);
    tt_snapshot_free(snapshot);
}

static void shuffle(Bench *bench) {
    for (guint32 i = bench->place_count - 1; i > 0; i--) {
        guint32 other = (guint32)(draw(bench) % (i + 1));
        guint32 swapped = bench->order[i];

        bench->order[i] = bench->order[other];
        bench->order[other] = swapped;
    }
}

static void run_random(guint32 blocks, guint64 events, guint32 sites) {
    Bench bench;

    bench_init(&bench, blocks, sites);
    shuffle(&bench);
    for (guint32 i = 0; i < blocks; i++)
        add_event(&bench, TT_OP_ALLOC, bench.order[i]);
    apply(&bench);
    report(&bench, "fill");
    for (guint64 i = 0; i < events / 2; i++)
        replace(&bench, (guint32)(draw(&bench) % blocks),
                blocks + (guint32)(draw(&bench) % (bench.place_count - blocks)));
    apply(&bench);
    report(&bench, "random");

    /* Marks: what dies stays in its slot, and the newest 64 keep it until there is too much. */
    for (guint64 i = 0; i < events / 2; i++) {
        replace(&bench, (guint32)(draw(&bench) % blocks),
                blocks + (guint32)(draw(&bench) % (bench.place_count - blocks)));
        if (i % (events / 40) == 0) {
            apply(&bench);
            tt_session_add_mark(bench.session, bench.stamp, (TtString){"mark", 4});
        }
    }
    apply(&bench);
    report(&bench, "marked");
    look_back(&bench);
    bench_clear(&bench);
}

/* Children come, the last first, which is the dearest: what died goes from point to point. */
static void let_go(Bench *bench, const guint64 *tokens, guint forks) {
    gdouble worst = 0;

    for (guint i = forks; i > 0; i--) {
        TtForkInstant instant = {.stamp = tokens[i - 1], .token = tokens[i - 1]};
        TtBequest *bequest = tt_bequest_new(bench->session, &instant);
        gdouble start = now_seconds();

        tt_bequest_free(bequest);
        worst = MAX(worst, now_seconds() - start);
    }
    if (forks > 0)
        g_print("%-10s at most %.2f ms to let one go\n", "", worst * 1e3);
}

/* So many forks, a hundred blocks apart, whose children do not ask; and then events. */
static void run_forked(guint32 blocks, guint64 events, guint32 sites, guint forks) {
    g_autofree char *what = g_strdup_printf("forks %u", forks);
    g_autofree guint64 *tokens = g_new(guint64, MAX(forks, 1));
    Bench bench;

    bench_init(&bench, blocks, sites);
    shuffle(&bench);
    for (guint32 i = 0; i < blocks; i++)
        add_event(&bench, TT_OP_ALLOC, bench.order[i]);
    for (guint i = 0; i < forks; i++) {
        for (guint k = 0; k < 100; k++)
            replace(&bench, (guint32)(draw(&bench) % blocks),
                    blocks + (guint32)(draw(&bench) % (bench.place_count - blocks)));
        apply(&bench);
        tokens[i] = bench.stamp;
        tt_session_add_fork(bench.session, 0,
                            &(TtRecordFork){.stamp = bench.stamp, .token = bench.stamp});
    }
    bench.seconds = 0;
    bench.applied = 0;
    for (guint64 i = 0; i < events / 2; i++)
        replace(&bench, (guint32)(draw(&bench) % blocks),
                blocks + (guint32)(draw(&bench) % (bench.place_count - blocks)));
    apply(&bench);
    report(&bench, what);
    let_go(&bench, tokens, forks);
    bench_clear(&bench);
}

/* All live but every ninth place; the window's free places are used in turn. */
static void run_local(guint32 blocks, guint64 events, guint32 sites) {
    Bench bench;
    g_autofree guint8 *is_live = NULL;
    guint32 live = 0;

    bench_init(&bench, blocks, sites);
    is_live = g_new0(guint8, bench.place_count);
    for (guint32 i = 0; i < bench.place_count && live < blocks; i++) {
        if (i % 9 == 8)
            continue;
        is_live[i] = TRUE;
        live++;
        add_event(&bench, TT_OP_ALLOC, i);
    }
    apply(&bench);
    report(&bench, "fill");
    for (guint64 i = 0; i < events; i++) {
        /* Where about eight places of nine are live. */
        guint32 window = MIN(WINDOW, blocks / 2);
        guint32 start = (guint32)(i / 16 % (blocks - window));
        gboolean is_free = draw(&bench) % 2 == 0;
        guint32 place = start + (guint32)(draw(&bench) % window);

        for (guint tries = 0; is_live[place] != is_free && tries < 64; tries++)
            place = start + (guint32)(draw(&bench) % window);
        is_free = is_live[place]; /* if need be, the other */
        add_event(&bench, is_free ? TT_OP_FREE : TT_OP_ALLOC, place);
        is_live[place] = !is_free;
    }
    apply(&bench);
    report(&bench, "local");
    look(&bench);
    bench_clear(&bench);
}

int main(int argc, char **argv) {
    guint32 blocks = argc > 1 ? (guint32)strtoul(argv[1], NULL, 10) : 1000000;
    guint64 events = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
    guint32 sites = argc > 3 ? (guint32)strtoul(argv[3], NULL, 10) : 1000;
    static const guint forks[] = {0, 1, 16, 64, 256, 1024};

    run_random(MAX(blocks, 16), events, MAX(sites, 1));
    for (gsize i = 0; i < G_N_ELEMENTS(forks); i++)
        run_forked(MAX(blocks, 16), events, MAX(sites, 1), forks[i]);
    run_local(MAX(blocks, 16), events, MAX(sites, 1));
    return 0;
}
