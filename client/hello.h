/* SPDX-License-Identifier: Apache-2.0 */
/* What a program says of itself when it connects. */
#pragma once

#include "client/lanes.h"

extern const char *tt_program_path; /* of the executable; "": not known */

/* Once, before any other: nothing is allocated. */
void tt_hello_init(void);

/* Copies what fits into a message. Once. */
void tt_hello_keep_arguments(int argc, char **argv);

/* Writes the message to @message of @room bytes, which is TT_MESSAGE_MAX. Under the gate's lock.
 *
 * @fork          of a child in which nothing has happened since that its parent's books do not
 *                know; or NULL
 * @is_beginning  nothing of the program's has run yet
 *
 * Returns its length. */
size_t tt_hello_write(uint8_t *message, size_t room, const TtForkNote *fork, bool is_beginning);
