/* SPDX-License-Identifier: Apache-2.0 */
/* The door of this room: which of a session's live blocks are lost, judged by a copy of its
 * process's memory, and which sites go on growing. */
#pragma once

#include "base/limits.h"
#include "model/snapshot.h"

G_BEGIN_DECLS

#define TT_SCAN_ERROR (tt_scan_error_quark())
GQuark tt_scan_error_quark(void);
typedef enum TtScanError {
    TT_SCAN_ERROR_IMAGE, /* it is none, or not sound */
    TT_SCAN_ERROR_LIMIT, /* more blocks than may be looked at, or than there is memory for */
} TtScanError;

/**
 * TtLeakClass:
 * @TT_LEAK_DEFINITE: no pointer to it is left, not even in a lost block
 * @TT_LEAK_INDIRECT: only lost blocks point to it
 * @TT_LEAK_POSSIBLE: reached only by way of a pointer into the middle of a block
 * @TT_LEAK_REACHABLE: the program can still get at it
 * @TT_LEAK_ALIVE: not freed; no more is known without the memory
 */
typedef enum TtLeakClass {
    TT_LEAK_DEFINITE,
    TT_LEAK_INDIRECT,
    TT_LEAK_POSSIBLE,
    TT_LEAK_REACHABLE,
    TT_LEAK_ALIVE,
} TtLeakClass;

#define TT_LEAK_CLASSES 5

/* The words of TtLeakClass as they stand in JSON: "definite", … */
const char *tt_leak_class_name(TtLeakClass class);

/* The blocks of one class that one stack allocated.
 *
 * @led_to: of definite ones: lost blocks that these lead to; each is counted once, with one of
 *   those that lead to it */
typedef struct TtLeakGroup {
    TtLeakClass class;
    guint32 stack;
    TtAmount amount;
    TtAmount led_to;
} TtLeakGroup;

/* A stack whose blocks stay, and become more all the time. Estimated.
 *
 * @settled: its live blocks that are older than its freed ones used to become (95 of 100)
 * @first_ns: when the first of those was born
 * @lifetime_ns: that age; 0: it never freed one
 * @bytes_per_hour: how fast they became more */
typedef struct TtGrowth {
    guint32 stack;
    TtAmount settled;
    guint64 first_ns, lifetime_ns;
    guint64 bytes_per_hour;
} TtGrowth;

/* How the memory was looked at. */
typedef struct TtScanFacts {
    gboolean has_classes; /* else all are TT_LEAK_ALIVE */
    guint64 stopped_ns;   /* CLOCK_MONOTONIC: since when the process stood still */
    guint64 scanned_bytes;
    guint64 thread_count;
    gboolean has_gaps; /* blocks may be unknown: what lies between the known is looked at too */
} TtScanFacts;

/* Any one thread at a time. */
typedef struct TtScan TtScan;

/**
 * tt_scan_new:
 * @snapshot: its live blocks are read
 * @image_fd: (transfer none): protocol/image.h, of the same instant; not trusted. -1: there is none
 * @memory: (nullable): what that is taken out of; %NULL: there is no matter how much
 * @error: TT_SCAN_ERROR
 *
 * Takes memory for each live block, some 100 bytes, for as long as it runs; none of the image's
 * own.
 *
 * Returns: (transfer full): or %NULL with @error set
 */
TtScan *tt_scan_new(TtSnapshot *snapshot, int image_fd, TtBudget *memory, GError **error);
void tt_scan_free(TtScan *scan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtScan, tt_scan_free)

const TtScanFacts *tt_scan_get_facts(const TtScan *scan);

/* Class by class, in each the group with most bytes first. */
const TtLeakGroup *tt_scan_get_groups(const TtScan *scan, gsize *ret_count);

/* The fastest first. */
const TtGrowth *tt_scan_get_growths(const TtScan *scan, gsize *ret_count);

G_END_DECLS
