/* SPDX-License-Identifier: Apache-2.0 */
/* Types as debug information has them: going from one to another, and spelling them. */
#pragma once

#include <elfutils/libdw.h>
#include <glib.h>

G_BEGIN_DECLS

/* Of a type's text. */
#define TT_TYPE_BYTES_MAX 256

/* Borrows the Dwarf. */
typedef struct TtType {
    Dwarf_Die die; /* nothing in it where the type is void */
    gboolean is_void;
    guint
        dimension; /* of an array: the first that is left; an element of int[3][4] is the second */
} TtType;

/* The type of a variable, parameter or member. FALSE: it has none. */
gboolean tt_type_get_declared(Dwarf_Die *declared, TtType *ret_type);

/* What a pointer points to, or an array's element. FALSE: it is neither, or nobody knows. */
gboolean tt_type_dereference(const TtType *type, TtType *ret_type);

/* The type of a member, also of one that lies in a nameless member or was inherited. FALSE: there
 * is none of that name, or the type is only declared. */
gboolean tt_type_find_member(const TtType *type, const char *name, TtType *ret_type);

/* Whether a value of it can say where a block is: a pointer, an array, in C++ also a class. */
gboolean tt_type_has_address(const TtType *type);

/* Spells the type of a variable's value as its source would: an array as a pointer to its elements,
 * const and volatile of the variable itself left out, names of typedefs kept.
 *
 * Returns: (transfer full) (nullable): any bytes but NUL, at most TT_TYPE_BYTES_MAX, cut with "…";
 *   NULL where it is too deep to be true, or has no name */
char *tt_type_spell(const TtType *type);

G_END_DECLS
