/* SPDX-License-Identifier: Apache-2.0 */
#include "variables.h"

struct node {
    struct node *next;
    const char *text;
    union {
        int *numbers;
        long *words;
    };
    struct {
        struct node *left, *right;
    } side;
    struct node *children[4];
    double table[3][5];
    struct node **root;
};

typedef struct node node_t;
typedef node_t *node_ref;
typedef int vector_t[4];
typedef int (*handler_t)(node_t *node, const char *word);
enum color { RED };
union any {
    int number;
};

static struct node nodes[3];
static node_t *global_list = nodes;
static struct node *shadowed = nodes;
static int numbers[16];
static double matrix[4][8];
static char letters[] = "letters";

static int handle(node_t *node, const char *word) { return node != NULL && word != NULL; }

__attribute__((noinline)) static void plain(struct node *argument, const char *const word,
                                            char *restrict rest) {
    struct node *list = argument;
    const struct node *fixed = argument;
    volatile int *shaky = numbers;
    const char **words = &argument->text;
    char *const *letters_of = (char *const *)&argument->text;
    enum color *color = (enum color *)numbers;
    union any *any = (union any *)numbers;
    struct {
        int x;
    } *nameless = (void *)numbers;
    void *anything = list;

    IS(argument, "struct node *");
    IS(word, "const char *");
    IS(rest, "char *");
    IS(list, "struct node *");
    IS(fixed, "const struct node *");
    IS(shaky, "volatile int *");
    IS(words, "const char **");
    IS(letters_of, "char *const *");
    IS(color, "enum color *");
    IS(any, "union any *");
    IS(nameless, "struct {…} *");
    IS(anything, "void *");
}

__attribute__((noinline)) static void named_types(node_t *node) {
    node_ref ref = node;
    vector_t *vectors = (vector_t *)numbers;
    static vector_t vector;
    handler_t handler = handle;
    handler_t *handlers = &handler;
    int (*bare)(node_t *, const char *) = handle;
    void (*last)(void) = NULL;
    int (*counted)(const char *, ...) = printf;

    IS(node, "node_t *");
    IS(ref, "node_ref");
    IS(vectors, "vector_t *");
    IS(vector, "int *");
    IS((void *)handler, "");
    IS(handlers, "handler_t *");
    IS(bare, "int (*)(node_t *, const char *)");
    IS(last, "void (*)(void)");
    IS(counted, "int (*)(const char *, ...)");
}

__attribute__((noinline)) static void arrays(int count) {
    int local[16];
    struct node *pointers[3] = {nodes, nodes + 1, NULL};
    int(*row)[16] = &local;
    char *variable[count];

    local[0] = count;
    variable[0] = letters;
    IS(local, "int *");
    IS(pointers, "struct node **");
    IS(row, "int (*)[16]");
    IS(variable, "char **");
    IS(numbers, "int *");
    IS(matrix, "double (*)[8]");
    IS(letters, "char *");
    IS(nodes, "struct node *");
}

__attribute__((noinline)) static void expressions(struct node *c, node_t value, int i) {
    node_t *const *handle_of = &global_list;

    IS(c->next, "struct node *");
    IS(c->next->text, "const char *");
    IS(c->numbers, "int *");
    IS(c->words, "long *");
    IS(c->side.left, "struct node *");
    IS(value.text, "const char *");
    IS(value.side.right->next, "struct node *");
    IS(c->children, "struct node **");
    IS(c->children[i], "struct node *");
    IS(c->children[nodes[0].next != NULL]->text, "const char *");
    IS(c->table, "double (*)[5]");
    IS(c->table[i], "double *");
    IS(matrix[i], "double *");
    IS(nodes[i].next, "struct node *");
    IS(*c->root, "struct node *");
    IS((*c->root)->text, "const char *");
    IS(*handle_of, "node_t *");
    IS((*handle_of)->next, "struct node *");
    IS(global_list, "node_t *");
    IS(global_list->next, "struct node *");
    /* What is more than that, and what is no pointer. */
    IS(c + 1, "");
    IS(&c->next, "");
    IS((char *)c, "");
    IS("text", "");
    IS((size_t)i, "");
    log_it(c, "i", "");
    log_it(c, "value", "");
    log_it(c, "c->nothing", "");
    log_it(c, "c.next", "");
    log_it(c, "value->next", "");
    log_it(c, "*i", "");
    log_it(c, "nobody", "");
    log_it(c, "c->", "");
    log_it(c, "c->next ", "struct node *");
    log_it(c, "(((c)))", "struct node *");
    log_it(c, "c[", "");
    log_it(c, "((((((((((((((((((((((c))))))))))))))))))))))", "");
    log_it(c, "c) ", "");
    log_it(c, "\xff\xfe", "");
    sink++;
}

/* The innermost that is declared so far counts. */
__attribute__((noinline)) static void blocks(char *shadowed) {
    IS(shadowed, "char *");
    if (sink != -1) {
        IS(shadowed, "char *");
        struct node **shadowed = &nodes[0].next;
        long *inner = NULL;
        IS(shadowed, "struct node **");
        IS(inner, "long *");
        for (volatile short *shadowed = NULL; sink >= 0; sink = -1) {
            IS(shadowed, "volatile short *");
            IS(inner, "long *");
        }
        sink = 5;
        IS(shadowed, "struct node **");
    }
    {
        float *inner = NULL;
        IS(inner, "float *");
    }
    IS(shadowed, "char *");
}

/* Optimisation could have made the one that is meant look like the one that is over. */
__attribute__((noinline)) static void in_doubt(void) {
    {
        char *shadowed = letters;
        IS(shadowed, "char *");
    }
    IS(shadowed, "");
}

__attribute__((noinline)) static void outside(void) { IS(shadowed, "struct node *"); }

/* Its caller has other things of that name, which it does not see. */
INLINE void inlined(int *list, long number) {
    struct node *mine = nodes;
    static char *kept;

    IS(list, "int *");
    IS(mine, "struct node *");
#ifndef __clang__ /* up to version 16 it puts the die into no function at all */
    IS(kept, "char *");
#endif
    IS(shadowed, "struct node *");
    log_it(list, "outer", "");
    sink += number;
    if (sink != 0) {
        node_t *block = mine->next;
        IS(block, "node_t *");
        IS(block->text, "const char *");
    }
}

__attribute__((noinline)) static void calls_inlined(char *list) {
    double *outer = NULL, *shadowed = NULL;

    inlined(numbers, sink);
    IS(list, "char *");
    IS(outer, "double *");
    IS(shadowed, "double *");
    inlined(numbers + 1, 3);
}

int main(int argc, char **argv) {
    nodes[0].next = nodes[1].next = nodes[2].next = nodes;
    nodes[0].side.right = nodes[1].side.right = nodes;
    nodes[0].children[0] = nodes[0].children[1] = nodes;
    nodes[0].root = nodes[1].root = &nodes[2].next;
    plain(nodes + 1, letters, letters);
    named_types(nodes + 1);
    arrays(argc + 3);
    expressions(nodes, nodes[1], argc - 1);
    blocks(letters);
    in_doubt();
    outside();
    calls_inlined(letters);
    IS(argv, "char **");
    IS(argv[0], "char *");
    return 0;
}
