/* How ops say what autocast does with their inputs. Private to core. */
#ifndef TERNI_CASTING_H
#define TERNI_CASTING_H

#include "tern/autocast.h"
#include "thread.h"

/* TERNI_AUTOCAST(LOW, &x, &w, &b); at the top of an op: under autocast these variables become what the rule makes of
 * them, and until the op returns, the ops inside of it run as they are. After an error the variables are NULL. */
#define TERNI_AUTOCAST(rule, ...)                                                                                  \
    __attribute__((cleanup(terni_casting_end), unused)) terni_casting terni_cast_here =                            \
        terni_self.autocast ? terni_casting_begin(TERN_AUTOCAST_##rule, NULL, 0, (tern_tensor * *[]){__VA_ARGS__}, \
                                                  TERNI_COUNT_OF(__VA_ARGS__))                                     \
                            : (terni_casting) {                                                                    \
        NULL, -1                                                                                                   \
    }
/* The same with the list x[0 .. n), for which x, a `tern_tensor *const *`, points to another one; entries may be NULL.
 */
#define TERNI_AUTOCAST_LIST(rule, x, n, ...)                                                                         \
    __attribute__((cleanup(terni_casting_end), unused)) terni_casting terni_cast_here =                              \
        terni_self.autocast ? terni_casting_begin(TERN_AUTOCAST_##rule, &(x), (n), (tern_tensor * *[]){__VA_ARGS__}, \
                                                  TERNI_COUNT_OF(__VA_ARGS__))                                       \
                            : (terni_casting) {                                                                      \
        NULL, -1                                                                                                     \
    }
/* For ops that are made of others but have no rule: those run as they are. */
#define TERNI_AUTOCAST_NONE \
    __attribute__((cleanup(terni_casting_end), unused)) terni_casting terni_cast_here = {NULL, terni_autocast_off()}
#define TERNI_COUNT_OF(...) ((int)(sizeof((tern_tensor **[]){__VA_ARGS__}) / sizeof(tern_tensor **)))

typedef struct terni_casting {
    tern_tensor **list; /* in place of the op's; NULL: none was needed */
    int height;         /* to be popped; -1: nothing was done */
} terni_casting;

terni_casting terni_casting_begin(tern_autocast_rule rule, tern_tensor *const **list, int n,
                                  tern_tensor **const *single, int n_single);
void terni_casting_undo(const terni_casting *c);
static inline void terni_casting_end(const terni_casting *c) {
    if (c->height >= 0) terni_casting_undo(c);
}
/* x, an input of an op whose rule is F32; under autocast only. */
tern_tensor *terni_autocast_f32(tern_tensor *x);

/* What is in force, for a function that runs again later: the low dtype by the type of device. */
typedef struct terni_autocast_state {
    unsigned char low[TERN_DEVICE_TYPE_COUNT];
} terni_autocast_state;
terni_autocast_state terni_autocast_now(void);
/* That and nothing else; returns what tern_autocast_pop takes. */
int terni_autocast_again(const terni_autocast_state *s);
/* For the inside of an op or a pass: no autocast; -1 if there was none. */
static inline int terni_autocast_off(void) { return terni_self.autocast ? tern_autocast_suspend() : -1; }
static inline void terni_autocast_on(int height) {
    if (height >= 0) tern_autocast_pop(height);
}
/* Parameters may change unseen: the thread's kept casts are of no use any more; those of no thread, after a replay. */
void terni_autocast_forget(void);
void terni_autocast_replayed(void);

#endif
