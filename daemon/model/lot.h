/* SPDX-License-Identifier: Apache-2.0 */
/* Lots: numbers as if drawn, and the same again in every run. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define TT_LOT_STEP G_GUINT64_CONSTANT(0x9e3779b97f4a7c15)

/* splitmix64: of a state that goes on by TT_LOT_STEP, 64 bits that look like any others. */
static inline guint64 tt_lot_draw(guint64 state) {
    guint64 z = state;

    z = (z ^ z >> 30) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return z ^ z >> 31;
}

G_END_DECLS
