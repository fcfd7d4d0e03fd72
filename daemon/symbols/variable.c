/* SPDX-License-Identifier: Apache-2.0 */
/* The scopes at an address, and expressions read in them.
 *
 * What hides what follows C: the innermost block that declares a name before the line in question
 * wins, and nothing does where that is in doubt. Blocks are left at the function's edge, also where
 * that was inlined: a callee does not see its caller's variables, though their dies lie around its
 * own. Optimisation takes blocks and variables out of an instance; then the function as it was
 * written (the abstract origin) is searched, where no block has addresses and lines decide. */
#include "symbols/variable.h"

#include <dwarf.h>
#include <string.h>

#include "symbols/types.h"

#define SCOPES_MAX 64       /* that hold an address; deeper is not believed */
#define EXPRESSION_DEPTH 16 /* of brackets and "*" */

/* Where a name is looked up. */
typedef struct Place {
    TtUnit *unit;
    guint64 addr;
    const char *file; /* (nullable) in which the address's line is */
    int line;         /* or 0 */
    guint scope_count;
    Dwarf_Die scopes[SCOPES_MAX]; /* the outermost, a function, first */
} Place;

static gboolean is_block(int tag) {
    return tag == DW_TAG_lexical_block || tag == DW_TAG_try_block || tag == DW_TAG_catch_block ||
           tag == DW_TAG_with_stmt;
}

static gboolean is_function(int tag) {
    return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine;
}

/* Adds the scopes in the innermost one so far. Blocks that tell no addresses stand open. Returns:
 * whether any of them really holds the address. */
static gboolean add_scopes(Place *place) {
    Dwarf_Die child;

    if (place->scope_count == SCOPES_MAX ||
        dwarf_child(&place->scopes[place->scope_count - 1], &child) != 0)
        return FALSE;
    do {
        int tag = dwarf_tag(&child), r;
        guint count = place->scope_count;

        if (!is_block(tag) && !is_function(tag))
            continue;
        r = dwarf_haspc(&child, place->addr);
        if (r == 0 || (r < 0 && !is_block(tag)))
            continue;
        place->scopes[place->scope_count++] = child;
        if (add_scopes(place) || r > 0)
            return TRUE;
        place->scope_count = count;
    } while (dwarf_siblingof(&child, &child) == 0);
    return FALSE;
}

/* FALSE: no function is known to be at the address. */
static gboolean place_init(Place *place, TtUnits *units, guint64 addr) {
    TtUnit *unit = tt_units_find(units, addr);
    const TtFunction *function = unit ? tt_unit_find_function(unit, addr) : NULL;
    Dwarf_Line *line;

    if (!function)
        return FALSE;
    place->unit = unit;
    place->addr = addr;
    place->file = NULL;
    place->line = 0;
    line = dwarf_getsrc_die(&unit->die, addr);
    if (line && dwarf_lineno(line, &place->line) == 0)
        place->file = dwarf_linesrc(line, NULL, NULL);
    place->scopes[0] = function->die;
    place->scope_count = 1;
    add_scopes(place);
    return TRUE;
}

static gboolean number_of(Dwarf_Die *die, unsigned name, Dwarf_Word *ret_number) {
    Dwarf_Attribute attribute;

    return dwarf_formudata(dwarf_attr_integrate(die, name, &attribute), ret_number) == 0;
}

/* Whether two paths can be of one file; a split unit spells it otherwise than its skeleton. */
static gboolean is_same_file(const char *path, const char *other) {
    const char *base = strrchr(path, '/'), *other_base = strrchr(other, '/');

    return strcmp(base ? base + 1 : path, other_base ? other_base + 1 : other) == 0;
}

/* dwarf_decl_file() asserts that a split unit had a table of files. */
static gboolean is_declared_in(Dwarf_Die *declared, const char *path) {
    Dwarf_Attribute attribute;
    Dwarf_Files *files;
    Dwarf_Word number;
    Dwarf_Die unit;
    const char *own;
    size_t count;

    /* The number is one of the unit's that has the attribute. */
    if (dwarf_formudata(dwarf_attr_integrate(declared, DW_AT_decl_file, &attribute), &number) !=
            0 ||
        !dwarf_cu_die(attribute.cu, &unit, NULL, NULL, NULL, NULL, NULL, NULL) ||
        dwarf_getsrcfiles(&unit, &files, &count) != 0 || number >= count)
        return FALSE;
    own = dwarf_filesrc(files, number, NULL, NULL);
    return own && is_same_file(own, path);
}

/* How far before the place's line a declaration stands; G_MAXINT where that is not known, and -1
 * where it comes later, so that it is not the one that is meant. */
static int distance_of(const Place *place, Dwarf_Die *declared) {
    Dwarf_Word line;

    if (!place->file || place->line <= 0 || !number_of(declared, DW_AT_decl_line, &line) ||
        line > G_MAXINT || !is_declared_in(declared, place->file))
        return G_MAXINT;
    return (int)line <= place->line ? place->line - (int)line : -1;
}

static gboolean declares(Dwarf_Die *die, const char *name) {
    int tag = dwarf_tag(die);
    const char *own;

    if (tag != DW_TAG_variable && tag != DW_TAG_formal_parameter)
        return FALSE;
    own = dwarf_diename(die);
    return own && strcmp(own, name) == 0;
}

/* Finds the nearest declaration in a scope; with @is_deep also in the blocks in it, whether they
 * hold the address or not. @distance: of the nearest so far, or -1. */
static void search(const Place *place, Dwarf_Die *scope, const char *name, gboolean is_deep,
                   guint depth, int *distance, Dwarf_Die *ret_declared) {
    Dwarf_Die child;

    if (depth > SCOPES_MAX || dwarf_child(scope, &child) != 0)
        return;
    do {
        if (declares(&child, name)) {
            int own = distance_of(place, &child);

            if (own >= 0 && (*distance < 0 || own < *distance)) {
                *distance = own;
                *ret_declared = child;
            }
        } else if (is_deep && is_block(dwarf_tag(&child))) {
            search(place, &child, name, is_deep, depth + 1, distance, ret_declared);
        }
    } while (dwarf_siblingof(&child, &child) == 0);
}

static gboolean search_scope(const Place *place, Dwarf_Die *scope, const char *name,
                             gboolean is_deep, Dwarf_Die *ret_declared) {
    int distance = -1;

    search(place, scope, name, is_deep, 0, &distance, ret_declared);
    return distance >= 0;
}

static gboolean find_origin(Dwarf_Die *function, Dwarf_Die *ret_origin) {
    Dwarf_Attribute attribute;

    return dwarf_attr(function, DW_AT_abstract_origin, &attribute) &&
           dwarf_formref_die(&attribute, ret_origin);
}

/* In blocks of the function that do not hold the address, or no longer. */
static gboolean search_function(const Place *place, Dwarf_Die *function, const char *name,
                                Dwarf_Die *ret_declared) {
    Dwarf_Die origin;

    return search_scope(place, function, name, TRUE, ret_declared) ||
           (find_origin(function, &origin) &&
            search_scope(place, &origin, name, TRUE, ret_declared));
}

/* Link-time optimisation leaves what is outside functions in the units that were compiled first. */
static gboolean search_unit(const Place *place, Dwarf_Die *function, const char *name,
                            Dwarf_Die *ret_declared) {
    Dwarf_Die origin, unit;

    return tt_unit_find_global(place->unit, name, ret_declared) ||
           (find_origin(function, &origin) && dwarf_diecu(&origin, &unit, NULL, NULL) &&
            search_scope(place, &unit, name, FALSE, ret_declared));
}

static gboolean find_declared(Place *place, const char *name, Dwarf_Die *ret_declared) {
    guint at = place->scope_count;
    gboolean is_local, is_global;
    Dwarf_Die local, global;

    do
        if (search_scope(place, &place->scopes[--at], name, FALSE, ret_declared))
            return TRUE;
    while (at > 0 && !is_function(dwarf_tag(&place->scopes[at])));
    /* Either may be meant where there are both: the local's block may be over. */
    is_local = search_function(place, &place->scopes[at], name, &local);
    is_global = search_unit(place, &place->scopes[at], name, &global);
    *ret_declared = is_local ? local : global;
    return is_local != is_global;
}

/* ---- Expressions ---- */

typedef struct Reader {
    Place *place;
    const char *at;
} Reader;

static void skip_space(Reader *reader) {
    while (g_ascii_isspace(*reader->at))
        reader->at++;
}

static gboolean skip_sign(Reader *reader, const char *sign) {
    skip_space(reader);
    if (!g_str_has_prefix(reader->at, sign))
        return FALSE;
    reader->at += strlen(sign);
    return TRUE;
}

/* Returns: (transfer full) (nullable) */
static char *read_identifier(Reader *reader) {
    const char *start;

    skip_space(reader);
    start = reader->at;
    while (g_ascii_isalnum(*reader->at) || *reader->at == '_' || *reader->at == '$' ||
           (*reader->at & 0x80))
        reader->at++;
    if (reader->at == start || g_ascii_isdigit(*start))
        return NULL;
    return g_strndup(start, (gsize)(reader->at - start));
}

/* Goes past an index, whatever it is: it does not change the type. */
static gboolean skip_index(Reader *reader) {
    gsize depth = 1;

    for (; *reader->at; reader->at++) {
        if (*reader->at == '"' || *reader->at == '\'')
            return FALSE;
        if (*reader->at == '[')
            depth++;
        else if (*reader->at == ']' && --depth == 0) {
            reader->at++;
            return TRUE;
        }
    }
    return FALSE;
}

static gboolean read_unary(Reader *reader, guint depth, TtType *ret_type);

static gboolean read_primary(Reader *reader, guint depth, TtType *ret_type) {
    g_autofree char *name = NULL;
    Dwarf_Die declared;

    if (skip_sign(reader, "("))
        return read_unary(reader, depth + 1, ret_type) && skip_sign(reader, ")");
    name = read_identifier(reader);
    return name && find_declared(reader->place, name, &declared) &&
           tt_type_get_declared(&declared, ret_type);
}

static gboolean read_member(Reader *reader, const TtType *type, TtType *ret_type) {
    g_autofree char *name = read_identifier(reader);

    return name && tt_type_find_member(type, name, ret_type);
}

static gboolean read_postfix(Reader *reader, guint depth, TtType *ret_type) {
    TtType type, next;

    if (!read_primary(reader, depth, &type))
        return FALSE;
    for (;; type = next) {
        if (skip_sign(reader, "->")) {
            TtType target;

            if (!tt_type_dereference(&type, &target) || !read_member(reader, &target, &next))
                return FALSE;
        } else if (skip_sign(reader, ".")) {
            if (!read_member(reader, &type, &next))
                return FALSE;
        } else if (skip_sign(reader, "[")) {
            if (!skip_index(reader) || !tt_type_dereference(&type, &next))
                return FALSE;
        } else {
            *ret_type = type;
            return TRUE;
        }
    }
}

static gboolean read_unary(Reader *reader, guint depth, TtType *ret_type) {
    TtType type;

    if (depth > EXPRESSION_DEPTH)
        return FALSE;
    if (!skip_sign(reader, "*"))
        return read_postfix(reader, depth, ret_type);
    return read_unary(reader, depth + 1, &type) && tt_type_dereference(&type, ret_type);
}

char *tt_variable_find_type(TtUnits *units, guint64 addr, TtString name) {
    g_autofree char *text = NULL;
    g_autofree Place *place = NULL;
    Reader reader;
    TtType type;

    if (name.len > TT_EXCHANGE_VARIABLE_BYTES || memchr(name.text, 0, name.len))
        return NULL;
    text = g_strndup(name.text, name.len);
    place = g_new(Place, 1);
    if (!place_init(place, units, addr))
        return NULL;
    reader = (Reader){.place = place, .at = text};
    if (!read_unary(&reader, 0, &type))
        return NULL;
    skip_space(&reader);
    if (*reader.at || !tt_type_has_address(&type))
        return NULL;
    return tt_type_spell(&type);
}
