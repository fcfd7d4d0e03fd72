/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that are worth a report, each by a name. */
#pragma once

#include "synthetic.h"

typedef struct Sample {
    TtSnapshot *snapshot;
    TtSymbols *symbols; /* or NULL */
    TtReportOptions options;
    GPtrArray *texts; /* what snapshot and symbols borrow */
} Sample;

/* @name: one of sample_names. */
Sample *sample_new(const char *name);

/* A session all of whose strings are @bytes, which end with a NUL. */
Sample *sample_new_of_text(const char *bytes);
void sample_free(Sample *sample);

extern const char *const sample_names[]; /* ends with NULL */
