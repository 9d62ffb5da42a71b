/* The simulation's threads: fibers with stacks of their own. See cusim.h. */
#include "cusim.h"

#include "capture_sim.h"

#include <stdio.h>
#include <stdlib.h>

#include <mutex>
#include <numeric>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define ASAN 1
#else
#define ASAN 0
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace cusim {

block_state now;

namespace {

enum { STACK = 128 << 10, SHARED = 48 << 10, STATIC_ARENA = 64 << 10, ARRAYS = 32, ZONE = 64 };

struct fiber {
    char *stack;
    bool started, done;
    bool waits_for_block;
    unsigned waits; /* the lanes it waits for in a warp's barrier; 0: it does not */
#if defined(__x86_64__)
    void *sp;
#else
    ucontext_t context;
#endif
};

std::recursive_mutex one_launch; /* the device runs one kernel at a time */
fiber fibers[MAX_THREADS];
const std::function<void()> *body;
const char *kernel_name;
bool plain;        /* the kernel runs without fibers */
int live, waiting; /* threads that have not ended; of these, at the block's barrier */
struct {
    unsigned arrived, ended; /* lanes at a barrier of the warp's; lanes that have ended */
} warps[MAX_THREADS / WARP];
alignas(128) char dynamic_arena[SHARED];
alignas(128) char static_arena[STATIC_ARENA];
size_t static_used, shared_bytes; /* with the zones; of the running block's arrays, without */
struct {
    int key;
    void *p;
} arrays[ARRAYS];
int n_arrays;

[[noreturn]] void stop(const char *what) {
    fprintf(stderr, "simulation: %s in kernel %s, block (%u, %u, %u), thread %d\n", what, kernel_name, now.at.x,
            now.at.y, now.at.z, now.current);
    abort();
}

#if defined(__x86_64__)
extern "C" void cusim_switch(void **save, void *to);
__asm__(
    ".text\n.type cusim_switch, @function\ncusim_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\nmov %rsp, (%rdi)\n"
    "mov %rsi, %rsp\npop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");
void *main_sp;
#else
ucontext_t main_context;
#endif
#if ASAN
void *main_fake;
const void *main_stack;
size_t main_size;
#endif

void to_main(bool for_good) {
    fiber &f = fibers[now.current];
    (void)f;
#if ASAN
    void *fake = nullptr;
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fake, main_stack, main_size);
#else
    (void)for_good;
#endif
#if defined(__x86_64__)
    cusim_switch(&f.sp, main_sp);
#else
    swapcontext(&f.context, &main_context);
#endif
#if ASAN
    __sanitizer_finish_switch_fiber(fake, &main_stack, &main_size);
#endif
}

void trampoline() {
#if ASAN
    __sanitizer_finish_switch_fiber(nullptr, &main_stack, &main_size);
#endif
    (*body)();
    fibers[now.current].done = true;
    to_main(true);
    abort();
}

void resume(int i) {
    fiber &f = fibers[i];
    now.current = i;
#if ASAN
    __sanitizer_start_switch_fiber(&main_fake, f.stack, STACK);
#endif
#if defined(__x86_64__)
    if (!f.started) {
        /* Stacks that began alike would share the same few lines of every cache. */
        char *const top = f.stack + STACK - 64 - i % 61 * 128;
#if ASAN
        __asan_unpoison_memory_region(top - 1024, (size_t)(f.stack + STACK - top) + 1024); /* what ended there before */
#endif
        void **s = reinterpret_cast<void **>(top);
        *--s = nullptr; /* alignment as after a call */
        *--s = reinterpret_cast<void *>(trampoline);
        s -= 6;
        memset(s, 0, 6 * sizeof *s);
        f.sp = s;
    }
    f.started = true;
    cusim_switch(&main_sp, f.sp);
#else
    if (!f.started) {
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.stack;
        f.context.uc_stack.ss_size = STACK;
        makecontext(&f.context, trampoline, 0);
    }
    f.started = true;
    swapcontext(&main_context, &f.context);
#endif
#if ASAN
    __sanitizer_finish_switch_fiber(main_fake, nullptr, nullptr);
#endif
}

void open_shared(size_t dynamic_bytes) {
    n_arrays = 0;
    static_used = 0;
    shared_bytes = dynamic_bytes;
#if ASAN
    __asan_unpoison_memory_region(static_arena, sizeof static_arena);
    __asan_unpoison_memory_region(dynamic_arena, sizeof dynamic_arena);
    memset(dynamic_arena, 0xFF, dynamic_bytes);
    __asan_poison_memory_region(static_arena, sizeof static_arena);
    __asan_poison_memory_region(dynamic_arena + dynamic_bytes, sizeof dynamic_arena - dynamic_bytes);
#else
    memset(dynamic_arena, 0xFF, dynamic_bytes);
#endif
}

int order_wanted() {
    static const int order = [] {
        const char *s = getenv("TERN_SIM_ORDER");
        return s ? atoi(s) : 0;
    }();
    return order;
}

/* A small generator: shuffling is as frequent as blocks are. */
void shuffle_turns(std::vector<int> &turn, uint64_t seed) {
    uint64_t x = seed * 0x9E3779B97F4A7C15u + 1;
    for (size_t i = turn.size(); i > 1; i--) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        std::swap(turn[i - 1], turn[(size_t)((x >> 32) * i >> 32)]);
    }
}

/* As the hardware does, threads that ended are not waited for. */
void release_block() {
    if (waiting == 0 || waiting < live) return;
    waiting = 0;
    for (int i = 0; i < now.n; i++) fibers[i].waits_for_block = false;
}

bool runnable(int i) { return !fibers[i].done && !fibers[i].waits && !fibers[i].waits_for_block; }

/* Runs thread i up to its next barrier. */
void run_thread(int i) {
    resume(i);
    if (!fibers[i].done) return;
    live--;
    warps[i / WARP].ended |= 1u << i % WARP;
    release_block();
}

void open_block() {
    for (int i = 0; i < now.n; i++) {
        fibers[i].started = fibers[i].done = fibers[i].waits_for_block = false;
        fibers[i].waits = 0;
    }
    memset(warps, 0, sizeof warps);
    live = now.n;
    waiting = 0;
}

/* Round after round over all threads; or, warp by warp, each as far as it can go alone, so that it runs ahead of others
 * that have not read yet what it writes. */
void run_block() {
    static std::vector<int> turn;
    const int order = order_wanted();
    const bool by_warp = order > 1 && order % 2 == 1;
    turn.resize((size_t)(by_warp ? (now.n + WARP - 1) / WARP : now.n));
    std::iota(turn.begin(), turn.end(), 0);
    if (order == 1) std::reverse(turn.begin(), turn.end());
    if (order > 1) shuffle_turns(turn, (uint64_t)order + now.at.x);
    open_block();
    while (live > 0) {
        bool any = false;
        for (int t : turn) {
            const int first = by_warp ? t * WARP : t, end = by_warp ? std::min(first + WARP, now.n) : t + 1;
            bool more = true;
            while (more) {
                more = false;
                for (int k = first; k < end; k++) {
                    const int i = order & 2 ? first + end - 1 - k : k;
                    if (!runnable(i)) continue;
                    run_thread(i);
                    any = more = true;
                }
                if (!by_warp) break;
            }
        }
        if (!any) stop("a barrier that some threads do not reach");
    }
}

}  // namespace

void launch(dim3 grid, dim3 block, size_t dynamic_bytes, bool independent, const char *name,
            const std::function<void()> &kernel) {
    std::lock_guard<std::recursive_mutex> guard(one_launch);
    kernel_name = name;
    now.grid = grid;
    now.block = block;
    const uint64_t n = (uint64_t)block.x * block.y * block.z;
    /* More shared memory is had by opting in, which no kernel here does. */
    if (n == 0 || n > MAX_THREADS || block.z > 64 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 2147483647 ||
        grid.y > 65535 || grid.z > 65535 || dynamic_bytes > SHARED)
        stop("a launch that no device accepts");
    now.n = (int)n;
    body = &kernel;
    plain = independent;
    for (int i = 0; i < now.n; i++) {
        if (!independent && !fibers[i].stack) fibers[i].stack = (char *)aligned_alloc(4096, STACK);
        const unsigned u = (unsigned)i;
        now.index[i] = dim3(u % block.x, u / block.x % block.y, u / (block.x * block.y));
    }
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                now.at = dim3(x, y, z);
                open_shared(dynamic_bytes);
                if (independent)
                    for (now.current = 0; now.current < now.n; now.current++) kernel();
                else
                    run_block();
            }
}

bool submit_kernel(void *stream, dim3 grid, dim3 block, size_t dynamic_bytes, bool independent, const char *name,
                   std::function<void()> kernel) {
    if (!terni_sim_capturing(stream)) {
        launch(grid, block, dynamic_bytes, independent, name, kernel);
        return true;
    }
    using closure = std::function<void()>;
    return terni_sim_record([](void *user) { (*static_cast<closure *>(user))(); },
                            [](void *user) { delete static_cast<closure *>(user); },
                            new closure([=] { launch(grid, block, dynamic_bytes, independent, name, kernel); })) == 0;
}

void barrier() {
    if (plain) stop("a barrier in a kernel launched as one of independent threads");
    fiber &f = fibers[now.current];
    f.waits_for_block = true;
    waiting++;
    release_block();
    if (f.waits_for_block) to_main(false);
}

void warp_barrier(unsigned mask) {
    if (plain) stop("a warp's barrier in a kernel launched as one of independent threads");
    const int me = now.current, warp = me & ~(WARP - 1), left = now.n - warp;
    if (!(mask >> (me - warp) & 1)) stop("a thread that is not in the mask of its own barrier");
    if (left < WARP && mask >> left) stop("a mask with lanes that the block does not have");
    auto &w = warps[warp / WARP];
    if (mask & w.ended) stop("a warp's barrier with a thread that has ended");
    fibers[me].waits = mask;
    w.arrived |= 1u << (me - warp);
    bool all = (w.arrived & mask) == mask;
    for (int l = 0; all && l < WARP; l++) all = !(mask >> l & 1) || fibers[warp + l].waits == mask;
    if (!all) {
        to_main(false);
        return;
    }
    w.arrived &= ~mask;
    for (int l = 0; l < WARP; l++)
        if (mask >> l & 1) fibers[warp + l].waits = 0;
}

void read_lane(unsigned mask, int lane) {
    if (!(mask >> lane & 1)) stop("a shuffle from a lane that is not in its mask");
}

unsigned ballot(unsigned mask, bool vote) {
    const int warp = now.current & ~(WARP - 1);
    now.slot[now.current] = vote;
    warp_barrier(mask);
    unsigned result = 0;
    for (int l = 0; l < WARP && warp + l < now.n; l++)
        if (mask >> l & 1 && now.slot[warp + l]) result |= 1u << l;
    warp_barrier(mask);
    return result;
}

void *shared(int key, size_t bytes) {
    for (int i = 0; i < n_arrays; i++)
        if (arrays[i].key == key) return arrays[i].p;
    if (n_arrays == ARRAYS) stop("too many shared arrays");
    static_used = (static_used + ZONE + 15) & ~(size_t)15;
    shared_bytes += bytes;
    if (shared_bytes > SHARED || static_used + bytes > STATIC_ARENA - ZONE) stop("more than 48 KiB of shared memory");
    void *p = static_arena + static_used;
#if ASAN
    __asan_unpoison_memory_region(p, bytes);
#endif
    memset(p, 0xFF, bytes);
    static_used += bytes;
    arrays[n_arrays].key = key;
    arrays[n_arrays++].p = p;
    return p;
}

void *dynamic_shared() { return dynamic_arena; }

}  // namespace cusim
