/* SPDX-License-Identifier: Apache-2.0 */
/* The frames of a report's stacks, with names. Used by JSON and the pictures alike, so that both
 * call a place by the same name.
 *
 * Use: add every stack that will be shown, resolve once, then get. What is kept is one entry for
 * each distinct address (a stack costs nothing of its own), and the names stay where the symbols
 * have them, held as long as this lives. */
#pragma once

#include "model/snapshot.h"
#include "symbols/symbols.h"

G_BEGIN_DECLS

/* Addresses beyond this many have no names: 32 MiB, and a session floods its own export only. */
#define TT_FRAME_NAMES_MAX (1u << 20)

/* Not owned by more than one thread at a time. Borrows the snapshot and the symbols. */
typedef struct TtFrameNames TtFrameNames;

/**
 * TtNamedFrame:
 * @ip: as recorded; inlined frames have that of the frame they were inlined into
 * @module: index into the snapshot's modules, or %TT_NONE
 * @offset: @ip - the module's load bias; 0 without a module
 * @function: (nullable): demangled, valid UTF-8, any character may be in it
 * @file: (nullable): as @function
 * @line: from 1, or 0 where unknown
 * @is_inlined: the compiler put @function into the next frame's
 *
 * One function on a stack. @function and @file live as long as the names do.
 */
typedef struct TtNamedFrame {
    guint64 ip;
    guint32 module;
    guint64 offset;
    const char *function;
    const char *file;
    guint line;
    gboolean is_inlined;
} TtNamedFrame;

/**
 * tt_frame_names_new:
 * @snapshot: outlives the names
 * @symbols: (nullable): outlives the names; %NULL for none, then nothing has a name
 *
 * Returns: (transfer full): never %NULL
 */
TtFrameNames *tt_frame_names_new(TtSnapshot *snapshot, TtSymbols *symbols);
void tt_frame_names_free(TtFrameNames *names);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtFrameNames, tt_frame_names_free)

/**
 * tt_frame_names_add_stack:
 * @stack: any id; one that is not defined adds nothing
 *
 * Notes the stack's addresses for the next tt_frame_names_resolve().
 */
void tt_frame_names_add_stack(TtFrameNames *names, guint32 stack);

/**
 * tt_frame_names_resolve:
 *
 * Asks for the names of all addresses noted since it was called last, one question a module. May
 * block on the symbolizer, within its bounds. Where it fails names are missing, which is no error
 * of a report: tt_frame_names_get_failure() tells.
 */
void tt_frame_names_resolve(TtFrameNames *names);

/**
 * tt_frame_names_get_failure:
 *
 * Returns: (nullable): what the symbolizer failed at first, a sentence; %NULL where all went well
 */
const char *tt_frame_names_get_failure(const TtFrameNames *names);

/**
 * tt_frame_names_get:
 * @ret_count: how many
 * @ret_is_truncated: (nullable): the stack went on where the frames end
 *
 * Returns: (array length=ret_count) (transfer none): the stack's frames, innermost first, inlined
 *   functions each as one. Overwritten by the next call of this or tt_frame_names_find_site().
 *   Where the stack was not added and resolved there are frames without names.
 */
const TtNamedFrame *tt_frame_names_get(TtFrameNames *names, guint32 stack, gsize *ret_count,
                                       gboolean *ret_is_truncated);

/**
 * tt_frame_names_find_site:
 * @ret_frame: untouched where there is none
 *
 * Finds the frame that people would name as the place of an allocation: the innermost that is not
 * plumbing (labels.h); where all is plumbing, the innermost. Where that one has no name, because
 * its module was stripped, the first outward of it that has one stands for it, as long as it is not
 * where the program or a thread starts; functions whose names say only that they allocate are
 * passed over likewise where their source is unknown.
 *
 * Returns: %FALSE where the stack has no frames
 */
gboolean tt_frame_names_find_site(TtFrameNames *names, guint32 stack, TtNamedFrame *ret_frame);

/**
 * tt_frame_names_label:
 *
 * Returns: (transfer full): tt_frame_names_find_site() as a short text for pictures, valid UTF-8:
 *   "parse (config.c:120)"; "sqlite3_step (libsqlite3.so.0+0x3974e)" with the innermost place on
 *   the way that tells sites apart, where neither that nor the function has a known source;
 *   "app+0x1f40" without any name, "0x7f12" outside all modules, "(no stack)" without frames.
 *   Function names come without parameters and return type, cut with "…" past 160 bytes, file names
 *   past 64. Any character may be in it.
 */
char *tt_frame_names_label(TtFrameNames *names, guint32 stack);

G_END_DECLS
