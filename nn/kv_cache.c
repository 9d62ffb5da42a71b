/* Keys and values of the positions that were seen: a slot for each attention, with one buffer for its keys and one for
 * its values, into which new positions are written behind the old ones. */
#include <inttypes.h>

#include "internal.h"
#include "tern/transformer.h"

typedef struct slot {
    const void *owner;
    tern_tensor *k, *v; /* kept, [..., H, room, E]; cross attention: all keys, no more come */
    int64_t length;     /* positions that are filled */
    int64_t seen;       /* positions of queries */
    bool whole;         /* cross attention */
    /* As they were when the forward that is running began, which goes back to them if it fails. */
    int64_t length_before, seen_before;
    bool fresh; /* made since */
} slot;

struct tern_kv_cache {
    int64_t capacity;
    slot *slots;
    int n, cap;
    int running; /* forwards, one within another */
};

tern_kv_cache *tern_kv_cache_new(int64_t capacity) {
    if (!tern_ok()) return NULL;
    if (capacity < 0 || capacity > INT32_MAX)
        return terni_null(TERN_ERR_ARGUMENT, "kv_cache: capacity %" PRId64 "; 0 to %d expected", capacity, INT32_MAX);
    tern_kv_cache *c = terni_calloc(sizeof *c);
    if (c) c->capacity = capacity ? capacity : 64;
    return c;
}

static void drop(slot *s) {
    tern_release(s->k);
    tern_release(s->v);
}

void tern_kv_cache_free(tern_kv_cache *c) {
    if (!c) return;
    for (int i = 0; i < c->n; i++) drop(&c->slots[i]);
    terni_mfree(c->slots);
    terni_free(c, sizeof *c);
}

int64_t tern_kv_cache_length(const tern_kv_cache *c) {
    int64_t least = c && c->n ? INT64_MAX : 0;
    for (int i = 0; c && i < c->n; i++)
        if (c->slots[i].seen < least) least = c->slots[i].seen;
    return least;
}

bool tern_kv_cache_set_length(tern_kv_cache *c, int64_t length) {
    if (!terni_given(c, "kv_cache_set_length", "c")) return false;
    const int64_t most = tern_kv_cache_length(c);
    if (length < 0 || length > most)
        return terni_fail(TERN_ERR_ARGUMENT,
                          "kv_cache_set_length: %" PRId64 "; 0 to the %" PRId64 " there are expected", length, most);
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        slot *s = &c->slots[i];
        s->seen = s->seen_before = length;
        if (!s->whole) s->length = s->length_before = length;
        if (s->whole && !length)
            drop(s);
        else
            c->slots[n++] = *s;
    }
    c->n = n;
    return true;
}

/* ---- slots ------------------------------------------------------------------------------------------------------- */

static slot *find(const tern_kv_cache *c, const void *owner) {
    for (int i = 0; i < c->n; i++)
        if (c->slots[i].owner == owner) return &c->slots[i];
    return NULL;
}

static slot *slot_new(tern_kv_cache *c, slot s) {
    slot *more = terni_grown(c->slots, c->n, &c->cap, sizeof *more);
    if (!more) return NULL;
    c->slots = more;
    c->slots[c->n] = s;
    c->slots[c->n].fresh = true;
    tern_keep(s.k);
    tern_keep(s.v);
    return &c->slots[c->n++];
}

void terni_kv_begin(tern_kv_cache *c) {
    if (!c || c->running++) return;
    for (int i = 0; i < c->n; i++) {
        slot *s = &c->slots[i];
        s->length_before = s->length;
        s->seen_before = s->seen;
        s->fresh = false;
    }
}

static void go_back(tern_kv_cache *c) {
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        slot s = c->slots[i];
        s.length = s.length_before;
        s.seen = s.seen_before;
        if (s.fresh)
            drop(&s);
        else
            c->slots[n++] = s;
    }
    c->n = n;
}

tern_tensor *terni_kv_end(tern_kv_cache *c, tern_tensor *y) {
    if (c && !--c->running && !y) go_back(c);
    return y;
}

/* A buffer like t with `room` positions. Never made in inference mode, outside of which nothing could be added then. */
static tern_tensor *buffer_like(tern_tensor *t, int64_t room) {
    tern_shape shape = tern_shape_get(t);
    shape.dim[shape.ndim - 2] = room;
    const bool was = tern_inference_mode(false);
    tern_tensor *buffer = tern_empty(shape, (tern_options){tern_dtype_of(t), tern_device_of(t)});
    tern_inference_mode(was);
    return buffer;
}

/* All but the number of positions is as in the buffer. */
static bool alike(tern_tensor *buffer, tern_tensor *t, const char *what) {
    tern_shape a = tern_shape_get(buffer), b = tern_shape_get(t);
    char had[128], given[128];
    a.dim[a.ndim - 2] = b.ndim == a.ndim ? b.dim[b.ndim - 2] : 0;
    const tern_device d = tern_device_of(buffer), e = tern_device_of(t);
    if (tern_shape_equal(a, b) && tern_dtype_of(buffer) == tern_dtype_of(t) && d.type == e.type && d.index == e.index)
        return true;
    a.dim[a.ndim - 2] = -1;
    return terni_fail(TERN_ERR_SHAPE, "kv_cache: %s %s %s behind %s %s", what, tern_dtype_name(tern_dtype_of(t)),
                      tern_shape_text(b, given, sizeof given), tern_dtype_name(tern_dtype_of(buffer)),
                      tern_shape_text(a, had, sizeof had));
}

/* Room for n positions, at least twice of what there was. */
static bool grow(slot *s, int64_t n) {
    const int64_t room = tern_size(s->k, -2);
    if (n <= room) return true;
    const int64_t wanted = n > 2 * room ? n : 2 * room;
    tern_tensor *k = buffer_like(s->k, wanted), *v = buffer_like(s->v, wanted);
    if (!k || !v) return false;
    if (s->length && !(tern_copy_(tern_narrow(k, -2, 0, s->length), tern_narrow(s->k, -2, 0, s->length)) &&
                       tern_copy_(tern_narrow(v, -2, 0, s->length), tern_narrow(s->v, -2, 0, s->length))))
        return false;
    drop(s);
    s->k = tern_keep(k);
    s->v = tern_keep(v);
    return true;
}

static bool add(slot *s, tern_tensor *k, tern_tensor *v) {
    const int64_t n = tern_size(k, -2);
    if (s->length > INT32_MAX - n)
        return terni_fail(TERN_ERR_SHAPE, "kv_cache: %" PRId64 " positions behind %" PRId64, n, s->length);
    if (!grow(s, s->length + n)) return false;
    if (n &&
        !(tern_copy_(tern_narrow(s->k, -2, s->length, n), k) && tern_copy_(tern_narrow(s->v, -2, s->length, n), v)))
        return false;
    s->length += n;
    s->seen += n;
    return true;
}

static bool fits(tern_kv_cache *c, tern_tensor *k, tern_tensor *v) {
    static const char op[] = "kv_cache_add";
    if (!terni_given(c, op, "c") || !terni_given(k, op, "k") || !terni_given(v, op, "v")) return false;
    if (tern_grad_mode_get())
        return terni_fail(TERN_ERR_UNSUPPORTED, "kv_cache: gradients do not pass a cache: tern_grad_mode(false) first");
    if (tern_ndim(k) >= 2 && tern_ndim(v) == tern_ndim(k) && tern_size(k, -2) == tern_size(v, -2)) return true;
    char a[128], b[128];
    return terni_fail(TERN_ERR_SHAPE, "kv_cache: k %s and v %s; [..., L, E] of as many positions expected",
                      tern_shape_text(tern_shape_get(k), a, sizeof a), tern_shape_text(tern_shape_get(v), b, sizeof b));
}

tern_tensor *tern_kv_cache_add(tern_kv_cache *c, const void *owner, tern_tensor *k, tern_tensor *v,
                               tern_tensor **values) {
    if (values) *values = NULL;
    if (!fits(c, k, v) || !terni_given(values, "kv_cache_add", "values")) return NULL;
    terni_kv_begin(c);
    const int scope = tern_scope_push();
    slot *s = find(c, owner);
    if (!s) {
        const int64_t n = tern_size(k, -2), room = n > c->capacity ? n : c->capacity;
        tern_tensor *a = buffer_like(k, room), *b = buffer_like(v, room);
        s = a && b ? slot_new(c, (slot){.owner = owner, .k = a, .v = b}) : NULL;
    }
    bool ok = s && alike(s->k, k, "k") && alike(s->v, v, "v");
    if (ok && s->whole) ok = terni_fail(TERN_ERR_ARGUMENT, "kv_cache: it has the keys of another sequence there");
    ok = ok && add(s, k, v);
    tern_scope_pop(scope);
    tern_tensor *keys = ok ? tern_narrow(s->k, -2, 0, s->length) : NULL;
    if (keys) *values = tern_narrow(s->v, -2, 0, s->length);
    return terni_kv_end(c, *values ? keys : NULL);
}

/* ---- for the layers ---------------------------------------------------------------------------------------------- */

int64_t terni_kv_seen(const tern_kv_cache *c, const void *owner) {
    const slot *s = c ? find(c, owner) : NULL;
    return s ? s->seen : 0;
}

bool terni_kv_kept(const tern_kv_cache *c, const void *owner, tern_tensor **k, tern_tensor **v) {
    const slot *s = find(c, owner);
    if (!s || !s->whole || tern_grad_mode_get()) return false; /* keeping will be refused, then */
    *k = s->k;
    *v = s->v;
    return true;
}

bool terni_kv_keep(tern_kv_cache *c, const void *owner, tern_tensor *k, tern_tensor *v) {
    if (!fits(c, k, v)) return false;
    if (find(c, owner))
        return terni_fail(TERN_ERR_ARGUMENT, "kv_cache: it has the keys of the queries' sequence there");
    k = tern_contiguous(k);
    v = tern_contiguous(v);
    if (!k || !v) return false;
    const slot made = {.owner = owner, .k = k, .v = v, .length = tern_size(k, -2), .whole = true};
    return slot_new(c, made) != NULL;
}

void terni_kv_see(tern_kv_cache *c, const void *owner, int64_t n) {
    slot *s = find(c, owner);
    if (s) s->seen += n;
}
