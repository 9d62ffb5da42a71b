/* Dispatch: finds the backend modules, loads one at the first use of its device, and hands calls to its kernels. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "tern/linalg.h"
#include "trace_fields.h"

enum { REASON_SIZE = 512 };

_Atomic(const terni_backend *) terni_tables[TERN_DEVICE_TYPE_COUNT];

typedef struct slot {
    bool tried, found;
    int devices;
    char file[512];
    char reason[REASON_SIZE]; /* why it cannot */
} slot;

static slot slots[TERN_DEVICE_TYPE_COUNT];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const terni_host host = {
    .alloc = terni_alloc,
    .free = terni_free,
    .alloc_quiet = terni_alloc_quiet,
    .free_quiet = terni_free_quiet,
    .fail = terni_fail_at,
    .caller = terni_caller,
    .allow_tf32 = tern_allow_tf32_get,
};

/* ---- finding modules
 * ------------------------------------------------------------------------------------------------- */

/* Levels of the x86-64 psABI, best first; each is one build of the CPU module. */
#if defined(__x86_64__)
static bool has_v3(void) {
    unsigned a, b, c, d, e;
    if (!__get_cpuid(0x80000001, &a, &b, &e, &d)) return false;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
    const bool lzcnt = e >> 5 & 1, movbe = c >> 22 & 1, f16c = c >> 29 & 1;
    return lzcnt && movbe && f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

static bool has_v4(void) {
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#else
static bool has_v3(void) { return false; }
static bool has_v4(void) { return false; }
#endif

static int cpu_modules(const char *names[4], char *reason) {
    int n = 0;
    const char *want = getenv("TERN_CPU_LEVEL"); /* v4, v3 or base: for tests, and to compare */
    const bool any = !want || !*want;
    if (!any && strcmp(want, "v4") != 0 && strcmp(want, "v3") != 0 && strcmp(want, "base") != 0) {
        snprintf(reason, REASON_SIZE, "TERN_CPU_LEVEL is \"%.20s\"; expected v4, v3 or base", want);
        return 0;
    }
    if ((any || strcmp(want, "v4") == 0) && has_v4()) names[n++] = "libtern-cpu-v4.so";
    if ((any || strcmp(want, "v3") == 0) && has_v3()) names[n++] = "libtern-cpu-v3.so";
    if (any || strcmp(want, "base") == 0) names[n++] = "libtern-cpu-base.so";
    if (n == 0) snprintf(reason, REASON_SIZE, "this processor cannot run TERN_CPU_LEVEL=%.20s", want);
    return n;
}

static bool own_folder(char *buf, size_t size) {
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)&tern_version, &info) || !info.dli_fname) return false;
    const char *slash = strrchr(info.dli_fname, '/');
    const int n =
        slash ? snprintf(buf, size, "%.*s", (int)(slash - info.dli_fname), info.dli_fname) : snprintf(buf, size, ".");
    return n > 0 && (size_t)n < size;
}

static void *open_module(slot *s, const char *name) {
    char own[400] = "";
    const char *env = getenv("TERN_MODULE_PATH");
    const bool have_own = own_folder(own, sizeof own);
    for (int i = 0; i < 3; i++) {
        int n = 0;
        if (i == 0 && env && *env) n = snprintf(s->file, sizeof s->file, "%s/%s", env, name);
        if (i == 1 && have_own) n = snprintf(s->file, sizeof s->file, "%s/tern/%s", own, name);
        if (i == 2 && have_own) n = snprintf(s->file, sizeof s->file, "%s/%s", own, name);
        if (n <= 0 || (size_t)n >= sizeof s->file) continue;
        void *m = dlopen(s->file, RTLD_NOW | RTLD_LOCAL);
        if (m) return m;
        const char *why = dlerror();
        if (!s->reason[0] || (why && !strstr(why, "No such file")))
            snprintf(s->reason, REASON_SIZE, "%s", why ? why : name);
    }
    return NULL;
}

static bool take_module(slot *s, void *module) {
    char file[sizeof s->file]; /* gcc sees an overlap between parts of a slot */
    memcpy(file, s->file, sizeof file);
    terni_backend_entry_fn entry;
    void *symbol = dlsym(module, TERNI_BACKEND_ENTRY);
    memcpy(&entry, &symbol, sizeof entry);
    if (!entry) {
        snprintf(s->reason, REASON_SIZE, "%.400s is no backend of Tern", file);
        return false;
    }
    s->reason[0] = 0;
    const terni_backend *b = entry(&host, s->reason, REASON_SIZE);
    if (!b) return false;
    if (b->abi != TERNI_BACKEND_ABI || b->size != sizeof *b) {
        snprintf(s->reason, REASON_SIZE, "%.300s belongs to another build of Tern (ABI %u, size %u; expected %u, %zu)",
                 file, b->abi, b->size, TERNI_BACKEND_ABI, sizeof *b);
        return false;
    }
    s->devices = b->device_count(s->reason, REASON_SIZE);
    if (s->devices <= 0) return false;
    atomic_store_explicit(&terni_tables[s - slots], b, memory_order_release);
    return true;
}

static void load(int type) {
    slot *s = &slots[type];
    pthread_mutex_lock(&lock);
    if (!s->tried) {
        const char *names[4] = {"libtern-cuda.so"};
        const int n = type == TERN_CPU ? cpu_modules(names, s->reason) : 1;
        for (int i = 0; i < n; i++) {
            void *m = open_module(s, names[i]);
            if (!m) continue;
            s->found = true;
            if (take_module(s, m)) break;
            dlclose(m);
        }
        s->tried = true;
    }
    pthread_mutex_unlock(&lock);
}

static const terni_backend *find(int type) {
    if (type < 0 || type >= TERN_DEVICE_TYPE_COUNT) return NULL;
    const terni_backend *b = atomic_load_explicit(&terni_tables[type], memory_order_acquire);
    if (b) return b;
    load(type);
    return atomic_load_explicit(&terni_tables[type], memory_order_acquire);
}

const terni_backend *terni_backend_find(tern_device d) {
    const terni_backend *b = find(d.type);
    if (b && d.index >= 0 && d.index < slots[d.type].devices) return b;
    char name[32];
    tern_device_name(d, name, sizeof name);
    if (b)
        return terni_null(TERN_ERR_DEVICE, "device: there is no %s; there are %d of its kind", name,
                          slots[d.type].devices);
    if (d.type < 0 || d.type >= TERN_DEVICE_TYPE_COUNT)
        return terni_null(TERN_ERR_DEVICE, "device: %s is no device", name);
    return terni_null(TERN_ERR_DEVICE, "device: %s cannot be used: %s", name, slots[d.type].reason);
}

bool tern_device_available(tern_device d) { return find(d.type) && d.index >= 0 && d.index < slots[d.type].devices; }
tern_device tern_device_default(void) { return tern_device_available(tern_cuda(0)) ? tern_cuda(0) : tern_cpu(); }

void terni_backends_trim(void) {
    for (int t = 0; t < TERN_DEVICE_TYPE_COUNT; t++) {
        const terni_backend *b = atomic_load_explicit(&terni_tables[t], memory_order_acquire);
        for (int i = 0; b && i < slots[t].devices; i++) b->trim(i);
    }
}

void terni_backends_reset_peak(void) {
    for (int t = 0; t < TERN_DEVICE_TYPE_COUNT; t++) {
        const terni_backend *b = atomic_load_explicit(&terni_tables[t], memory_order_acquire);
        for (int i = 0; b && b->runtime && i < slots[t].devices; i++) b->runtime->reset_peak(i);
    }
}

int tern_device_count(tern_device_type type) {
    const int t = (int)type;
    return find(t) ? slots[t].devices : 0;
}

/* ---- calls
 * -------------------------------------------------------------------------------------------------------------- */

static const char *const op_names[] = {
#define TERN_OP(name) #name,
#include "ops.def"
};

const char *terni_op_name(int op) { return op >= 0 && op < TERNI_OP_COUNT ? op_names[op] : "?"; }

bool terni_call_entered(const terni_backend *b, terni_kernel k, const char *name, const terni_call *call) {
    if (!b->runtime->enter(name, call)) return false;
    const bool ok = k(call);
    b->runtime->leave();
    return ok;
}

bool terni_run_views(int op, tern_device d, const terni_view *const *in, int n_in, const terni_view *const *out,
                     int n_out, const void *opts) {
    const terni_backend *b = terni_backend_of(d);
    if (!b) return false;
    if (!b->op[op])
        return terni_fail(TERN_ERR_UNSUPPORTED, "%s: the %s backend of this build has no such kernel", op_names[op],
                          b->name);
    if (terni_tracing() && !terni_trace_kernel(op_names[op], in, n_in, out, n_out)) return false;
    const terni_call call = {in, out, n_in, n_out, opts, d.index};
    return terni_call_kernel(b, b->op[op], op_names[op], &call);
}

bool terni_same_device(const char *op, tern_tensor *const *t, int n, tern_device *out) {
    const tern_tensor *first = NULL;
    for (int i = 0; i < n; i++) {
        if (!t[i]) continue;
        if (!first) first = t[i];
        if (terni_device_same(first->device, t[i]->device)) continue;
        char a[32], b[32];
        return terni_fail(TERN_ERR_DEVICE, "%s: tensors on %s and %s; move one with tern_to", op,
                          tern_device_name(first->device, a, sizeof a), tern_device_name(t[i]->device, b, sizeof b));
    }
    if (first && out) *out = first->device;
    return true;
}

bool terni_same_float(const char *op, tern_tensor *const *t, int n) {
    const tern_tensor *first = NULL;
    for (int i = 0; i < n; i++) {
        if (!t[i]) continue;
        if (!terni_is_float(terni_dtype(t[i])))
            return terni_fail(TERN_ERR_DTYPE, "%s: %s is not a float tensor", op, terni_describe(t[i]));
        if (!first) first = t[i];
        if (t[i]->v.dtype != first->v.dtype)
            return terni_fail(TERN_ERR_DTYPE, "%s: %s and %s have different dtypes; tern_cast converts", op,
                              terni_describe(first), terni_describe(t[i]));
    }
    return true;
}

enum { VIEWS_INLINE = 24 };

bool terni_run(int op, tern_tensor *const *in, int n_in, tern_tensor *const *out, int n_out, const void *opts) {
    const terni_view *few[VIEWS_INLINE], **views = few;
    tern_device d = tern_cpu(), d2 = d;
    if (!terni_same_device(op_names[op], in, n_in, &d) || !terni_same_device(op_names[op], out, n_out, &d2))
        return false;
    const bool has_in = n_in > 0 && in[0], has_out = n_out > 0 && out[0];
    if (has_in && has_out && !terni_device_same(d, d2)) {
        tern_tensor *const pair[2] = {in[0], out[0]};
        return terni_same_device(op_names[op], pair, 2, NULL);
    }
    if (has_out) d = d2;
    if (n_in + n_out > VIEWS_INLINE) {
        views = terni_malloc((size_t)(n_in + n_out) * sizeof *views);
        if (!views) return false;
    }
    for (int i = 0; i < n_in; i++) views[i] = in[i] ? &in[i]->v : NULL;
    for (int i = 0; i < n_out; i++) views[n_in + i] = out[i] ? &out[i]->v : NULL;
    const bool ok = terni_run_views(op, d, views, n_in, views + n_in, n_out, opts);
    if (views != few) terni_mfree(views);
    return ok;
}

bool tern_sync(tern_device device) {
    TERNI_NAMED("sync");
    const terni_backend *b = terni_backend_of(device);
    return b && b->sync(device.index);
}

/* ---- library
 * --------------------------------------------------------------------------------------------------------------- */

bool tern_set_threads(int threads) {
    if (threads < 0) return terni_fail(TERN_ERR_ARGUMENT, "set_threads: %d is negative", threads);
    const terni_backend *b = terni_backend_of(tern_cpu());
    return b && b->set_threads(threads);
}

static _Atomic(bool) deterministic;

bool tern_deterministic(bool on) { return atomic_exchange(&deterministic, on); }
bool tern_deterministic_get(void) { return atomic_load_explicit(&deterministic, memory_order_relaxed); }

int tern_threads(void) {
    const terni_backend *b = find(TERN_CPU);
    return b ? b->threads() : 1;
}

const char *tern_info(char *buf, size_t size) {
    static const char *const kinds[TERN_DEVICE_TYPE_COUNT] = {"cpu", "cuda"};
    size_t at = 0;
    for (int t = -1; t < TERN_DEVICE_TYPE_COUNT && at < size; t++) {
        int n;
        if (t < 0)
            n = snprintf(buf, size, "tern %s\n", tern_version());
        else if (!find(t))
            n = snprintf(buf + at, size - at, "%s: cannot be used: %s%s%s%s\n", kinds[t], slots[t].reason,
                         slots[t].found ? " (" : "", slots[t].found ? slots[t].file : "", slots[t].found ? ")" : "");
        else {
            char text[2048] = "";
            find(t)->info(text, sizeof text);
            const size_t len = strlen(text);
            n = snprintf(buf + at, size - at, "%s: %d device%s, %s\n%s%s", kinds[t], slots[t].devices,
                         slots[t].devices == 1 ? "" : "s", slots[t].file, text,
                         len && text[len - 1] != '\n' ? "\n" : "");
        }
        if (n < 0) break;
        at += (size_t)n;
    }
    return buf;
}
