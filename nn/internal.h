/* nn: modules and the bundled layers, written against core's public headers (and its memory door and errors). What
 * lives here is state and composition; arithmetic belongs in core's ops. This header is what nn's own files share. */
#ifndef TERNI_NN_INTERNAL_H
#define TERNI_NN_INTERNAL_H

#include "door.h"
#include "tern/layers.h"
#include "tern/module.h"
#include "tern/random.h"

typedef struct terni_entry {
    char *name;
    tern_tensor *tensor; /* kept */
    bool is_param;
} terni_entry;

typedef struct terni_child {
    char *name;
    tern_module *module; /* owned */
} terni_child;

struct tern_module_parts {
    size_t size; /* of the module's struct */
    bool failed;
    tern_module *parent;
    terni_entry *entry;
    int n_entries, cap_entries;
    terni_child *child;
    int n_children, cap_children;
    tern_named *list; /* the tree, flat, with names of its own; made when it is asked for */
    int n_list;
    bool listed;
};

/* The flat list, up to date; false after an error. */
bool terni_module_list(tern_module *m);
void terni_module_unlist(tern_module *m);
/* m's training flag and its descendants', by fn. */
void terni_module_walk(tern_module *m, void (*fn)(tern_module *m, void *arg), void *arg);
/* A module of a layer whose struct starts with a tern_module: forward and describe set. */
void *terni_layer(size_t size, const char *type, tern_tensor *(*forward)(tern_module *, tern_tensor *),
                  void (*describe)(const tern_module *, char *, size_t));

#endif
