/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic is on integers as far as it goes: 64-bit counts do not fit a double. */
#include "report/svg/scale.h"

#define US G_GUINT64_CONSTANT(1000)
#define MS (1000 * US)
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

typedef unsigned __int128 Wide; /* a product of two counts */

double tt_scale_place(const TtScale *scale, guint64 value) {
    if (value <= scale->first || scale->last <= scale->first)
        return scale->from;
    if (value >= scale->last)
        return scale->to;

    double part = (double)(value - scale->first) / (double)(scale->last - scale->first);
    return scale->from + part * (scale->to - scale->from);
}

static void fill_ticks(guint64 step, guint64 last, TtTicks *ret_ticks) {
    ret_ticks->count = 0;
    for (guint64 i = 0; ret_ticks->count < TT_TICKS_MAX && (Wide)i * step <= last; i++)
        ret_ticks->values[ret_ticks->count++] = i * step;
}

void tt_ticks_bytes(guint64 last, guint count, TtTicks *ret_ticks) {
    guint64 step = 1;

    while (last / step > count && step <= G_MAXUINT64 / 2)
        step *= 2;
    fill_ticks(step, last, ret_ticks);
}

/* The smallest customary step that needs no more than @count of them. */
static guint64 find_time_step(guint64 last_ns, guint count) {
    static const guint64 long_steps[] = {
        1 * SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND,
        1 * MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
        1 * HOUR,   2 * HOUR,   3 * HOUR,   6 * HOUR,    12 * HOUR,   1 * DAY,
    };
    static const guint mantissas[] = {1, 2, 5};

    for (guint64 unit = 1; unit < SECOND; unit *= 10)
        for (guint i = 0; i < G_N_ELEMENTS(mantissas); i++)
            if (last_ns / (unit * mantissas[i]) <= count)
                return unit * mantissas[i];
    for (guint i = 0; i < G_N_ELEMENTS(long_steps); i++)
        if (last_ns / long_steps[i] <= count)
            return long_steps[i];
    for (Wide unit = DAY;; unit *= 10) /* ends, at the latest beyond @last_ns */
        for (guint i = 0; i < G_N_ELEMENTS(mantissas); i++)
            if (last_ns / (unit * mantissas[i]) <= count)
                return (guint64)MIN(unit * mantissas[i], last_ns);
}

void tt_ticks_time(guint64 last_ns, guint count, TtTicks *ret_ticks) {
    fill_ticks(find_time_step(last_ns, count), last_ns, ret_ticks);
}

/* @value / @unit in as many decimals as it has, three at most. */
static char *spell_exact(guint64 value, guint64 unit, const char *name) {
    guint64 whole = value / unit;
    guint thousandths = (guint)((Wide)(value % unit) * 1000 / unit);

    if (value == 0)
        return g_strdup("0");
    if (thousandths == 0)
        return g_strdup_printf("%" G_GUINT64_FORMAT " %s", whole, name);
    if (thousandths % 100 == 0)
        return g_strdup_printf("%" G_GUINT64_FORMAT ".%u %s", whole, thousandths / 100, name);
    if (thousandths % 10 == 0)
        return g_strdup_printf("%" G_GUINT64_FORMAT ".%02u %s", whole, thousandths / 10, name);
    return g_strdup_printf("%" G_GUINT64_FORMAT ".%03u %s", whole, thousandths, name);
}

char *tt_scale_tick_time(guint64 value_ns, guint64 last_ns) {
    if (last_ns < US)
        return spell_exact(value_ns, 1, "ns");
    if (last_ns < MS)
        return spell_exact(value_ns, US, "µs");
    if (last_ns < SECOND)
        return spell_exact(value_ns, MS, "ms");
    if (last_ns < 2 * MINUTE)
        return spell_exact(value_ns, SECOND, "s");
    if (last_ns < 2 * HOUR)
        return spell_exact(value_ns, MINUTE, "min");
    if (last_ns < 2 * DAY)
        return spell_exact(value_ns, HOUR, "h");
    return spell_exact(value_ns, DAY, "d");
}

static const char *const byte_units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

char *tt_scale_tick_bytes(guint64 value, guint64 last) {
    guint i = 0;

    while (i + 1 < G_N_ELEMENTS(byte_units) && last >> (10 * (i + 1)) > 0)
        i++;
    return spell_exact(value, G_GUINT64_CONSTANT(1) << (10 * i), byte_units[i]);
}

char *tt_scale_bytes(guint64 bytes) {
    if (bytes < 1024)
        return g_strdup_printf("%" G_GUINT64_FORMAT " B", bytes);

    guint i = 0;
    guint64 tenths;
    do {
        i++;
        Wide unit = (Wide)1 << (10 * i);
        tenths = (guint64)(((Wide)bytes * 10 + unit / 2) / unit);
    } while (tenths >= 10240 && i + 1 < G_N_ELEMENTS(byte_units));

    /* Three figures: at 100 and above the tenths say nothing any more. */
    if (tenths < 1000)
        return g_strdup_printf("%u.%u %s", (guint)tenths / 10, (guint)tenths % 10, byte_units[i]);
    Wide unit = (Wide)1 << (10 * i);
    return g_strdup_printf("%u %s", (guint)((bytes + unit / 2) / unit), byte_units[i]);
}

char *tt_scale_count(guint64 count) {
    char reversed[32];
    guint len = 0, digits = 0;

    do {
        if (digits > 0 && digits % 3 == 0)
            reversed[len++] = ',';
        reversed[len++] = (char)('0' + count % 10);
        digits++;
        count /= 10;
    } while (count > 0);
    reversed[len] = '\0';
    return g_strreverse(g_strdup(reversed));
}

char *tt_scale_count_within(guint64 count, guint digit_max) {
    guint64 mantissa = count;
    guint digits = 1;

    for (guint64 left = count; left >= 10; left /= 10)
        digits++;
    if (digits <= digit_max)
        return tt_scale_count(count);

    for (guint i = 3; i < digits; i++)
        mantissa = mantissa / 10 + (i + 1 == digits && mantissa % 10 >= 5);
    if (mantissa == 1000) {
        mantissa = 100;
        digits++;
    }
    return g_strdup_printf("%u.%02ue%u", (guint)mantissa / 100, (guint)mantissa % 100, digits - 1);
}

char *tt_scale_things(guint64 count, const char *noun) {
    g_autofree char *number = tt_scale_count(count);

    return g_strdup_printf("%s %s%s", number, noun, count == 1 ? "" : "s");
}

/* Three figures of @ns in @unit. */
static char *spell_rounded(guint64 ns, guint64 unit, const char *name) {
    guint64 hundredths = (guint64)(((Wide)ns * 100 + unit / 2) / unit);

    if (hundredths < 1000)
        return g_strdup_printf("%u.%02u %s", (guint)hundredths / 100, (guint)hundredths % 100,
                               name);
    guint64 tenths = (guint64)(((Wide)ns * 10 + unit / 2) / unit);
    if (tenths < 1000)
        return g_strdup_printf("%u.%u %s", (guint)tenths / 10, (guint)tenths % 10, name);
    return g_strdup_printf("%u %s", (guint)(((Wide)ns + unit / 2) / unit), name);
}

char *tt_scale_time(guint64 ns) {
    /* The bounds are where rounding to three figures would reach the next unit. */
    if (ns < US)
        return g_strdup_printf("%" G_GUINT64_FORMAT " ns", ns);
    if (ns < MS - US / 2)
        return spell_rounded(ns, US, "µs");
    if (ns < SECOND - MS / 2)
        return spell_rounded(ns, MS, "ms");
    if (ns < MINUTE - SECOND / 20)
        return spell_rounded(ns, SECOND, "s");
    if (ns < HOUR - SECOND / 2) {
        guint64 seconds = (ns + SECOND / 2) / SECOND;
        return g_strdup_printf("%u min %02u s", (guint)seconds / 60, (guint)seconds % 60);
    }
    if (ns < DAY - MINUTE / 2) {
        guint64 minutes = (ns + MINUTE / 2) / MINUTE;
        return g_strdup_printf("%u h %02u min", (guint)minutes / 60, (guint)minutes % 60);
    }
    guint64 hours = ns / HOUR + (ns % HOUR >= HOUR / 2);
    return g_strdup_printf("%" G_GUINT64_FORMAT " d %02u h", hours / 24, (guint)(hours % 24));
}

char *tt_scale_share(guint64 part, guint64 whole) {
    if (whole == 0)
        return g_strdup("–");
    if (part == 0)
        return g_strdup("0 %");

    guint64 tenths = (guint64)(((Wide)part * 1000 + whole / 2) / whole);
    if (tenths == 0)
        return g_strdup("<0.1 %");
    /* Not quite all must not read as all. */
    if (tenths >= 1000 && part < whole)
        return g_strdup(">99.9 %");
    if (tenths >= 1000)
        return g_strdup_printf("%" G_GUINT64_FORMAT " %%", tenths / 10);
    return g_strdup_printf("%u.%u %%", (guint)tenths / 10, (guint)tenths % 10);
}
