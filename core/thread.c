/* A thread's state: made at its first use, released at its end. */
#include "thread.h"

#include <pthread.h>

_Thread_local terni_thread terni_self __attribute__((tls_model("initial-exec")));

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void thread_exit(void *p) {
    (void)p;
    terni_graph_thread_exit();
    terni_autocast_thread_exit();
    terni_scope_thread_exit();
    terni_device_thread_exit();
    terni_memory_thread_exit();
    terni_words_free(terni_self.words);
    terni_self.words = NULL;
    terni_self.ready = false;
}

static void make_key(void) { (void)pthread_key_create(&key, thread_exit); }

void terni_thread_ready(void) {
    if (terni_self.ready) return;
    pthread_once(&once, make_key);
    /* Without memory for the key the thread's blocks stay until the process ends: no reason to fail an op. */
    (void)pthread_setspecific(key, &terni_self);
    terni_self.ready = true;
}

terni_words *terni_words_of(void) {
    if (!terni_self.words) {
        terni_thread_ready();
        terni_self.words = terni_words_alloc(sizeof(terni_words));
    }
    return terni_self.words;
}
