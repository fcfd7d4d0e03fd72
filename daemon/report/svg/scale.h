/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in pictures: exact integers in, places and words for people out. Every rounding is here.
 * Nothing depends on the locale. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* From values to coordinates, linear. A scale of no length puts everything at its start. */
typedef struct TtScale {
    guint64 first, last; /* values */
    double from, to;     /* where they stand */
} TtScale;

/* Where @value stands; beyond the ends, at the end. Always finite. */
double tt_scale_place(const TtScale *scale, guint64 value);

#define TT_TICKS_MAX 16

/* Round values from 0 up to what was asked for. */
typedef struct TtTicks {
    guint count;
    guint64 values[TT_TICKS_MAX];
} TtTicks;

/**
 * tt_ticks_bytes:
 * @last: the largest value on the axis
 * @count: about how many ticks are wanted beside 0; 1 … 8, so that three decimals spell each
 *
 * Steps are powers of two, which are round numbers of KiB, MiB …
 */
void tt_ticks_bytes(guint64 last, guint count, TtTicks *ret_ticks);

/* As tt_ticks_bytes(): steps of 1, 2 or 5 of a decimal unit; of minutes and hours the usual ones.
 */
void tt_ticks_time(guint64 last_ns, guint count, TtTicks *ret_ticks);

/* A tick's word: all of one axis have the unit that suits its largest. "0", "0.2 s", "1.5 min". */
char *tt_scale_tick_time(guint64 value_ns, guint64 last_ns);
char *tt_scale_tick_bytes(guint64 value, guint64 last);

/* "512 B", "1.0 KiB", "12.3 MiB", "345 GiB". */
char *tt_scale_bytes(guint64 bytes);

/* "1,234,567". */
char *tt_scale_count(guint64 count);

/* tt_scale_count() of no more than so many digits; of more "1.23e12". */
char *tt_scale_count_within(guint64 count, guint digit_max);

/* tt_scale_count() and a noun: "1 block", "2 blocks". */
char *tt_scale_things(guint64 count, const char *noun);

/* "850 ns", "1.23 µs", "12.3 ms", "1.20 s", "2 min 05 s", "1 h 05 min", "2 d 03 h". */
char *tt_scale_time(guint64 ns);

/* "12.3 %", "100 %", "<0.1 %", "0 %". A whole of 0 has no parts: "–". */
char *tt_scale_share(guint64 part, guint64 whole);

G_END_DECLS
