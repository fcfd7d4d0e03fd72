/* SPDX-License-Identifier: Apache-2.0 */
/* What the program calls its things: variables, scopes, marks. Equal ones are one row. Past the
 * limit a name becomes the row "other" of its kind, so nothing a program says grows without end. */
#pragma once

#include "model/snapshot.h"

G_BEGIN_DECLS

#define TT_SCOPE_DEPTH_MAX 1024u /* deeper ones are "other" */

/* A mark; its time is absolute. */
typedef struct TtMark {
    char *name; /* GRefString */
    guint64 stamp;
    guint64 live_bytes, live_blocks;
} TtMark;

typedef struct TtNames {
    gsize limit; /* rows of each kind, "other" included */
    gsize string_bytes;
    GArray *variables; /* of TtVariableRow, strings GRefString */
    GHashTable *variable_of;
    guint32 other_variable; /* TT_NONE until needed */
    GArray *scopes;         /* of TtScope */
    GHashTable *scope_of;
    guint32 other_scope; /* TT_NONE until needed */
    GArray *marks;       /* of TtMark */
    guint64 shed_marks;
} TtNames;

typedef struct TtScope {
    TtScopeRow row; /* its name is a GRefString */
    guint32 depth;  /* 1 for those in no other */
} TtScope;

void tt_names_init(TtNames *names, gsize limit);
void tt_names_clear(TtNames *names);

/* Returns the index of the variable's row. What names it later leaves the row's stack as it is. */
guint32 tt_names_intern_variable(TtNames *names, const TtRecordVariable *record);

/* Returns the index of the scope @name in @parent (TT_NONE: in none), or of "other". */
guint32 tt_names_intern_scope(TtNames *names, guint32 parent, TtString name);

/* Returns the index of the scope "other". */
guint32 tt_names_get_other_scope(TtNames *names);

/* Returns whether it was kept, as the last of the marks. */
gboolean tt_names_add_mark(TtNames *names, const TtMark *mark, TtString name);

static inline TtVariableRow *tt_names_get_variable(const TtNames *names, guint32 index) {
    return &g_array_index(names->variables, TtVariableRow, index);
}

static inline TtScope *tt_names_get_scope(const TtNames *names, guint32 index) {
    return &g_array_index(names->scopes, TtScope, index);
}

/* Returns: (transfer full): rows as a snapshot has them, freed by the function below each. */
TtVariableRow *tt_names_copy_variables(const TtNames *names, gsize *ret_count);
void tt_variable_rows_free(TtVariableRow *rows, gsize count);
TtScopeRow *tt_names_copy_scopes(const TtNames *names, gsize *ret_count);
void tt_scope_rows_free(TtScopeRow *rows, gsize count);
/* The first @count of them. */
TtMarkRow *tt_names_copy_marks(const TtNames *names, const TtTimescale *scale, gsize count);
void tt_mark_rows_free(TtMarkRow *rows, gsize count);

gsize tt_names_bytes(const TtNames *names);

G_END_DECLS
