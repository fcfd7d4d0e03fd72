/* SPDX-License-Identifier: Apache-2.0 */
/* A picture as a reader sees it: its elements with their attributes, and where its text stands.
 * Read by GLib's parser and measured with a real font, neither of which the pictures' maker uses.
 */
#pragma once

#include <glib.h>

typedef struct Element {
    char *name;
    GHashTable *attributes;
    GString *text;          /* directly in it */
    struct Element *parent; /* or NULL */
    guint depth;
} Element;

typedef struct Box {
    double left, top, right, bottom;
} Box;

/* Of GPtrArray: elements in the order of the document. Fails the test where it is not well-formed.
 */
typedef struct Page {
    GPtrArray *elements;
    double width, height;
} Page;

Page *page_read(const char *document, gsize len);
void page_free(Page *page);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Page, page_free)

/* NULL where there is none. */
const char *element_get(const Element *element, const char *attribute);
gboolean element_has_class(const Element *element, const char *class_name);

/* The first with that value, or NULL. */
const Element *page_find(const Page *page, const char *attribute, const char *value);

/* The attribute's value, which must be there and a plain number. */
guint64 element_get_count(const Element *element, const char *attribute);
double element_get_number(const Element *element, const char *attribute);

gboolean element_is_in(const Element *element, const Element *ancestor);

/* Where a text's ink may be, as far as it is not clipped. */
Box page_get_text_box(const Page *page, const Element *text);
Box element_get_box(const Element *rect);
gboolean box_overlaps(const Box *a, const Box *b);

/* What all of a text says, its parts included. */
char *page_get_text(const Page *page, const Element *text);

/* The advance width of text in DejaVu Sans. */
double font_measure(const char *text, double size, gboolean is_bold);
