/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Finds out whether operator new passes through malloc. In the constructor, after tt_real_find. */
void tt_operators_init(void);
