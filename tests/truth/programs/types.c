/* SPDX-License-Identifier: Apache-2.0 */
/* Names blocks of known sizes, and says on stdout what type each name was declared with:
 *
 *     SIZE|NAME|TYPE
 *
 * The compiler's own types are told by the macro, all others stand in the debug information. */
#include <stdio.h>
#include <stdlib.h>
#include <ttclient.h>

struct node {
    struct node *next;
    char *text;
};

typedef struct node node_t;
typedef void (*handler_t)(node_t *);

struct cache {
    struct {
        node_t **slots;
    } table;
    union {
        const struct node *first;
        long number;
    };
};

static struct cache caches[2];
static node_t *kept;
static size_t next_size = 10000;

/* Every block has a size of its own. */
#define NEW() malloc(++next_size)
#define TELL(variable, type)                                                                       \
    do {                                                                                           \
        TT_TRACK_VAR(variable);                                                                    \
        printf("%zu|%s|%s\n", next_size, #variable, type);                                         \
    } while (0)

static inline __attribute__((always_inline)) void inlined(void) {
    const struct node *list = NEW();

    TELL(list, "const struct node *");
}

__attribute__((noinline)) static void nested(int depth) {
    node_t *list = NEW();

    TELL(list, "node_t *");
    for (int i = 0; i < depth; i++) {
        struct cache *list = NEW();

        TELL(list, "struct cache *");
        {
            handler_t *list = NEW();

            TELL(list, "handler_t *");
        }
        inlined();
    }
}

__attribute__((noinline)) static void members(struct cache *cache) {
    cache->table.slots = NEW();
    TELL(cache->table.slots, "node_t **");
    cache->first = NEW();
    TELL(cache->first, "const struct node *");
    caches[1].table.slots = NEW();
    TELL(caches[1].table.slots, "node_t **");
    *cache->table.slots = NEW();
    TELL(*cache->table.slots, "node_t *");
    cache->table.slots[1] = NEW();
    TELL(cache->table.slots[1], "node_t *");
}

__attribute__((noinline)) static void others(void) {
    struct node *rows[2] = {NEW(), NULL};
    double(*matrix)[8];
    int *numbers;

    TELL(rows[0], "struct node *");
    matrix = NEW();
    TELL(matrix, "double (*)[8]");
    kept = NEW();
    TELL(kept, "node_t *");
    numbers = NEW();
    TELL(numbers, "int *");
    tt_track(NEW(), "nobody's", "");
    printf("%zu|%s|%s\n", next_size, "nobody's", "");
}

int main(void) {
    nested(1);
    members(caches);
    others();
    return 0;
}
