/* Autocast: a per-thread stack of low dtypes by device, the casts that ops ask for, and the low forms of parameters,
 * which are kept while it lasts. */
#include <string.h>

#include "casting.h"
#include "tape.h"

/* The low form of a leaf, and what the leaf was then. */
typedef struct kept {
    tern_tensor *leaf, *low; /* references; leaf NULL: free */
    const terni_storage *storage;
    uint32_t version, moves, replays;
    uint32_t region; /* the recomputed function that it was made in */
} kept;

struct terni_casts {
    int n, cap; /* of stack */
    terni_autocast_state *stack;
    int used, size; /* of table, open addressing; size is a power of two */
    kept *table;
};

static const terni_autocast_state none;

/* ---- the kept casts ------------------------------------------------------------------------------------------------
 */

static kept *place_in(kept *table, int size, const tern_tensor *leaf) {
    size_t at = ((uintptr_t)leaf >> 6) * (size_t)0x9E3779B1u;
    while (table[at & (size_t)(size - 1)].leaf && table[at & (size_t)(size - 1)].leaf != leaf) at++;
    return &table[at & (size_t)(size - 1)];
}

static void drop(kept *k) {
    tern_release(k->leaf);
    tern_release(k->low);
}

static void forget(struct terni_casts *c) {
    kept *table = c->table;
    const int size = c->size;
    c->table = NULL;
    c->used = c->size = 0;
    for (int i = 0; i < size; i++)
        if (table[i].leaf) drop(&table[i]);
    terni_free(table, (size_t)size * sizeof *table);
}

/* Replays of graphs, which change parameters without a version: of any thread's, as any may share them. */
static _Atomic(uint32_t) replays;

static uint32_t replays_now(void) { return atomic_load_explicit(&replays, memory_order_relaxed); }

void terni_autocast_replayed(void) { atomic_fetch_add_explicit(&replays, 1, memory_order_relaxed); }

void terni_autocast_forget(void) {
    if (terni_self.casts) forget(terni_self.casts);
}

/* Makes room for one more, and lets go of leaves that nobody else has. */
static bool grow(struct terni_casts *c) {
    if (2 * (c->used + 1) <= c->size) return true;
    const int size = c->size ? 2 * c->size : 64;
    kept *table = terni_calloc((size_t)size * sizeof *table);
    if (!table) return false;
    c->used = 0;
    for (int i = 0; i < c->size; i++) {
        kept *k = &c->table[i];
        if (!k->leaf) continue;
        if (atomic_load_explicit(&k->leaf->refs, memory_order_relaxed) == 1) {
            drop(k);
        } else {
            *place_in(table, size, k->leaf) = *k;
            c->used++;
        }
    }
    terni_free(c->table, (size_t)c->size * sizeof *table);
    c->table = table;
    c->size = size;
    return true;
}

static bool usable(const kept *k, tern_dtype to) {
    const tern_tensor *t = k->leaf;
    return terni_dtype(k->low) == to && k->storage == t->storage && k->version == t->storage->version &&
           k->moves == t->moves && k->replays == replays_now() && k->region == terni_self.region &&
           (k->low->node || !terni_recording());
}

/* The low form of a leaf; owned by the scope. */
static tern_tensor *low_of(struct terni_casts *c, tern_tensor *leaf, tern_dtype to) {
    if (!grow(c)) return NULL;
    kept *k = place_in(c->table, c->size, leaf);
    if (k->leaf && usable(k, to)) return terni_scope_add(tern_keep(k->low));
    const uint32_t before = replays_now();
    tern_tensor *low = tern_cast(leaf, to);
    if (!low) return NULL;
    if (low->node) low->node->lasting = true;
    if (k->leaf)
        tern_release(k->low);
    else
        c->used++, k->leaf = tern_keep(leaf);
    k->low = tern_keep(low);
    k->storage = leaf->storage;
    k->version = leaf->storage->version;
    k->moves = leaf->moves;
    k->replays = before;
    k->region = terni_self.region;
    return low;
}

/* ---- casts ---------------------------------------------------------------------------------------------------------
 */

static const terni_autocast_state *top(void) {
    const struct terni_casts *c = terni_self.casts;
    return c && c->n ? &c->stack[c->n - 1] : &none;
}

/* The low dtype for t; TERN_F32: autocast leaves it alone. */
static tern_dtype low_for(const tern_tensor *t) {
    const tern_dtype d = terni_dtype(t);
    if (d != TERN_F32 && d != TERN_F16 && d != TERN_BF16) return TERN_F32;
    return (tern_dtype)top()->low[t->device.type];
}

static tern_tensor *cast(tern_tensor *t, tern_dtype to) {
    if (terni_dtype(t) == to) return t;
    const bool leaf = t->requires_grad && !t->node && !t->storage->inference;
    return leaf && to != TERN_F32 ? low_of(terni_self.casts, t, to) : tern_cast(t, to);
}

/* f32 if one of them is, or if f16 and bf16 meet; else the dtype that they share. */
static tern_dtype widest(tern_tensor *const *t, int n, tern_dtype so_far) {
    for (int i = 0; i < n; i++) {
        if (!t[i] || low_for(t[i]) == TERN_F32) continue;
        const tern_dtype d = terni_dtype(t[i]);
        so_far = so_far == TERN_DTYPE_COUNT || so_far == d ? d : TERN_F32;
    }
    return so_far;
}

static bool cast_all(tern_autocast_rule rule, tern_dtype wide, tern_tensor **t, int n) {
    bool ok = true;
    for (int i = 0; i < n; i++) {
        if (!t[i] || !ok) continue;
        const tern_dtype low = low_for(t[i]);
        if (low == TERN_F32) continue;
        t[i] = cast(t[i], rule == TERN_AUTOCAST_LOW ? low : rule == TERN_AUTOCAST_F32 ? TERN_F32 : wide);
        ok = t[i] != NULL;
    }
    return ok;
}

bool tern_autocast(tern_autocast_rule rule, tern_tensor **t, int n) {
    TERNI_NAMED("autocast");
    if (!terni_given(t, "autocast", "t")) return false;
    if (rule < TERN_AUTOCAST_LOW || rule > TERN_AUTOCAST_WIDEST || n < 0)
        return terni_fail(TERN_ERR_ARGUMENT, "autocast: rule %d, %d tensors", (int)rule, n);
    return !terni_self.autocast || cast_all(rule, widest(t, n, TERN_DTYPE_COUNT), t, n);
}

tern_tensor *terni_autocast_f32(tern_tensor *x) {
    (void)(x && tern_ok() && cast_all(TERN_AUTOCAST_F32, TERN_F32, &x, 1));
    return x;
}

terni_casting terni_casting_begin(tern_autocast_rule rule, tern_tensor *const **list, int n,
                                  tern_tensor **const *single, int n_single) {
    terni_casting c = {NULL, terni_self.casts->n};
    if (!tern_ok()) return c; /* the op refuses */
    tern_dtype wide = TERN_DTYPE_COUNT;
    bool ok = true;
    if (list && *list && n > 0) {
        c.list = terni_malloc((size_t)n * sizeof(tern_tensor *));
        ok = c.list != NULL;
        if (ok) memcpy(c.list, *list, (size_t)n * sizeof(tern_tensor *));
        if (ok) wide = widest(c.list, n, wide);
    }
    for (int i = 0; i < n_single; i++)
        if (single[i]) wide = widest(single[i], 1, wide);
    ok = ok && (!c.list || cast_all(rule, wide, c.list, n));
    for (int i = 0; i < n_single; i++)
        if (single[i] && !(ok = ok && cast_all(rule, wide, single[i], 1))) *single[i] = NULL;
    if (c.list) *list = c.list;
    if (ok) (void)tern_autocast_suspend();
    return c;
}

void terni_casting_undo(const terni_casting *c) {
    tern_autocast_pop(c->height);
    terni_mfree(c->list);
}

/* ---- the stack -----------------------------------------------------------------------------------------------------
 */

static void set_flag(void) { terni_self.autocast = memcmp(top(), &none, sizeof none) != 0; }

static int push(const terni_autocast_state *s) {
    struct terni_casts *c = terni_self.casts;
    if (!c) {
        c = terni_self.casts = terni_calloc(sizeof *c);
        if (!c) return 0;
        terni_thread_ready();
    }
    if (c->n == c->cap) {
        const int cap = c->cap ? 2 * c->cap : 16;
        terni_autocast_state *stack = terni_alloc((size_t)cap * sizeof *stack);
        if (!stack) return c->n;
        if (c->cap) memcpy(stack, c->stack, (size_t)c->cap * sizeof *stack);
        terni_free(c->stack, (size_t)c->cap * sizeof *stack);
        c->stack = stack;
        c->cap = cap;
    }
    c->stack[c->n++] = *s;
    set_flag();
    return c->n - 1;
}

int tern_autocast_push(tern_device_type type, tern_dtype dtype) {
    const int height = terni_self.casts ? terni_self.casts->n : 0;
    if (!tern_ok()) return height;
    if ((int)type < 0 || type >= TERN_DEVICE_TYPE_COUNT) {
        terni_fail(TERN_ERR_DEVICE, "autocast_push: %d is no type of device", (int)type);
        return height;
    }
    if (dtype != TERN_F16 && dtype != TERN_BF16 && dtype != TERN_F32) {
        terni_fail(TERN_ERR_DTYPE, "autocast_push: %s, expected f16 or bf16, or f32 for none", tern_dtype_name(dtype));
        return height;
    }
    terni_autocast_state s = *top();
    s.low[type] = (unsigned char)dtype;
    return push(&s);
}

/* Where there is none, its height says so: every step of an optimizer comes here. */
int tern_autocast_suspend(void) {
    if (terni_self.autocast) return push(&none);
    return terni_self.casts ? terni_self.casts->n : 0;
}

void tern_autocast_pop(int height) {
    struct terni_casts *c = terni_self.casts;
    if (!c || height >= c->n) return;
    c->n = height < 0 ? 0 : height;
    if (!c->n) forget(c);
    set_flag();
}

tern_dtype tern_autocast_get(tern_device_type type) {
    return (int)type >= 0 && type < TERN_DEVICE_TYPE_COUNT ? (tern_dtype)top()->low[type] : TERN_F32;
}

terni_autocast_state terni_autocast_now(void) { return *top(); }
int terni_autocast_again(const terni_autocast_state *s) { return push(s); }

void terni_autocast_thread_exit(void) {
    struct terni_casts *c = terni_self.casts;
    if (!c) return;
    forget(c);
    terni_free(c->stack, (size_t)c->cap * sizeof *c->stack);
    terni_free(c, sizeof *c);
    terni_self.casts = NULL;
    terni_self.autocast = false;
}
