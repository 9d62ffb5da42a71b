/* What a checkpoint holds, taken from the program's objects: named tensors and attributes, as they stand in the file.
 * Either the program's own tensors, to be written at once, or copies in host memory, to be written while training goes
 * on. Private.
 *
 *     terni_snapshot s = {0};
 *     if (terni_snapshot_take(&s, c, TERNI_SNAPSHOT_COPY)) ... terni_checkpoint_write(path, &s) ...
 *     terni_snapshot_drop(&s);
 *
 * A snapshot that is taken again reuses its host memory where names, shapes and dtypes are the same. */
#ifndef TERNI_SNAPSHOT_H
#define TERNI_SNAPSHOT_H

#include "internal.h"

typedef enum terni_snapshot_group {
    TERNI_ROOT,
    TERNI_MODEL,
    TERNI_AVERAGE,
    TERNI_OPTIM,
    TERNI_GROUPS
} terni_snapshot_group;

typedef struct terni_snapshot_item {
    terni_snapshot_group group;
    char *name;
    const char *kind;    /* "param", "buffer" or NULL */
    tern_tensor *tensor; /* kept */
} terni_snapshot_item;

typedef enum terni_attribute_type { TERNI_TEXT, TERNI_I64, TERNI_U64, TERNI_F64 } terni_attribute_type;
typedef struct terni_attribute {
    terni_snapshot_group group;
    char name[128];
    terni_attribute_type type;
    char *text;
    int64_t i64;
    uint64_t u64;
    double f64;
} terni_attribute;

typedef struct terni_snapshot {
    terni_snapshot_item *items;
    int n_items, cap_items;
    terni_attribute *attributes;
    int n_attributes, cap_attributes;
    bool has[TERNI_GROUPS]; /* groups to be made, empty ones too */
    bool copies;            /* the tensors are the snapshot's own */
} terni_snapshot;

typedef enum terni_snapshot_mode {
    TERNI_SNAPSHOT_OWN,   /* the program's tensors, or copies of those that are not contiguous on the host */
    TERNI_SNAPSHOT_COPY,  /* copies on the host; all is there when the call returns */
    TERNI_SNAPSHOT_SPACE, /* room for copies, not filled: for another thread to touch */
} terni_snapshot_mode;

bool terni_snapshot_take(terni_snapshot *s, const tern_checkpoint *c, terni_snapshot_mode mode);
/* Frees what s holds; s is as new. */
void terni_snapshot_drop(terni_snapshot *s);
/* Makes the file of s (checkpoint.c). Thread-safe for snapshots of copies. */
bool terni_checkpoint_write(const char *path, const terni_snapshot *s);

#endif
