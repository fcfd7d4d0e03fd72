/* SPDX-License-Identifier: Apache-2.0 */
/* The modules that are open, the least lately used closed first. */
#pragma once

#include "symbols/exchange.h"

G_BEGIN_DECLS

typedef struct TtModules TtModules;

/* @debug_dir: borrowed. Returns: (transfer full) */
TtModules *tt_modules_new(const char *debug_dir);
void tt_modules_free(TtModules *modules);

/* Answers a question: adds the frames of each address or the type of each variable, or none, to
 * @writer.
 * Returns: what the module lacks. */
TtSymbolsLack tt_modules_answer(TtModules *modules, const TtQuestion *question,
                                TtAnswerWriter *writer);

G_END_DECLS
