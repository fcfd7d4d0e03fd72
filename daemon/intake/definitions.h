/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions on their way to the session: stacks, modules, names of threads.
 *
 * They are applied as they are decoded, ahead of the events in order. Lanes are decoded one after
 * another, so a stack may come before its parent, which another thread defined earlier in another
 * lane: it waits here for it. */
#pragma once

#include "intake/tape.h"

G_BEGIN_DECLS

typedef struct TtDefinitions TtDefinitions;

/* @session is borrowed. Owner's thread, as all here. */
TtDefinitions *tt_definitions_new(TtSession *session);
void tt_definitions_free(TtDefinitions *definitions);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtDefinitions, tt_definitions_free)

/* Writes down what is applied from here on; borrowed. */
void tt_definitions_set_tape(TtDefinitions *definitions, TtTape *tape);

/* Applies a record, or keeps a copy until it can be.
 *
 * Returns 0; -ENOENT: the record is no definition; or -EBADMSG: damaged. A definition that the
 * session does not take (a second one of an id) is passed over. */
int tt_definitions_apply(TtDefinitions *definitions, const TtRawRecord *raw);

/* The same, of a stack. */
void tt_definitions_apply_stack(TtDefinitions *definitions, const TtRecordStack *stack);

/* Nothing more will come: what still waits is applied as it is. */
void tt_definitions_finish(TtDefinitions *definitions);

G_END_DECLS
