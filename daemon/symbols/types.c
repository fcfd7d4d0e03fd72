/* SPDX-License-Identifier: Apache-2.0 */
/* Types in DWARF are chains: "const char *" is a pointer, to a const, of a char. C writes a part of
 * the chain before the name and a part behind it; walking from the outside inwards, what comes is
 * put before or behind what is there, and a bracket around that where "[…]" or "(…)" would
 * otherwise bind first.
 *
 * The chains are hostile: they may be circles. Every loop counts its steps. */
#include "symbols/types.h"

#include <dwarf.h>
#include <string.h>

#define STEPS_MAX 32     /* of a chain */
#define NESTING_MAX 4    /* of functions' parameters, nameless members, bases */
#define PARAMETERS_MAX 8 /* that are spelled out */
#define SCOPES_MAX 32    /* that a type lies in */

/* ---- From one to another ---- */

gboolean tt_type_get_declared(Dwarf_Die *declared, TtType *ret_type) {
    Dwarf_Attribute attribute;
    Dwarf_Die whole;

    *ret_type = (TtType){0};
    if (!dwarf_attr_integrate(declared, DW_AT_type, &attribute) ||
        !dwarf_formref_die(&attribute, &ret_type->die))
        return FALSE;
    /* What stands here of a type with a unit of its own is nameless and empty. */
    if (dwarf_attr(&ret_type->die, DW_AT_signature, &attribute) &&
        dwarf_formref_die(&attribute, &whole))
        ret_type->die = whole;
    return TRUE;
}

/* What a die of the chain is made from; void where it does not say. */
static void get_base(const TtType *type, TtType *ret_type) {
    Dwarf_Die die = type->die;

    if (!tt_type_get_declared(&die, ret_type))
        *ret_type = (TtType){.is_void = TRUE};
}

static int tag_of(const TtType *type) {
    Dwarf_Die die = type->die;

    return type->is_void ? 0 : dwarf_tag(&die);
}

static gboolean is_qualifier(int tag) {
    return tag == DW_TAG_const_type || tag == DW_TAG_volatile_type || tag == DW_TAG_restrict_type ||
           tag == DW_TAG_atomic_type;
}

static gboolean is_reference(int tag) {
    return tag == DW_TAG_reference_type || tag == DW_TAG_rvalue_reference_type;
}

/* Leaves out what does not change what a value is: qualifiers, references, and with @is_full also
 * names that it was given. FALSE: a circle. */
static gboolean strip(const TtType *type, gboolean is_full, TtType *ret_type) {
    TtType at = *type;

    for (int i = 0; i < STEPS_MAX; i++) {
        int tag = tag_of(&at);
        TtType base;

        if (!is_qualifier(tag) && !is_reference(tag) && !(is_full && tag == DW_TAG_typedef)) {
            *ret_type = at;
            return TRUE;
        }
        get_base(&at, &base);
        at = base;
    }
    return FALSE;
}

static guint count_dimensions(const TtType *array) {
    Dwarf_Die die = array->die, child;
    guint count = 0;

    if (dwarf_child(&die, &child) != 0)
        return 1;
    do {
        int tag = dwarf_tag(&child);

        count += tag == DW_TAG_subrange_type || tag == DW_TAG_enumeration_type;
    } while (count < STEPS_MAX && dwarf_siblingof(&child, &child) == 0);
    return MAX(count, 1);
}

static void get_element(const TtType *array, TtType *ret_type) {
    if (array->dimension + 1 < count_dimensions(array)) {
        *ret_type = *array;
        ret_type->dimension++;
    } else {
        get_base(array, ret_type);
    }
}

gboolean tt_type_dereference(const TtType *type, TtType *ret_type) {
    TtType value;

    if (!strip(type, TRUE, &value))
        return FALSE;
    switch (tag_of(&value)) {
    case DW_TAG_pointer_type:
        get_base(&value, ret_type);
        return TRUE;
    case DW_TAG_array_type:
        get_element(&value, ret_type);
        return TRUE;
    default:
        return FALSE;
    }
}

static gboolean is_named(Dwarf_Die *die, const char *name) {
    const char *own = dwarf_diename(die);

    return own && strcmp(own, name) == 0;
}

static gboolean find_member(const TtType *type, const char *name, guint depth, TtType *ret_type) {
    TtType value, inner;
    Dwarf_Die child;

    if (depth > NESTING_MAX || !strip(type, TRUE, &value) || value.is_void ||
        dwarf_child(&value.die, &child) != 0)
        return FALSE;
    do {
        switch (dwarf_tag(&child)) {
        case DW_TAG_member:
            if (is_named(&child, name))
                return tt_type_get_declared(&child, ret_type);
            if (!dwarf_diename(&child) && tt_type_get_declared(&child, &inner) &&
                find_member(&inner, name, depth + 1, ret_type))
                return TRUE;
            break;
        case DW_TAG_variable: /* a static member */
            if (is_named(&child, name))
                return tt_type_get_declared(&child, ret_type);
            break;
        case DW_TAG_inheritance:
            if (tt_type_get_declared(&child, &inner) &&
                find_member(&inner, name, depth + 1, ret_type))
                return TRUE;
            break;
        default:
            break;
        }
    } while (dwarf_siblingof(&child, &child) == 0);
    return FALSE;
}

gboolean tt_type_find_member(const TtType *type, const char *name, TtType *ret_type) {
    TtType value;

    /* Enumerators and template arguments are children too; only these have members. */
    if (!strip(type, TRUE, &value))
        return FALSE;
    switch (tag_of(&value)) {
    case DW_TAG_structure_type:
    case DW_TAG_class_type:
    case DW_TAG_union_type:
        return find_member(&value, name, 0, ret_type);
    default:
        return FALSE;
    }
}

/* ---- Spelling ---- */

/* In C a structure's name is "struct name", and has no scope. */
static gboolean is_of_c(const Dwarf_Die *die) {
    Dwarf_Die copy = *die, unit;

    if (!dwarf_diecu(&copy, &unit, NULL, NULL))
        return TRUE;
    switch (dwarf_srclang(&unit)) {
    case DW_LANG_C:
    case DW_LANG_C89:
    case DW_LANG_C99:
    case DW_LANG_C11:
    case DW_LANG_ObjC:
    case 0x2c: /* DW_LANG_C17, which not every <dwarf.h> has */
    case 0x3e: /* DW_LANG_C23 */
        return TRUE;
    default:
        return FALSE;
    }
}

gboolean tt_type_has_address(const TtType *type) {
    TtType value;

    if (!strip(type, TRUE, &value))
        return FALSE;
    switch (tag_of(&value)) {
    case DW_TAG_pointer_type:
    case DW_TAG_array_type:
        return TRUE;
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
        return !is_of_c(&value.die);
    default:
        return FALSE;
    }
}

/* Finds the child in whose tree @offset lies: children are in ascending order of their offsets. */
static gboolean find_branch(Dwarf_Die *parent, Dwarf_Off offset, Dwarf_Die *ret_branch) {
    Dwarf_Die child;
    gboolean is_found = FALSE;

    if (dwarf_child(parent, &child) != 0)
        return FALSE;
    while (dwarf_dieoffset(&child) <= offset) {
        *ret_branch = child;
        is_found = TRUE;
        if (dwarf_siblingof(&child, &child) != 0)
            break;
    }
    return is_found;
}

static gboolean is_scope(Dwarf_Die *die) {
    Dwarf_Attribute attribute;

    switch (dwarf_tag(die)) {
    case DW_TAG_namespace: /* an inline one, "std::__cxx11", is nobody's word */
        return !dwarf_diename(die) || !dwarf_attr(die, DW_AT_export_symbols, &attribute);
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
        return TRUE;
    default:
        return FALSE;
    }
}

/* "space::Class::" of what the type lies in. */
static void append_scopes(GString *text, const Dwarf_Die *die) {
    Dwarf_Die copy = *die, at;
    Dwarf_Off offset = dwarf_dieoffset(&copy);

    if (!dwarf_diecu(&copy, &at, NULL, NULL))
        return;
    for (int i = 0; i < SCOPES_MAX; i++) {
        Dwarf_Die branch;
        const char *name;

        if (!find_branch(&at, offset, &branch) || dwarf_dieoffset(&branch) == offset)
            return;
        at = branch;
        if (!is_scope(&at))
            continue;
        name = dwarf_diename(&at);
        g_string_append(text, name ? name : "(anonymous namespace)");
        g_string_append(text, "::");
    }
}

static const char *skip_argument(const char *at) {
    gsize depth = 0;

    for (; *at; at++) {
        if (*at == '<')
            depth++;
        else if (*at == '>' && depth-- == 0)
            break;
        else if (*at == ',' && depth == 0)
            break;
    }
    return at;
}

/* Appends a template's name without the arguments that nobody writes:
 * "vector<int, std::allocator<int> >" is std::vector<int>. */
static void append_without_defaults(GString *text, const char *name) {
    static const char *const defaults[] = {", std::allocator<", ", std::char_traits<",
                                           ", std::default_delete<"};

    while (*name) {
        const char *end = NULL;

        for (gsize i = 0; i < G_N_ELEMENTS(defaults) && !end; i++)
            if (g_str_has_prefix(name, defaults[i]))
                end = skip_argument(name + 2);
        if (end) {
            name = end;
        } else if (name[0] == ' ' && name[1] == '>') {
            name++;
        } else {
            g_string_append_c(text, *name++);
        }
    }
}

static const char *keyword_of(int tag) {
    switch (tag) {
    case DW_TAG_structure_type:
        return "struct ";
    case DW_TAG_union_type:
        return "union ";
    case DW_TAG_enumeration_type:
        return "enum ";
    default:
        return "";
    }
}

/* gcc's names of the language's own types are not those that people write. */
static const char *customary_name(const char *name) {
    static const char *const names[][2] = {
        {"long int", "long"},           {"long unsigned int", "unsigned long"},
        {"long long int", "long long"}, {"long long unsigned int", "unsigned long long"},
        {"short int", "short"},         {"short unsigned int", "unsigned short"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(name, names[i][0]) == 0)
            return names[i][1];
    return name;
}

/* Appends what stands at the chain's end. FALSE: it has no name. */
static gboolean append_name(GString *text, const TtType *type) {
    Dwarf_Die die = type->die;
    const char *name;

    if (type->is_void) {
        g_string_append(text, "void");
        return TRUE;
    }
    name = dwarf_diename(&die);
    if (name && dwarf_tag(&die) == DW_TAG_base_type) {
        g_string_append(text, customary_name(name));
    } else if (is_of_c(&die)) {
        g_string_append(text, keyword_of(dwarf_tag(&die)));
        if (!name && *keyword_of(dwarf_tag(&die)))
            name = "{…}";
        g_string_append(text, name ? name : "");
    } else if (name) {
        append_scopes(text, &die);
        append_without_defaults(text, name);
    }
    return name != NULL;
}

static gboolean is_word_start(char c) { return g_ascii_isalnum(c) || c == '_' || c < 0; }

/* Puts @word before the declarator, apart from a word that it begins with. */
static void prepend(GString *declarator, const char *word) {
    gboolean is_apart = g_ascii_isalpha(word[strlen(word) - 1]) && declarator->len > 0 &&
                        (is_word_start(declarator->str[0]) || declarator->str[0] == '*');

    g_string_prepend(declarator, is_apart ? " " : "");
    g_string_prepend(declarator, word);
}

/* "[…]" and "(…)" bind before "*". */
static void put_brackets_around(GString *declarator) {
    if (declarator->len > 0 && strchr("*&", declarator->str[0])) {
        g_string_prepend_c(declarator, '(');
        g_string_append_c(declarator, ')');
    }
}

static void append_dimensions(GString *declarator, const TtType *array) {
    Dwarf_Die die = array->die, child;
    guint dimension = 0;

    if (dwarf_child(&die, &child) != 0) {
        g_string_append(declarator, "[]");
        return;
    }
    do {
        Dwarf_Attribute attribute;
        Dwarf_Word count = 0;
        gboolean is_known =
            dwarf_formudata(dwarf_attr(&child, DW_AT_count, &attribute), &count) == 0;

        if (dwarf_tag(&child) != DW_TAG_subrange_type || dimension++ < array->dimension)
            continue;
        if (!is_known &&
            dwarf_formudata(dwarf_attr(&child, DW_AT_upper_bound, &attribute), &count) == 0)
            is_known = ++count > 0;
        if (is_known)
            g_string_append_printf(declarator, "[%" G_GUINT64_FORMAT "]", (guint64)count);
        else
            g_string_append(declarator, "[]");
    } while (dimension < STEPS_MAX && dwarf_siblingof(&child, &child) == 0);
}

static gboolean spell(GString *declarator, const TtType *type, guint depth);

static gboolean append_parameters(GString *declarator, const TtType *function, guint depth) {
    Dwarf_Die die = function->die, child;
    guint count = 0;

    g_string_append_c(declarator, '(');
    if (dwarf_child(&die, &child) == 0) {
        do {
            int tag = dwarf_tag(&child);
            g_autoptr(GString) parameter = g_string_new(NULL);
            TtType type;

            if (tag != DW_TAG_formal_parameter && tag != DW_TAG_unspecified_parameters)
                continue;
            g_string_append(declarator, count > 0 ? ", " : "");
            if (tag == DW_TAG_unspecified_parameters || ++count > PARAMETERS_MAX) {
                g_string_append(declarator, tag == DW_TAG_unspecified_parameters ? "..." : "…");
                break;
            }
            if (!tt_type_get_declared(&child, &type) || !spell(parameter, &type, depth + 1))
                return FALSE;
            g_string_append(declarator, parameter->str);
        } while (dwarf_siblingof(&child, &child) == 0);
    }
    if (count == 0 && g_str_has_suffix(declarator->str, "(") && is_of_c(&function->die))
        g_string_append(declarator, "void");
    g_string_append_c(declarator, ')');
    return TRUE;
}

/* Words that qualify what comes next in the chain: their places differ for pointers and others. */
typedef struct Qualifiers {
    gboolean is_const, is_volatile, is_restrict, is_atomic;
} Qualifiers;

static void note_qualifier(Qualifiers *qualifiers, int tag) {
    qualifiers->is_const |= tag == DW_TAG_const_type;
    qualifiers->is_volatile |= tag == DW_TAG_volatile_type;
    qualifiers->is_restrict |= tag == DW_TAG_restrict_type;
    qualifiers->is_atomic |= tag == DW_TAG_atomic_type;
}

static void prepend_pointer(GString *declarator, const Qualifiers *qualifiers) {
    if (qualifiers->is_restrict)
        prepend(declarator, "restrict");
    if (qualifiers->is_volatile)
        prepend(declarator, "volatile");
    if (qualifiers->is_const)
        prepend(declarator, "const");
    g_string_prepend_c(declarator, '*');
}

static gboolean finish(GString *declarator, const TtType *type, const Qualifiers *qualifiers) {
    g_autoptr(GString) text = g_string_new(qualifiers->is_const ? "const " : "");

    if (qualifiers->is_volatile)
        g_string_append(text, "volatile ");
    if (qualifiers->is_atomic)
        g_string_append(text, "_Atomic ");
    if (!append_name(text, type))
        return FALSE;
    if (declarator->len > 0 && declarator->str[0] != '[')
        g_string_append_c(text, ' ');
    g_string_prepend_len(declarator, text->str, (gssize)text->len);
    return TRUE;
}

/* Puts the type around the declarator. FALSE: it is too deep, or has no name. */
static gboolean spell(GString *declarator, const TtType *type, guint depth) {
    Qualifiers qualifiers = {0};
    TtType at = *type;

    if (depth > NESTING_MAX)
        return FALSE;
    for (int i = 0; i < STEPS_MAX && declarator->len <= TT_TYPE_BYTES_MAX; i++) {
        int tag = tag_of(&at);
        TtType base;

        switch (tag) {
        case DW_TAG_const_type:
        case DW_TAG_volatile_type:
        case DW_TAG_restrict_type:
        case DW_TAG_atomic_type:
            note_qualifier(&qualifiers, tag);
            break;
        case DW_TAG_pointer_type:
            if (dwarf_diename(&at.die)) /* Rust's "&mut T" */
                return finish(declarator, &at, &qualifiers);
            prepend_pointer(declarator, &qualifiers);
            qualifiers = (Qualifiers){0};
            break;
        case DW_TAG_reference_type:
            prepend(declarator, "&");
            break;
        case DW_TAG_rvalue_reference_type:
            prepend(declarator, "&&");
            break;
        case DW_TAG_array_type: /* its elements are what is const */
            if (dwarf_diename(&at.die))
                return finish(declarator, &at, &qualifiers);
            put_brackets_around(declarator);
            append_dimensions(declarator, &at);
            break;
        case DW_TAG_subroutine_type:
            put_brackets_around(declarator);
            if (!append_parameters(declarator, &at, depth))
                return FALSE;
            qualifiers = (Qualifiers){0};
            break;
        default:
            return finish(declarator, &at, &qualifiers);
        }
        get_base(&at, &base);
        at = base;
    }
    return FALSE;
}

static void cut(GString *text) {
    static const char sign[] = "…";
    gsize end = TT_TYPE_BYTES_MAX - (sizeof sign - 1);

    if (text->len <= TT_TYPE_BYTES_MAX)
        return;
    while (end > 0 && (text->str[end] & 0xc0) == 0x80)
        end--;
    g_string_truncate(text, end);
    g_string_append(text, sign);
}

char *tt_type_spell(const TtType *type) {
    GString *text = g_string_new(NULL);
    TtType value, whole;

    if (!strip(type, FALSE, &value) || !strip(type, TRUE, &whole)) {
        g_string_free(text, TRUE);
        return NULL;
    }
    /* An array's value is where its first element is, also where a typedef names the array. */
    if (tag_of(&whole) == DW_TAG_array_type && !dwarf_diename(&whole.die)) {
        g_string_append_c(text, '*');
        get_element(&whole, &value);
    }
    if (!spell(text, &value, 0)) {
        g_string_free(text, TRUE);
        return NULL;
    }
    cut(text);
    return g_string_free(text, FALSE);
}
