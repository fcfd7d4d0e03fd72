/* SPDX-License-Identifier: Apache-2.0 */
/* How fast intake digests: lanes filled beforehand, read, merged and applied. With the model that
 * this program is linked with: a null one shows the cost of reading alone.
 *
 *   intake-bench [LANES [EVENTS-A-RUN]]     events of one lane before another has its turn */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "intake/merger.h"
#include "unit/intake/writer.h"

#define ROUNDS 40
#define LIVE 4096u

typedef struct Bench {
    TtSession *session;
    TtSegment segment;
    TtBudget budget;
    TtMerger *merger;
    Writer writers[64];
    guint lanes, run;
    guint64 next[64], events, bytes;
} Bench;

static gboolean is_full(const Writer *writer) {
    guint64 read = atomic_load(&writer->control->read_position) / TT_CHUNK_BYTES * TT_CHUNK_BYTES;

    return writer_get_position(writer) >=
           read + (writer->chunk_count - 1) * (guint64)TT_CHUNK_BYTES;
}

static guint64 address_of(guint lane, guint64 number) {
    return 0x10000000 + ((guint64)lane << 24) + number * 7 % LIVE * 64;
}

/* Fills all lanes: each has half of a window of blocks alive, at a few sizes and stacks. */
static void fill(Bench *bench) {
    for (guint lane = 0;; lane = (lane + 1) % bench->lanes) {
        Writer *writer = &bench->writers[lane];

        if (is_full(writer))
            return;
        for (guint i = 0; i < bench->run; i++) {
            guint64 number = bench->next[lane]++;

            writer_alloc(writer, address_of(lane, number), 16 + number % 7 * 8,
                         TT_STACK_FIRST + number % 50, writer_stamp());
            if (number >= LIVE / 2)
                writer_free(writer, address_of(lane, number - LIVE / 2), writer_stamp());
        }
    }
}

static void define_stacks(Bench *bench) {
    for (guint64 id = TT_STACK_FIRST; id < TT_STACK_FIRST + 50; id++)
        writer_record(&bench->writers[0], stack,
                      &(TtRecordStack){.id = id, .parent = TT_STACK_ROOT, .ip = id * 16});
}

static gint64 digest(Bench *bench) {
    gint64 start = g_get_monotonic_time();
    guint64 target = writer_stamp();

    do {
        bench->bytes += tt_merger_drain(bench->merger);
        while (tt_merger_merge(bench->merger, G_MAXUINT64, 1 << 20))
            ;
    } while (!tt_merger_has_reached(bench->merger, target));
    return g_get_monotonic_time() - start;
}

int main(int argc, char **argv) {
    Bench bench = {.lanes = argc > 1 ? (guint)atoi(argv[1]) : 1,
                   .run = argc > 2 ? (guint)atoi(argv[2]) : 100};
    TtSessionInfo info = {.exe = (char *)"bench",
                          .timescale = {.mult = (guint64)5 << 32, .shift = 32}};
    TtStampClock clock = {.kind = TT_CLOCK_TSC, .shift = WRITER_SHIFT};
    gint64 spent_us = 0;
    int fd;

    g_assert_cmpint(tt_segment_init(&bench.segment, bench.lanes > 4 ? 4 : 0, &fd), ==, 0);
    g_assert_cmpuint(bench.lanes, <=, bench.segment.lane_count);
    close(fd);
    bench.session = tt_session_new(&info, NULL);
    tt_budget_init(&bench.budget, 64 << 20, NULL);
    bench.merger = tt_merger_new(bench.session, &clock, &bench.budget, 16 << 20);
    tt_merger_add_segment(bench.merger, &bench.segment);
    for (guint i = 0; i < bench.lanes; i++)
        writer_init(&bench.writers[i], tt_segment_get_lane(&bench.segment, i),
                    tt_segment_get_chunks(&bench.segment, i), bench.segment.chunks_per_lane, i + 1);
    define_stacks(&bench);
    for (guint round = 0; round < ROUNDS; round++) {
        fill(&bench);
        spent_us += digest(&bench);
    }
    for (guint i = 0; i < bench.lanes; i++)
        bench.events += bench.writers[i].event_count;

    TtSummary summary;
    tt_session_get_summary(bench.session, &summary);
    g_assert_cmpuint(summary.events, ==, bench.events);
    printf("%u lanes, turns of %u: %.1f M events, %.2f bytes each: %.1f ns an event, "
           "%.1f M events/s\n",
           bench.lanes, 2 * bench.run, (double)bench.events / 1e6,
           (double)bench.bytes / (double)bench.events,
           (double)spent_us * 1e3 / (double)bench.events, (double)bench.events / (double)spent_us);
    tt_merger_free(bench.merger);
    tt_segment_clear(&bench.segment);
    tt_session_free(bench.session);
    return 0;
}
