/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions in figures, as the dictionaries that travel. Keys: protocol/trace-tools.xml. */
#pragma once

#include "intake/intake.h"
#include "report/report.h"

G_BEGIN_DECLS

/* Returns: (transfer full): an a{sv}, floating: what a list says of a session. */
GVariant *tt_figures_of_card(const TtSessionCard *card);

/* Returns: (transfer full): an a{sv}, not floating: all totals, and what they are worth. Any
 * thread. */
GVariant *tt_figures_of_snapshot(const TtSnapshot *snapshot);

/* Returns: (transfer full): an a{st}, floating: what was found of leaks. */
GVariant *tt_figures_of_leaks(const TtLeaksFound *found);

G_END_DECLS
