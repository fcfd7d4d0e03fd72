/* SPDX-License-Identifier: Apache-2.0 */
/* The ELF objects that were in memory, in the order in which they were first seen. A module's row
 * keeps its place, so a frame can name it for ever. */
#pragma once

#include "model/snapshot.h"

G_BEGIN_DECLS

#define TT_MODULE_ROW_NONE G_MAXUINT16

typedef struct TtModule {
    guint32 id;
    char *path; /* GRefString */
    GBytes *build_id;
    guint64 bias, start, end;
    guint64 added_stamp, removed_stamp; /* absolute; TT_TIME_NONE: still there */
    GArray *segments;                   /* of TtRecordSegment; NULL: none */
} TtModule;

typedef struct TtModules {
    GArray *rows;       /* of TtModule */
    GArray *row_of_id;  /* of guint16, TT_MODULE_ROW_NONE where undefined */
    gsize string_bytes; /* of all paths */
    gboolean has_cut;   /* a path was left out for want of room */
} TtModules;

void tt_modules_init(TtModules *modules);
void tt_modules_clear(TtModules *modules);

/* FALSE: the id is out of bounds or defined, or the record contradicts itself. */
gboolean tt_modules_define(TtModules *modules, const TtRecordModule *record);
gboolean tt_modules_define_segment(TtModules *modules, const TtRecordSegment *record);
void tt_modules_end(TtModules *modules, const TtRecordModuleGone *record);

/* Returns the row of a module, or TT_MODULE_ROW_NONE. */
guint16 tt_modules_find_row(const TtModules *modules, guint64 id);

/* Returns: (transfer full): rows as a snapshot has them, freed by tt_module_rows_free. */
TtModuleRow *tt_modules_copy(const TtModules *modules, const TtTimescale *scale, gsize *ret_count);
void tt_module_rows_free(TtModuleRow *rows, gsize count);

gsize tt_modules_bytes(const TtModules *modules);

G_END_DECLS
